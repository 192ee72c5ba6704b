"""The release gate of a pipeline's folder: its validation against popularity, and against what the product has now."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish.registry import pinned_path, read_shards
from fastnode_ops.publish.uploaded import find_upload
from fastnode_ops.validation.attribute_report import AttributeReport, read_report_json
from fastnode_ops.validation.release import ReleaseLimits, ReleaseVerdict, check_release
from ops_common.errors import ArtifactError
from ops_common.object_store import RetryPolicy

LOG = logging.getLogger(__name__)

REPORT_FILE = "attributes.json"
NO_COMPARISON = 1.0
"""A drop of recall that no model can have: the pinned model does not matter."""

_PINNED_REPORT = "pinned-attributes.json"


def pass_gate(
    work_dir: Path,
    registry_file: Path | None,
    packages: Sequence[str],
    limits: ReleaseLimits,
    *,
    policy: RetryPolicy | None = None,
) -> ReleaseVerdict:
    """Hold the validation of a new model against the limits.

    Args:
        work_dir: The pipeline's folder, validated.
        registry_file: The product's list of models; None: compare with none.
        packages: The packages that the model is for.
        limits: What is needed. With a margin over the pinned model of -1 that one is not asked for.
        policy: How patient to be with S3.

    Raises:
        GateError: A check failed; the message holds every number.
        ConfigError: The two models were validated on different situations.
        ArtifactError: There is no validation of the new or of the pinned model.
    """
    folder = PipelineDir(Path(work_dir))
    report = read_report_json(folder.reports / REPORT_FILE)
    pinned = None
    if registry_file is not None and limits.min_margin_over_pinned > -NO_COMPARISON:
        pinned = _pinned_report(folder, registry_file, packages, policy)
    return check_release(report, pinned, limits)


def _pinned_report(
    folder: PipelineDir, registry_file: Path, packages: Sequence[str], policy: RetryPolicy | None
) -> AttributeReport | None:
    path = pinned_path(read_shards(registry_file), packages, registry_file)
    if not path:
        LOG.info("%s pins no model yet: there is none to compare with", registry_file)
        return None
    upload = find_upload(path, policy=policy)
    key = f"{folder.reports.name}/{REPORT_FILE}"
    entry = upload.manifest["files"].get(key)
    if entry is None:
        raise ArtifactError(
            f"the pinned model {path} was uploaded without its validation ({key})",
            "compare by hand, then allow a drop of recall of 1 to leave the comparison out",
        )
    copy = folder.tmp / _PINNED_REPORT
    upload.store.get_file(key, copy, sha256=entry["sha256"])
    LOG.info("compared with the pinned model %s", path)
    return read_report_json(copy)
