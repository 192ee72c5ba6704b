"""An earlier model in the product again: the pin follows a roll back of the released model."""

from __future__ import annotations

import logging
from pathlib import Path

from fastnode_ops.publish.registry import REGISTRY_FILE, Shard, find_registry, pin_model, read_shards
from ops_common.errors import DataError
from ops_common.object_store import RetryPolicy
from ops_common.releases import Release

LOG = logging.getLogger(__name__)

_SERVE = "serve"


def repin(checkout: Path, release: Release, *, policy: RetryPolicy | None = None) -> int:
    """Pins the model of a roll back for the packages of the model that it replaces; done again, it changes nothing.

    Args:
        checkout: The product's checkout.
        release: What the roll back has released.
        policy: How patient to be with S3.

    Returns:
        How many files were changed.

    Raises:
        ConfigError: There is no checkout.
        ArtifactError: The model is not whole.
        DataError: The product pins several models, and none of them is the one that was rolled back.
    """
    registry = find_registry(checkout) / REGISTRY_FILE
    shards = read_shards(registry)
    wanted = f"{release.model_uri}/{_SERVE}"
    if not shards:
        LOG.info("%s pins no model, and none is pinned now", registry)
        return 0
    shard = _shard_of(shards, release, registry)
    report = pin_model(checkout, wanted, shard.Packages, policy=policy)
    for line in report.diff.splitlines():
        LOG.info("%s", line)
    return len(report.changed)


def _shard_of(shards: list[Shard], release: Release, registry: Path) -> Shard:
    """The entry that names the rolled back model, or the one that is released again; the only one otherwise."""
    for uri in (release.replaced, release.model_uri):
        found = [shard for shard in shards if shard.ModelPath.startswith(f"{uri}/")] if uri else []
        if found:
            return found[0]
    if len(shards) > 1:
        raise DataError(
            f"{registry} lists {len(shards)} models, and none of them is {release.replaced}",
            f"pin {release.model_uri}/{_SERVE} by hand (pin-model), for the packages that are meant",
        )
    LOG.warning("%s pins %s, which was not the released model; it is replaced", registry, shards[0].ModelPath)
    return shards[0]
