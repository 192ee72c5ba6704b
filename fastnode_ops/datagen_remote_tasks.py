"""Generation on other hosts, as task functions: deploy, look, stop, clean up."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnode_ops.pipeline_dir import PipelineDir
from ops_common.errors import ServiceError

if TYPE_CHECKING:
    from fastnode_ops.config import ExpressionConfig
    from fastnode_ops.datagen.deploy import Place, Work
    from fastnode_ops.remote.hosts import Host

Result = dict[str, str | int | float | bool | list[str]]


def deploy_datagen(
    *,
    work_dir: str,
    corpus_dir: str,
    hosts: list[str],
    remote_dir: str,
    dataset: str,
    data_steps: int,
    config_file: str = "",
    overrides: list[str] | None = None,
    samples_per_file: int = 500,
    data_dir: str = "",
    syncer: str = "",
    remote_python: str = "",
    num_workers: int = 0,
    max_bytes: int = 20_000_000_000,
    min_free_bytes: int = 2_000_000_000,
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Copy the generator to hosts, share out the steps among them, and start it on each.

    Done again, what is neither here nor on a host that lives is shared out anew. An error names the hosts that failed.

    Args:
        work_dir: The pipeline's folder, with `out/metainfo.json`; `bundle/` and `bundle.tar.gz` are made in it.
        corpus_dir: Folder of the corpus.
        hosts: Hosts as `[user@]name[:port]`, several with spaces between them.
        remote_dir: Our folder on every host, absolute; new, empty, or of an earlier deployment.
        dataset: Name of the samples' folder there, below `samples/`.
        data_steps: Training batches to make, all hosts together.
        config_file: Settings (TOML); the defaults when empty.
        overrides: Settings to replace, each as section.key=value.
        samples_per_file: Training batches in a sample file, and in a range of steps.
        data_dir: Our folder that the files are brought to; those in it are not made again.
        syncer: Base URL of the syncer that brings them; what it has had is not made again.
        remote_python: Interpreter on the hosts that has all libraries. Empty: an environment is made there.
        num_workers: Processes on each host that make samples; 0: one per core.
        max_bytes: Bytes of finished files on a host at which it pauses until they are fetched.
        min_free_bytes: Room that a host must have beyond what is copied there.
        ssh_key: Private key to log in with. Empty: as the ssh configuration says.
        ssh_known_hosts: File with the keys of the hosts. Empty: as the ssh configuration says.
        ssh_config: Configuration of ssh. Empty: the user's own.
    """
    from fastnode_ops.datagen.work import Limits, finished_names, plan_work
    from fastnode_ops.remote.hosts import parse_hosts

    parsed = parse_hosts(hosts)
    place = place_of(remote_dir, dataset, remote_python, ssh_key, ssh_known_hosts, ssh_config)
    work = plan_work(
        PipelineDir(Path(work_dir)),
        Path(corpus_dir),
        settings_of(config_file, overrides),
        data_steps=data_steps,
        samples_per_file=samples_per_file,
        finished=finished_names(Path(data_dir) if data_dir else None, syncer),
        limits=Limits(num_workers, max_bytes, min_free_bytes),
    )
    return _deployed(parsed, place, work)


def datagen_status(
    *,
    hosts: list[str],
    remote_dir: str,
    dataset: str,
    remote_python: str = "",
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Show how the generation goes on each host.

    Args:
        hosts: Hosts as `[user@]name[:port]`, several with spaces between them.
        remote_dir: Our folder on every host.
        dataset: Name of the samples' folder there.
        remote_python: Interpreter on the hosts. Empty: `python3`.
        ssh_key: Private key to log in with. Empty: as the ssh configuration says.
        ssh_known_hosts: File with the keys of the hosts. Empty: as the ssh configuration says.
        ssh_config: Configuration of ssh. Empty: the user's own.
    """
    from fastnode_ops.datagen.host_status import ask_hosts, print_table
    from fastnode_ops.remote.hosts import parse_hosts

    place = place_of(remote_dir, dataset, remote_python, ssh_key, ssh_known_hosts, ssh_config)
    rows = ask_hosts(parse_hosts(hosts), place)
    print_table(rows, sys.stderr)
    states = Counter(row.state for row in rows)
    return {
        "num_hosts": len(rows),
        "states": [f"{row.host}={row.state}" for row in rows],
        "num_at_work": states["running"] + states["paused"] + states["starting"],
        "num_done": states["done"],
        "num_made": sum(row.num_made for row in rows),
        "num_left": sum(row.num_left for row in rows),
        "waiting_bytes": sum(row.waiting_bytes for row in rows),
        "batches_per_second": round(sum(row.batches_per_second for row in rows), 3),
    }


def stop_datagen(
    *,
    hosts: list[str],
    remote_dir: str,
    dataset: str,
    remote_python: str = "",
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Stop the generation of a data set on hosts: exactly the processes that were started for it.

    Args:
        hosts: Hosts as `[user@]name[:port]`, several with spaces between them.
        remote_dir: Our folder on every host.
        dataset: Name of the samples' folder there.
        remote_python: Interpreter on the hosts. Empty: `python3`.
        ssh_key: Private key to log in with. Empty: as the ssh configuration says.
        ssh_known_hosts: File with the keys of the hosts. Empty: as the ssh configuration says.
        ssh_config: Configuration of ssh. Empty: the user's own.
    """
    from fastnode_ops.remote.hosts import parse_hosts

    place = place_of(remote_dir, dataset, remote_python, ssh_key, ssh_known_hosts, ssh_config)
    return stop_on_all(parse_hosts(hosts), place, "stop", place.dataset)


def clean_remote(
    *,
    hosts: list[str],
    remote_dir: str,
    dataset: str = "",
    remote_python: str = "",
    ssh_key: str = "",
    ssh_known_hosts: str = "",
    ssh_config: str = "",
) -> Result:
    """Stop the generation and delete the samples of a data set on hosts; without a name, of all, and all else of ours.

    Args:
        hosts: Hosts as `[user@]name[:port]`, several with spaces between them.
        remote_dir: Our folder on every host; nothing is deleted in a folder that no deployment made.
        dataset: Name of the samples' folder there. Empty: everything that deployments left there.
        remote_python: Interpreter on the hosts. Empty: `python3`.
        ssh_key: Private key to log in with. Empty: as the ssh configuration says.
        ssh_known_hosts: File with the keys of the hosts. Empty: as the ssh configuration says.
        ssh_config: Configuration of ssh. Empty: the user's own.
    """
    from fastnode_ops.remote.hosts import parse_hosts

    place = place_of(remote_dir, dataset or "all", remote_python, ssh_key, ssh_known_hosts, ssh_config)
    return stop_on_all(parse_hosts(hosts), place, "clean", dataset)


def _deployed(hosts: list[Host], place: Place, work: Work) -> Result:
    """Bring the work to the hosts; an error at the end names those that failed."""
    from fastnode_ops.datagen.deploy import deploy

    done = deploy(hosts, place, work)
    if done.failed:
        living = ", ".join(str(host) for host in [*done.started, *done.idle]) or "none"
        lines = "\n".join(f"  {error.message}" for error in done.failed.values())
        raise ServiceError(
            f"{len(done.failed)} of {len(hosts)} hosts failed (working: {living}):\n{lines}",
            next(error.hint for error in done.failed.values()),
        )
    return {
        "num_hosts": len(hosts),
        "num_started": len(done.started),
        "num_ranges": len(work.ranges),
        "num_finished": len(work.finished),
        "num_shared_out": sum(len(numbers) for numbers in done.started.values()),
        "hosts": [str(host) for host in done.started],
    }


def stop_on_all(hosts: Sequence[Host], place: Place, verb: str, dataset: str) -> Result:
    """Have `stop` or `clean` done on every host that can be reached; an error at the end names the others."""
    from fastnode_ops.datagen.many_hosts import on_each_host

    def call(host: Host) -> dict[str, Any]:
        return place.agent(host).call(verb, dataset=dataset, timeout=600.0)

    done, failed = on_each_host(hosts, call)
    if failed:
        lines = "\n".join(f"  {error.message}" for error in failed.values())
        raise ServiceError(f"{verb} failed on {len(failed)} of {len(hosts)} hosts:\n{lines}", "try these again")
    return {"num_hosts": len(hosts), "num_processes": sum(answer["num_processes"] for answer in done.values())}


def place_of(
    remote_dir: str, dataset: str, remote_python: str, ssh_key: str, ssh_known_hosts: str, ssh_config: str
) -> Place:
    """Where on the hosts, from a task's arguments."""
    from fastnode_ops.datagen.deploy import Place
    from fastnode_ops.remote.ssh import SshOptions

    key, known_hosts, config = (Path(name) if name else None for name in (ssh_key, ssh_known_hosts, ssh_config))
    return Place(remote_dir, dataset, remote_python, SshOptions(key, known_hosts, config))


def settings_of(config_file: str, overrides: list[str] | None) -> ExpressionConfig:
    """The settings, from a task's arguments."""
    from fastnode_ops.config import ExpressionConfig
    from ops_common.config import load_config

    return load_config(ExpressionConfig, Path(config_file) if config_file else None, overrides or [])
