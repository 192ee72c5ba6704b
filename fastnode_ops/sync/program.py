"""The syncer's process: take the folder, start a thread per host, serve, and end cleanly on SIGTERM and SIGINT."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastnode_ops.remote.hosts import parse_hosts
from fastnode_ops.remote.ssh import Ssh, SshOptions, end_commands
from fastnode_ops.sample_files.names import parse_name
from fastnode_ops.sync.budget import Budget, disk_room
from fastnode_ops.sync.copying import HostWorker, Pace, Sync
from fastnode_ops.sync.folder import SyncFolder
from fastnode_ops.sync.state import SyncState
from fastnode_ops.sync.transport import LocalFolder, SshFolder, Transport
from ops_common.errors import ConfigError

DEFAULT_PORT = 3087

_JOIN_SECONDS = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What a syncer does.

    Args:
        transports: Where files come from.
        local_dir: Where they go.
        max_local_bytes: What they may take there.
        deletes_remote: Whether used files are deleted on the hosts.
        metainfo_digest: The metainfo that all must be of; empty: any.
        pace: How often hosts are asked.
    """

    transports: Sequence[Transport]
    local_dir: Path
    max_local_bytes: int
    deletes_remote: bool = False
    metainfo_digest: str = ""
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        if self.max_local_bytes < 1:
            raise ConfigError(f"a budget of {self.max_local_bytes} bytes is none", "give at least the size of a file")


def run_sync(
    settings: SyncSettings, *, host: str = "127.0.0.1", port: int = DEFAULT_PORT, ready_file: Path | None = None
) -> dict[str, Any]:
    """Sync until SIGTERM or SIGINT.

    Args:
        settings: What to do.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        ready_file: Where to write the URL as soon as it answers.

    Returns:
        How it stood at the end.

    Raises:
        ServiceError: The port is taken.
        ConfigError: Another syncer works in the folder, or the address cannot be listened on.
        ArtifactError: The folder or the state in it cannot be used.
    """
    from fastnode_ops.sync.app import create_app, state_of
    from fastnode_ops.web.running import Served, serve_app

    with ExitStack() as stack:
        opened: list[tuple[Sync, list[HostWorker]]] = []

        def open_app() -> Served:
            sync, workers = stack.enter_context(running(settings))
            opened.append((sync, workers))
            what = f"{settings.local_dir} with the files of {len(workers)} hosts"
            return Served(create_app(sync, workers), what, partial(_begin_end, sync))

        serve_app(open_app, host=host, port=port, ready_file=ready_file)
        sync, workers = opened[0]
        return state_of(sync, workers)


@contextmanager
def running(settings: SyncSettings) -> Iterator[tuple[Sync, list[HostWorker]]]:
    """Bring files while the body runs."""
    folder = SyncFolder(settings.local_dir, settings.metainfo_digest)
    with folder.locked(), ThreadPoolExecutor(len(settings.transports), "check") as checkers:
        state = SyncState(folder.state_path)
        try:
            folder.recover(state)
            held = {parse_name(name): num_bytes for name, num_bytes in state.held().items()}
            room = partial(disk_room, settings.local_dir)
            budget = Budget(settings.max_local_bytes, held, map(parse_name, state.used()), room)
            sync = Sync(folder, state, budget, checkers, settings.deletes_remote, settings.pace)
            workers = [HostWorker(sync, transport) for transport in settings.transports]
            threads = [threading.Thread(target=worker.run, name=worker.status.name) for worker in workers]
            for thread in threads:
                thread.start()
            try:
                yield sync, workers
            finally:
                for thread in threads:
                    while thread.is_alive():
                        _begin_end(sync)  # again: it may just have begun another command
                        thread.join(_JOIN_SECONDS)
        finally:
            state.close()


def _begin_end(sync: Sync) -> None:
    """Make every thread end soon; what is half copied is continued the next time."""
    sync.stop.set()
    sync.budget.close()
    end_commands()


def open_transports(hosts: Sequence[str], remote_dir: str, options: SshOptions) -> list[Transport]:
    """Return where files come from.

    Args:
        hosts: `[user@]name[:port]` for a machine; with a `/` in it: a folder of this one.
        remote_dir: Absolute path of the folder on the machines.
        options: How they are reached.

    Raises:
        ConfigError: A name or the path has another form, or there is no host.
    """
    folders = [Path(text) for text in hosts if "/" in text]
    names = [text for text in hosts if "/" not in text]
    transports: list[Transport] = [LocalFolder(folder.absolute()) for folder in folders]
    if names or not folders:
        transports += [SshFolder(Ssh(host, options), remote_dir) for host in parse_hosts(names)]
    return transports


def digest_of_metainfo(path: Path) -> str:
    """Return the digest that files of a metainfo carry; read in a process of its own, because that takes memory.

    Raises:
        ArtifactError: There is no metainfo.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_read_digest, path).result()


def _read_digest(path: Path) -> str:
    from fastnode_ops.samples.metainfo import read_metainfo

    return read_metainfo(path).digest
