"""The same for many hosts at once: a bounded number of them, and one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from fastnode_ops.remote.hosts import Host
from fastnode_ops.remote.ssh import end_commands
from ops_common.errors import OpsError

MAX_AT_ONCE = 8

_SLICE_SECONDS = 0.2  # between two attempts to end what is running; a host may just have begun with its next command

T = TypeVar("T")


def on_each_host(
    hosts: Iterable[Host], work: Callable[[Host], T], max_at_once: int = MAX_AT_ONCE
) -> tuple[dict[Host, T], dict[Host, OpsError]]:
    """Do something for each host.

    Args:
        hosts: The hosts.
        work: What to do; errors that a person can act on are kept, others are raised.
        max_at_once: For how many hosts at the same time.

    Returns:
        What it returned, and the errors, each by host in the order of the hosts.
    """
    done: dict[Host, T] = {}
    failed: dict[Host, OpsError] = {}
    with ThreadPoolExecutor(max_at_once, thread_name_prefix="host") as pool:
        futures = {host: pool.submit(work, host) for host in hosts}
        try:
            for host, future in futures.items():
                try:
                    done[host] = future.result()
                except OpsError as error:
                    failed[host] = error
        except BaseException:  # we are to stop: nobody waits for what is being copied
            pool.shutdown(wait=False, cancel_futures=True)
            while wait(futures.values(), timeout=_SLICE_SECONDS).not_done:
                end_commands()
            raise
    return done, failed
