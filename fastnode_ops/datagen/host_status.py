"""How the generation goes on each host, as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from fastnode_ops.datagen.deploy import Place
from fastnode_ops.datagen.many_hosts import MAX_AT_ONCE, on_each_host
from fastnode_ops.remote.failures import RemoteError
from fastnode_ops.remote.hosts import Host

_MAX_SKEW_SECONDS = 5.0


@dataclass(frozen=True)
class HostStatus:
    """One host.

    Args:
        host: Its name.
        state: What its generator says of itself; `dead` when it says so but does not run; or why there is no answer.
        num_made: Ranges that it has made.
        num_left: Ranges that it is yet to make.
        waiting_bytes: Size of the files that wait to be fetched.
        batches_per_second: Of its generator.
        last_error: What went wrong last.
        clock_seconds: How much its clock is ahead of ours.
    """

    host: str
    state: str
    num_made: int = 0
    num_left: int = 0
    waiting_bytes: int = 0
    batches_per_second: float = 0.0
    last_error: str = ""
    clock_seconds: float = 0.0


def ask_hosts(hosts: Sequence[Host], place: Place, *, max_at_once: int = MAX_AT_ONCE) -> list[HostStatus]:
    """Ask every host how it goes; one that does not answer has a row that says why."""
    answers, errors = on_each_host(hosts, lambda host: _ask(host, place), max_at_once)
    rows = []
    for host in hosts:
        if host in answers:
            rows.append(answers[host])
        else:
            error = errors[host]
            state = error.kind if isinstance(error, RemoteError) else "not deployed"
            rows.append(HostStatus(str(host), state, last_error=error.message))
    return rows


def print_table(rows: Sequence[HostStatus], stream: TextIO) -> None:
    """Write the table that people read."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in ("host", "state", "ranges made", "left", "waiting", "batches/s", "clock", "last error"):
        table.add_column(title, justify="left" if title in ("host", "state", "last error") else "right")
    for row in rows:
        is_skewed = abs(row.clock_seconds) > _MAX_SKEW_SECONDS
        table.add_row(
            row.host,
            row.state,
            f"{row.num_made:,}",
            f"{row.num_left:,}",
            f"{row.waiting_bytes / 1e6:,.1f} MB",
            f"{row.batches_per_second:.2f}",
            f"{row.clock_seconds:+.1f} s" + (" !" if is_skewed else ""),
            row.last_error.partition("\n")[0],
        )
    Console(file=stream, width=None if stream.isatty() else 160, markup=False).print(table)


def _ask(host: Host, place: Place) -> HostStatus:
    asked = time.time()
    told = place.agent(host).call("status", dataset=place.dataset)
    return status_of(str(host), told, (asked + time.time()) / 2)


def status_of(host: str, told: dict[str, Any], now: float) -> HostStatus:
    """What a host's answer means.

    Args:
        host: Its name.
        told: What `status` of `remote_run.py` returned.
        now: Our time in the middle of the question, in seconds since 1970.
    """
    generator, log = told["generator"], told["log"].strip().splitlines()
    state = str(generator.get("state", "starting" if told["is_running"] else "not started"))
    error = str(generator.get("last_error") or "")
    if not told["is_running"] and state not in ("done", "failed", "stopped", "not started"):
        state, error = "dead", error or (log[-1] if log else "")
    return HostStatus(
        host,
        state,
        num_made=int(generator.get("num_ranges_made", 0)),
        num_left=int(generator.get("num_ranges_left", 0)),
        waiting_bytes=told["num_bytes"],
        batches_per_second=float(generator.get("batches_per_second", 0.0)),
        last_error=error,
        clock_seconds=told["time"] - now,
    )
