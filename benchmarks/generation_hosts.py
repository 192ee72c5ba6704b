"""How the generation of samples scales over 1, 2 and 3 hosts, and what the hosts share.

Hosts are network namespaces on this machine with an sshd each, and make samples with one worker process. They share its
cores, so the rate cannot grow beyond those; whether anything else is shared is told by the batches per CPU-second of
the generators, which would fall, and by the bytes on the hosts' links, of which there should be none. Needs root.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import told_by_command_line, write_result

HOSTS = (1, 2, 3)
WINDOW_SECONDS = 90.0
START_SECONDS = 600.0
DATA_STEPS, PER_FILE = 6_000, 60  # steps that share files of code (docs/decisions/0012) stay on one host
DATASET = "rate"
SETTINGS = ["samples.max_samples=40", "train.batches_per_response=1"]


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    _, output = told_by_command_line(__doc__, lambda: {}, argv)
    with tempfile.TemporaryDirectory() as folder:
        place = _prepare(Path(folder))
        values = {f"hosts_{number}": _measure(Path(folder) / str(number), place, number) for number in HOSTS}
    write_result("generation_hosts", {"window_seconds": WINDOW_SECONDS, "workers_per_host": 1, **values}, output)
    return values


def _prepare(folder: Path) -> dict[str, str]:
    """A corpus of a few packages of the standard library, and its metainfo."""
    from fastnode_ops.tasks import build_metainfo
    from tests.fastnode.small_corpus import build_small_corpus

    corpus = build_small_corpus(folder)
    build_metainfo(work_dir=str(folder / "work"), corpus_dir=str(corpus), server="")
    return {"work_dir": str(folder / "work"), "corpus_dir": str(corpus)}


def _measure(folder: Path, place: dict[str, str], num_hosts: int) -> dict[str, Any]:
    """Let so many hosts generate, and look at all of them for a while."""
    from fastnode_ops.datagen_remote_tasks import deploy_datagen, stop_datagen
    from ops_common.processes import wait_until
    from tests.network_hosts import NetworkHosts

    folder.mkdir()
    with NetworkHosts(folder, num_hosts) as network:
        hosts = [network[index] for index in range(num_hosts)]
        where = {
            "hosts": network.names,
            "remote_dir": f"{network.data}/datagen",
            "dataset": DATASET,
            "remote_python": sys.executable,
            "ssh_key": str(network.user_key),
            "ssh_known_hosts": str(network.known_hosts),
        }
        work = {"data_steps": DATA_STEPS, "samples_per_file": PER_FILE, "num_workers": 1, "min_free_bytes": 1}
        deploy_datagen(**place, **where, **work, overrides=SETTINGS)  # type: ignore[arg-type]
        wait_until(lambda: all(_told(host)[0] > 1 for host in hosts), START_SECONDS, "samples of every host")
        before = [_look(host) for host in hosts]
        time.sleep(WINDOW_SECONDS)
        after = [_look(host) for host in hosts]
        stop_datagen(**where)  # type: ignore[arg-type]
    made, cpu, link, clock = (
        [later[what] - earlier[what] for earlier, later in zip(before, after)] for what in range(4)
    )
    return {
        "batches_per_second": sum(count / seconds for count, seconds in zip(made, clock)),
        "batches_per_second_of_each": [count / seconds for count, seconds in zip(made, clock)],
        "batches_per_cpu_second": sum(made) / sum(cpu),
        "cores_used": sum(cpu) / max(clock),
        "link_bytes_per_second": sum(link) / max(clock),
    }


def _told(host: Any) -> tuple[float, float]:
    """How many batches a host says that it has made, and when it said so; it does every few seconds."""
    path = host.data / "datagen/samples" / DATASET / ".datagen/status.json"
    return float(json.loads(path.read_text())["num_batches"]), path.stat().st_mtime


def _look(host: Any) -> tuple[float, float, float, float]:
    """Batches made, CPU-seconds of the host's processes, bytes on its link, and the time, when it next tells."""
    import psutil

    from ops_common.processes import wait_until

    earlier, cpu = _told(host), 0.0
    wait_until(lambda: _told(host) > earlier, START_SECONDS, "a word of a generator", interval_seconds=0.02)
    num_batches, told_at = _told(host)
    for process_id in host.process_ids():
        times = psutil.Process(process_id).cpu_times()
        cpu += times.user + times.system
    statistics = Path("/sys/class/net") / host.device / "statistics"
    link = sum(int((statistics / f"{way}_bytes").read_text()) for way in ("rx", "tx"))
    return num_batches, cpu, float(link), told_at


if __name__ == "__main__":
    main()
