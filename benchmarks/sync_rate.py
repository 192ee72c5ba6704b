"""The syncer beside plain rsync: how fast the same files come from 2 and from 8 hosts.

Hosts are network namespaces with an sshd of their own; all share this machine's disk and cores, so encryption decides.
Plain rsync is one call for each host, all at once, that copies everything. Runs alternate; the medians are compared.
Target: 80 % of plain rsync, the syncer under 150 MiB. Needs root.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, told_by_command_line, write_result

TOTAL_BYTES = 2 * 1024**3
FILE_BYTES = 16 * 1024 * 1024
NUM_RUNS = 3
POLL_SECONDS = 0.05


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_ratio": 0.8, "target_mebibytes": 150}
    for num_hosts in (2, 8):
        command = [sys.executable, "-m", "benchmarks.sync_rate", "--measure", json.dumps({"num_hosts": num_hosts})]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        values[f"hosts_{num_hosts}"] = json.loads(done.stdout.splitlines()[-1])
    write_result("sync_rate", values, output)
    return values


def measure(num_hosts: int) -> dict[str, Any]:
    """Copy the same files both ways, in turns."""
    from tests.network_hosts import NetworkHosts

    with tempfile.TemporaryDirectory() as folder, NetworkHosts(Path(folder), num_hosts) as hosts:
        num_files = TOTAL_BYTES // FILE_BYTES
        for index in range(num_files):
            _make_file(hosts[index % num_hosts].data, index)
        local = Path(folder) / "local"
        plain, ours, mebibytes = [], [], 0.0
        for _ in range(NUM_RUNS):
            plain.append(_plain(hosts, local))
            seconds, used = _synced(hosts, local, num_files)
            ours.append(seconds)
            mebibytes = max(mebibytes, used)
    megabytes = TOTAL_BYTES / 1e6
    return {
        "plain_megabytes_per_second": megabytes / statistics.median(plain),
        "sync_megabytes_per_second": megabytes / statistics.median(ours),
        "ratio": statistics.median(plain) / statistics.median(ours),
        "sync_mebibytes": mebibytes,
        "plain_seconds": plain,
        "sync_seconds": ours,
    }


def _make_file(folder: Path, index: int) -> None:
    from fastnode_ops.sample_files.header import SampleFileHeader
    from fastnode_ops.sample_files.writing import write_index, write_records

    digest = "a1" * 32
    header = SampleFileHeader(
        metainfo_digest=digest, request_digest=digest, seed=1, first_step=100 * index, num_batches=100
    )
    draw = random.Random(index)
    write_index(folder, write_records(folder, header, [draw.randbytes(FILE_BYTES // 100) for _ in range(100)]))


def _plain(hosts: Any, local: Path) -> float:
    """Seconds of one plain rsync for each host, all at once, until the files are on the disk."""
    _empty(local)
    names = [[path.name for path in hosts[index].data.iterdir()] for index in range(len(hosts))]
    threads = [
        threading.Thread(target=hosts[index].ssh.rsync_from, args=(names[index], str(hosts.data), local))
        for index in range(len(hosts))
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.sync()
    return time.perf_counter() - started


def _synced(hosts: Any, local: Path, num_files: int) -> tuple[float, float]:
    """Seconds from the first look at the hosts until all files are ready, and the mebibytes of the syncer."""
    import psutil

    from ops_common.processes import start_process, stop_process_group, wait_until

    _empty(local)
    ready = local.with_name("url")
    ready.unlink(missing_ok=True)
    options = [word for name in hosts.names for word in ("--hosts", name)]
    keys = [f"--ssh-key={hosts.user_key}", f"--ssh-known-hosts={hosts.known_hosts}"]
    fixed = [f"--local-dir={local}", f"--remote-dir={hosts.data}", "--port=0", f"--ready-file={ready}"]
    command = [sys.executable, "-m", "fastnode_ops", "sync", *fixed, *keys, *options]
    process = start_process(command, local.with_name("log"), cwd=ROOT)
    state = local / ".sync" / "state.db"
    try:
        # the hosts are asked as soon as the state is there; what comes before is the start of Python
        wait_until(state.exists, 120, "the syncer", process=process, interval_seconds=POLL_SECONDS)
        started = time.perf_counter()

        def is_done() -> bool:
            return sum(name.endswith(".idx") for name in os.listdir(local)) == num_files  # noqa: PTH208 - asked often

        wait_until(is_done, 3600, "the files", process=process, interval_seconds=POLL_SECONDS)
        seconds = time.perf_counter() - started
        return seconds, psutil.Process(process.pid).memory_info().rss / 2**20
    finally:
        stop_process_group(process)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()


if __name__ == "__main__":
    main()
