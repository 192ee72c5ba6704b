"""Bringing files here, from folders of this machine: what is taken, what is refused, what is deleted."""

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fastnode_ops.remote.ssh import PARTIAL_DIR, SshOptions
from fastnode_ops.sample_files.names import parse_name
from fastnode_ops.sample_files.reading import finished_files
from fastnode_ops.sync.app import metrics_text, state_of
from fastnode_ops.sync.budget import Budget
from fastnode_ops.sync.copying import HostWorker, Pace, Sync
from fastnode_ops.sync.folder import SyncFolder
from fastnode_ops.sync.program import SyncSettings, open_transports, running
from fastnode_ops.sync.state import SyncState
from fastnode_ops.sync.transport import LocalFolder
from ops_common.errors import ConfigError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.sample_files.files import METAINFO_DIGEST
from tests.fastnode.sync.files import file_name, make_file, size_of


class World:
    """A syncer whose rounds are made by the test, one after the other; its hosts are folders."""

    def __init__(self, root: Path, *, max_bytes: int = 10**9, deletes_remote: bool = False, metainfo: str = "") -> None:
        self.root, self.local = root, root / "local"
        self.folder = SyncFolder(self.local, metainfo)
        self.state = SyncState(self.folder.state_path)
        self.folder.recover(self.state)
        held = {parse_name(name): size for name, size in self.state.held().items()}
        budget = Budget(max_bytes, held, map(parse_name, self.state.used()), lambda: 10**12)
        self.checkers = ThreadPoolExecutor(2)
        self.sync = Sync(self.folder, self.state, budget, self.checkers, deletes_remote, Pace(0.01, 0.01))
        self.workers = {host: HostWorker(self.sync, LocalFolder(self.host(host))) for host in "ab"}
        for host in "ab":
            self.host(host).mkdir(exist_ok=True)

    def host(self, name: str) -> Path:
        return self.root / name

    def round(self, hosts: str = "ab") -> None:
        for host in hosts:
            self.workers[host].round()

    def use(self, *indexes: int) -> None:
        names = [file_name(index) for index in indexes]
        assert self.state.mark_used(names) == []
        self.sync.budget.passed(map(parse_name, names))
        self.sync.remove_used()

    @property
    def refused(self) -> dict[str, int]:
        found: dict[str, int] = state_of(self.sync, list(self.workers.values()))["refused"]
        return found

    def close(self) -> None:
        self.checkers.shutdown()
        self.state.close()


@contextmanager
def world(root: Path, **options: object) -> Iterator[World]:
    made = World(root, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def names_in(folder: Path) -> list[str]:
    return [name.file_name for name in finished_files(folder)]


def test_files_of_two_hosts_each_once(tmp_path: Path) -> None:
    with world(tmp_path) as one:
        for host, indexes in (("a", (0, 2, 3)), ("b", (1, 2))):
            for index in indexes:
                make_file(one.host(host), index)
        one.round()
        assert one.state.ready() == names_in(one.local) == [file_name(index) for index in range(4)]
        assert one.state.totals().num_duplicates == 1
        inodes = [(one.local / file_name(index)).stat().st_ino for index in range(4)]
        one.round()
        assert inodes == [(one.local / file_name(index)).stat().st_ino for index in range(4)]  # nothing came twice
        assert one.state.totals().local_bytes == sum(size_of(one.local, index) for index in range(4))


def test_what_cannot_be_used_is_counted_and_left(tmp_path: Path) -> None:
    with world(tmp_path, metainfo=METAINFO_DIGEST) as one:
        make_file(one.host("a"), 0)
        torn = one.host("a") / make_file(one.host("a"), 1).file_name
        torn.write_bytes(torn.read_bytes()[:-1])
        damaged = one.host("a") / make_file(one.host("a"), 2).file_name
        content = bytearray(damaged.read_bytes())
        content[-7] ^= 1
        damaged.write_bytes(content)
        (one.host("a") / make_file(one.host("a"), 3).index_name).write_text("{}")
        make_file(one.host("a"), 4, metainfo_digest="f0" * 32)
        make_file(one.host("b"), 0, content=1)
        (one.host("a") / make_file(one.host("a"), 5).index_name).unlink()  # in the making: not counted
        for _ in range(3):
            one.round()
        assert names_in(one.local) == [file_name(0)]
        assert one.refused == {"corrupt": 3, "metainfo": 1, "conflict": 1}
        make_file(one.host("a"), 2)  # made again, as it should be
        one.round()
        assert names_in(one.local) == [file_name(0), file_name(2)]
        assert one.refused == {"corrupt": 2, "metainfo": 1, "conflict": 1}


HOSTILE = ("a b.samples", "new\nline.samples", "$(touch hit).samples", "-rf", "`touch hit`.idx", "'; touch hit; '")


def test_names_that_are_none_of_ours_are_ignored_and_counted(tmp_path: Path) -> None:
    with world(tmp_path) as one:
        make_file(one.host("a"), 0)
        for name in HOSTILE:
            (one.host("a") / name).write_text("x")
        (one.host("a") / file_name(1)).symlink_to("/etc/passwd")
        (one.host("a") / file_name(1)).with_suffix(".idx").symlink_to("/etc/passwd")
        one.round()
        assert one.refused == {"name": len(HOSTILE)}
        assert names_in(one.local) == [file_name(0)]


def test_a_hosts_clock_may_say_what_it_likes(tmp_path: Path) -> None:
    """Only whether a time is another one matters: a host whose clock was set back still has its new files seen."""
    with world(tmp_path) as one:
        for index, time in enumerate((0.0, 1.5, 4_102_444_800.25)):  # in 1970, and in 2100
            name = make_file(one.host("a"), index)
            for part in (name.file_name, name.index_name):
                os.utime(one.host("a") / part, (time, time))
        make_file(one.host("a"), 3, metainfo_digest="f0" * 32)
        one.folder.metainfo_digest = METAINFO_DIGEST
        one.round()
        assert names_in(one.local) == [file_name(index) for index in range(3)]
        assert one.refused == {"metainfo": 1}
        name = make_file(one.host("a"), 3)  # made anew, by a clock that has gone back ten years
        for part in (name.file_name, name.index_name):
            os.utime(one.host("a") / part, (1_200_000_000, 1_200_000_000))
        one.round()
        assert (names_in(one.local), one.refused) == ([file_name(index) for index in range(4)], {})


def test_the_budget_holds_and_goes_on_after_use(tmp_path: Path) -> None:
    for index in range(8):
        make_file(tmp_path / "a", index)
    size = size_of(tmp_path / "a", 0)
    with world(tmp_path, max_bytes=4 * size + 10) as one:
        one.round("a")
        one.round("a")
        assert names_in(one.local) == [file_name(index) for index in range(4)]
        assert state_of(one.sync, [])["pause_reason"] == "budget"
        one.use(0)
        assert names_in(one.local) == [file_name(index) for index in (1, 2, 3)]  # 75 %: there is room for one
        one.round("a")
        assert names_in(one.local) == [file_name(index) for index in (1, 2, 3, 4)]
        one.use(1, 2, 3, 4)
        one.round("a")
        assert one.state.ready() == [file_name(index) for index in (5, 6, 7)]
        assert not state_of(one.sync, [])["paused"]


def test_a_file_larger_than_the_budget_is_refused(tmp_path: Path) -> None:
    make_file(tmp_path / "a", 0)
    with world(tmp_path, max_bytes=1_000) as one:
        one.round("a")
        assert one.refused == {"too_large": 1}


def test_used_files_come_again_in_the_next_epoch(tmp_path: Path) -> None:
    with world(tmp_path) as one:
        for index in range(3):
            make_file(one.host("a"), index)
        one.round()
        one.use(0, 1)
        one.round()
        assert one.state.ready() == [file_name(2)]
        assert one.state.reset() == (1, [])
        assert one.state.ready() == [file_name(2)]  # it still stands here
        one.round()
        assert one.state.ready() == [file_name(index) for index in range(3)]
        make_file(one.host("a"), 0, content=1)  # a host that makes other bytes in the second epoch
        one.use(0)
        assert one.state.reset() == (2, [])
        one.round()
        assert one.state.ready() == [file_name(1), file_name(2)]
        assert one.refused == {"conflict": 1}


def test_used_files_are_deleted_on_every_host(tmp_path: Path) -> None:
    with world(tmp_path, deletes_remote=True) as one:
        for host in "ab":
            make_file(one.host(host), 0)
        make_file(one.host("a"), 1)
        one.round()
        one.use(0)
        one.round()
        assert names_in(one.host("a")) == [file_name(1)]
        assert list(one.host("b").iterdir()) == []
        assert one.state.reset() == (0, [file_name(0)])


def test_after_a_kill_at_any_point_everything_comes_once(tmp_path: Path) -> None:
    """The points between the steps of a file's arrival and departure, as a killed process leaves them."""
    name = make_file(tmp_path / "a", 0)
    with world(tmp_path) as one:
        partial = one.folder.partial(str(one.host("a")))
        one.workers["a"].round()
    samples, index = tmp_path / "local" / name.file_name, tmp_path / "local" / name.index_name

    def left(place: str) -> None:
        with world(tmp_path) as one:
            one.state._db.execute("UPDATE files SET place = ?", (place,))

    def check(num_ready: int = 1) -> None:
        with world(tmp_path) as one:
            assert one.state.at("copying") == one.state.at("leaving") == []
            one.round("a")
            assert len(one.state.ready()) == num_ready == len(names_in(one.local))
            assert not any(path.name == name.file_name for path in partial.rglob("*"))

    left("copying")  # both are in their place, and the state does not know it
    check()
    left("copying")
    index.rename(partial / index.name)  # between the two renames
    check()
    left("copying")
    index.unlink()
    samples.unlink()
    (partial / samples.name).write_bytes(b"half")  # while it was copied
    check()
    samples.unlink()  # somebody deleted it
    check()
    with world(tmp_path) as one:
        assert one.state.mark_used([name.file_name]) == []
    index.unlink()  # between the two deletions
    check(num_ready=0)
    assert not samples.exists()


def test_what_a_killed_rsync_had_is_not_copied_again(tmp_path: Path) -> None:
    folder = SyncFolder(tmp_path)
    partial = folder.partial("a:22")
    name = file_name(0)
    for letters, content in (("aB3dEf", b"123"), ("xYzxYz", b"12345"), ("zzzzzz", b"1")):
        (partial / f".{name}.{letters}").write_bytes(content)
    with closing(SyncState(folder.state_path)) as state:
        folder.recover(state)
    assert [path.name for path in partial.iterdir()] == [PARTIAL_DIR]
    assert (partial / PARTIAL_DIR / name).read_bytes() == b"12345"


def test_a_state_that_is_lost_is_made_again_of_the_files(tmp_path: Path) -> None:
    make_file(tmp_path / "a", 0)
    make_file(tmp_path / "local", 0)
    damaged = tmp_path / "local" / make_file(tmp_path / "local", 1).file_name
    damaged.write_bytes(b"x")
    with world(tmp_path) as one:
        assert one.state.ready() == [file_name(0)]
        one.round("a")
        assert one.state.totals().num_ready == 1


def test_one_syncer_for_a_folder(tmp_path: Path) -> None:
    transports = open_transports([f"{tmp_path}/a"], "", SshOptions())
    settings = SyncSettings(transports, tmp_path / "local", 10**9)
    with running(settings):
        with pytest.raises(ConfigError, match="a syncer works in"):
            with running(settings):
                pass
    with running(settings):
        pass


@pytest.mark.parametrize("hosts", [[], ["-oProxyCommand=x"], ["a b$(x)"], ["host", "host"]])
def test_hosts_that_are_none(hosts: list[str]) -> None:
    with pytest.raises(ConfigError):
        open_transports(hosts, "/data", SshOptions())


def test_the_folder_on_hosts_is_absolute() -> None:
    with pytest.raises(ConfigError, match="not an absolute path"):
        open_transports(["host"], "-rf", SshOptions())


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="cannot be listed"):
        LocalFolder(tmp_path / "none").list()


def test_metrics(tmp_path: Path) -> None:
    with world(tmp_path) as one:
        make_file(one.host("a"), 0)
        (one.host("a") / "odd").touch()
        one.round()
        lines = metrics_text(state_of(one.sync, list(one.workers.values()))).splitlines()
        assert "fastnode_sync_num_ready 1" in lines
        assert 'fastnode_sync_refused{reason="name"} 1' in lines


def test_a_full_disk_here_is_waited_out(tmp_path: Path) -> None:
    class FullDisk(LocalFolder):
        is_full = True

        def fetch(self, names: Sequence[str], folder: Path, num_bytes: int) -> None:
            (folder / names[0]).write_bytes(b"half")
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().fetch(names, folder, num_bytes)

    make_file(tmp_path / "a", 0)
    with world(tmp_path) as one:
        transport = FullDisk(one.host("a"))
        worker = HostWorker(one.sync, transport)
        thread = threading.Thread(target=worker.run)
        thread.start()
        wait_until(lambda: worker.status.state == "local_disk_full", 30, "the full disk")
        assert not list(one.folder.partial(transport.name).iterdir())  # what is half gives its space back
        transport.is_full = False
        wait_until(lambda: one.state.ready() == [file_name(0)], 30, "the file")
        wait_until(lambda: (worker.status.state, worker.status.last_error) == ("ok", ""), 30, "the good news")
        one.sync.stop.set()
        thread.join()
