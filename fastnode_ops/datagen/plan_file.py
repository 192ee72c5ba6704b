"""What is to be made where, in one small file of the pipeline's folder: decided once, read by who deploys to a host.

`tmp/datagen/plan.json` says it; beside it stands a file for each host that was given its share, so that whoever comes
afterwards knows which hosts were not.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastnode_ops.datagen.bundle import Bundle
from fastnode_ops.datagen.deploy import Place, Work
from fastnode_ops.datagen.ranges import format_ranges, parse_ranges, ranges
from fastnode_ops.datagen.sharing import shares
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.remote.hosts import Host, parse_host
from fastnode_ops.remote.ssh import SshOptions
from ops_common.artifacts import make_folder, read_json, write_json
from ops_common.errors import ArtifactError, ConfigError

SCHEMA_VERSION = 1

_SSH_FILES = ("key_file", "known_hosts_file", "config_file")


@dataclass(frozen=True)
class Plan:
    """Who makes what.

    Args:
        place: Where on the hosts.
        work: What, all hosts together.
        shares: The ranges of each host.
    """

    place: Place
    work: Work
    shares: dict[Host, list[int]]

    def share_of(self, name: str) -> tuple[Host, list[int]]:
        """Return a host and its ranges; ConfigError when it has none of the plan."""
        for host, numbers in self.shares.items():
            if str(host) == name:
                return host, numbers
        known = ", ".join(map(str, self.shares))
        raise ConfigError(f"the plan has no host {name!r}", f"its hosts: {known}; plan again with plan-datagen")


def make_plan(hosts: Collection[Host], place: Place, work: Work) -> Plan:
    """Share the work out among hosts of which none has made anything."""
    shared = shares(work.ranges, work.finished, {str(host): () for host in hosts})
    return Plan(place, work, {host: shared[str(host)] for host in hosts})


def write_plan(folder: PipelineDir, plan: Plan) -> None:
    """Write a plan in the place of an older one; no host was given anything of it yet."""
    work, place = plan.work, plan.place
    shutil.rmtree(_folder(folder), ignore_errors=True)
    make_folder(_folder(folder))
    options = {name: getattr(place.options, name) for name in _SSH_FILES}
    write_json(
        _path(folder),
        {
            "schema_version": SCHEMA_VERSION,
            "place": {
                "root": place.root,
                "dataset": place.dataset,
                "python": place.python,
                "options": {name: str(path.absolute()) if path else "" for name, path in options.items()},
            },
            "work": {
                **{name: getattr(work, name) for name in ("identity", "data_steps", "samples_per_file")},
                "bundle": {**asdict(work.bundle), "archive": str(work.bundle.archive.absolute())},
                "corpus_dir": str(work.corpus_dir.absolute()),
                "finished": format_ranges(work.finished),
                "command": list(work.command),
                "command_here": list(work.command_here),
                "min_free_bytes": work.min_free_bytes,
            },
            "shares": {str(host): format_ranges(numbers) for host, numbers in plan.shares.items()},
        },
    )


def read_plan(folder: PipelineDir) -> Plan:
    """Read the plan.

    Raises:
        ConfigError: Nothing was planned in this folder.
        ArtifactError: The file is damaged.
    """
    path = _path(folder)
    if not path.exists():
        raise ConfigError(f"{path} does not exist: no generation was planned", "run plan-datagen first")
    try:
        return _parsed(read_json(path))
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged: {error!r}", "run plan-datagen again") from None


def mark_started(folder: PipelineDir, host: Host, numbers: Collection[int]) -> None:
    """Note that a host works on its share."""
    write_json(_mark(folder, host), {"host": str(host), "ranges": format_ranges(numbers)})


def unmark(folder: PipelineDir, host: Host) -> None:
    """Note that it is not known any more whether a host works."""
    _mark(folder, host).unlink(missing_ok=True)


def not_started(folder: PipelineDir, plan: Plan) -> list[Host]:
    """Return the hosts of a plan that were not given their share."""
    return [host for host in plan.shares if not _mark(folder, host).exists()]


def _parsed(value: dict[str, Any]) -> Plan:
    place, work = value["place"], value["work"]
    key, known_hosts, config = (Path(text) if (text := place["options"][name]) else None for name in _SSH_FILES)
    bundle = work["bundle"]
    return Plan(
        Place(place["root"], place["dataset"], place["python"], SshOptions(key, known_hosts, config)),
        Work(
            bundle=Bundle(**{**bundle, "archive": Path(bundle["archive"])}),
            corpus_dir=Path(work["corpus_dir"]),
            identity=work["identity"],
            ranges=ranges(work["data_steps"], work["samples_per_file"]),
            data_steps=work["data_steps"],
            samples_per_file=work["samples_per_file"],
            finished=set(parse_ranges(work["finished"])),
            command=work["command"],
            command_here=work["command_here"],
            min_free_bytes=work["min_free_bytes"],
        ),
        {parse_host(name): parse_ranges(ranges) for name, ranges in value["shares"].items()},
    )


def _folder(folder: PipelineDir) -> Path:
    return folder.tmp / "datagen"


def _path(folder: PipelineDir) -> Path:
    return _folder(folder) / "plan.json"


def _mark(folder: PipelineDir, host: Host) -> Path:
    return _folder(folder) / f"started-{hashlib.sha256(str(host).encode()).hexdigest()[:16]}.json"
