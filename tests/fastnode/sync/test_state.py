"""The state of the syncer, under random operations and restarts."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sync.state import SyncState
from fastnode_ops.sync.transport import RemoteFile
from ops_common.errors import ArtifactError

HOSTS = ("one", "two", "three")
NAMES = [SampleFileName(10 * index, 10, 1) for index in range(4)]
MEMORY = Path("/dev/shm")  # thousands of commits, each of which goes to the disk
GOOD, OTHER = "a" * 64, "b" * 64

hosts, names = st.sampled_from(HOSTS), st.sampled_from(NAMES)


def remote(name: SampleFileName, version: str = "1") -> RemoteFile:
    return RemoteFile(name, 100, 10, version)


def arrive(state: SyncState, host: str, name: SampleFileName, sha256: str = GOOD) -> bool:
    assert state.claim(host, [name.file_name]) == [name.file_name]
    return state.arrived(name.file_name, sha256, 100)


class AnyOrder(RuleBasedStateMachine):
    """Files come, fail, are used, are deleted; the process is killed between any two of these.

    The model is only what a reader could see: what was ready, what it used.
    """

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.path = Path(self.folder.name) / "state.db"
        self.state = SyncState(self.path)
        self.offered: dict[tuple[str, str], str] = {}  # good copies, with their digests
        self.verified: dict[str, str] = {}
        self.used: set[str] = set()
        self.epoch = 0

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.state.close()
            self.folder.cleanup()

    @rule(host=hosts, name=names, sha256=st.sampled_from([GOOD, GOOD, OTHER]))
    def a_host_has_a_file(self, host: str, name: SampleFileName, sha256: str) -> None:
        if self.state.unknown(host, [*(remote(n) for n in NAMES if (host, n.file_name) in self.offered), remote(name)]):
            self.state.offer(host, remote(name), sha256)
        self.offered.setdefault((host, name.file_name), sha256)

    @rule(host=hosts)
    def a_host_copies(self, host: str) -> None:
        wanted = [one.name.file_name for one in self.state.wanted(host)]
        assert self.state.claim(host, wanted) == wanted
        assert not set(self.state.claim("another", wanted))

    @rule(host=hosts, name=names)
    def a_file_arrives(self, host: str, name: SampleFileName) -> None:
        if name.file_name in self.state.at("copying"):
            sha256 = self.verified.get(name.file_name) or self.offered.get((host, name.file_name), GOOD)
            is_ready = self.state.arrived(name.file_name, sha256, 100)
            assert is_ready == (name.file_name not in self.used)
            self.verified[name.file_name] = sha256

    @rule(host=hosts, name=names)
    def a_copy_fails(self, host: str, name: SampleFileName) -> None:
        self.state.failed(host, name.file_name)

    @rule(name=names)
    def a_file_is_used(self, name: SampleFileName) -> None:
        is_known = name.file_name in self.verified
        assert bool(self.state.mark_used([name.file_name])) == (not is_known)
        if is_known:
            self.used.add(name.file_name)

    @rule(name=names)
    def a_file_is_deleted_here(self, name: SampleFileName) -> None:
        if name.file_name in self.state.at("leaving"):
            self.state.left(name.file_name)

    @rule()
    def another_epoch(self) -> None:
        epoch, lost = self.state.reset()
        if not lost:
            self.used.clear()
            self.epoch += 1
        assert epoch == self.epoch

    @rule()
    def killed_and_started_again(self) -> None:
        self.state.close()
        self.state = SyncState(self.path)
        for host in HOSTS:
            self.state.give_back(host)

    @invariant()
    def ready_is_verified_and_not_used(self) -> None:
        if not hasattr(self, "state"):
            return
        ready = self.state.ready()
        assert len(ready) == len(set(ready))
        assert set(ready) <= self.verified.keys() - self.used
        totals = self.state.totals()
        assert (totals.num_ready, totals.num_used, totals.epoch) == (len(ready), len(self.used), self.epoch)

    @invariant()
    def nothing_is_lost(self) -> None:
        """What a host has with good bytes, and was not used, is ready, or on its way, or wanted from a host."""
        if not hasattr(self, "state"):
            return
        wanted = {one.name.file_name for host in HOSTS for one in self.state.wanted(host)}
        found = wanted | {name for place in ("local", "copying", "leaving") for name in self.state.at(place)}
        good = {name for (_, name), sha in self.offered.items() if self.verified.get(name, sha) == sha}
        assert good - self.used <= found


AnyOrder.TestCase.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
TestAnyOrder = AnyOrder.TestCase


@pytest.fixture
def state(tmp_path: Path) -> SyncState:
    return SyncState(tmp_path / "state.db")


def test_a_file_of_two_hosts_is_copied_from_one(state: SyncState) -> None:
    for host in ("one", "two"):
        assert state.unknown(host, [remote(NAMES[0])])
        state.offer(host, remote(NAMES[0]), GOOD)
    assert state.claim("two", [NAMES[0].file_name])
    assert state.wanted("one") == []
    state.failed("two", NAMES[0].file_name)
    assert [one.name for one in state.wanted("one")] == [NAMES[0]]  # whoever can goes on
    arrive(state, "one", NAMES[0])
    assert state.totals().num_duplicates == 1
    assert state.wanted("two") == []


@pytest.mark.parametrize("comes_first", [True, False])
def test_other_bytes_under_the_same_name_are_refused(state: SyncState, comes_first: bool) -> None:
    state.offer("one", remote(NAMES[0]), GOOD)
    if comes_first:
        state.offer("two", remote(NAMES[0]), OTHER)
    arrive(state, "one", NAMES[0])
    if not comes_first:
        state.offer("two", remote(NAMES[0]), OTHER)
    totals = state.totals()
    assert (totals.refused, totals.num_duplicates) == ({"conflict": 1}, 0)
    assert state.unknown("two", [remote(NAMES[0])]) == []  # and it is not looked at again
    assert state.unknown("two", [remote(NAMES[0], "2")]) != []  # until it changes


def test_a_damaged_copy_has_a_second_chance_and_no_third(state: SyncState) -> None:
    state.offer("one", remote(NAMES[0]), GOOD)
    for num_left in (1, 0):
        state.claim("one", [NAMES[0].file_name])
        state.failed("one", NAMES[0].file_name, "corrupt")
        assert len(state.wanted("one")) == num_left
    assert state.totals().refused == {"corrupt": 1}
    state.offer("one", remote(NAMES[0], "2"), GOOD)
    assert len(state.wanted("one")) == 1


def test_no_epoch_without_the_files_of_the_last(state: SyncState) -> None:
    state.offer("one", remote(NAMES[0]), GOOD)
    arrive(state, "one", NAMES[0])
    state.mark_used([NAMES[0].file_name])
    assert state.begin_removal("one") == []  # it still stands here
    state.left(NAMES[0].file_name)
    assert state.begin_removal("one") == [NAMES[0].file_name]
    assert state.reset() == (0, [NAMES[0].file_name])
    assert state.begin_removal("one") == [NAMES[0].file_name]  # the command may have failed
    assert state.unknown("one", []) == []
    assert state.begin_removal("one") == []
    state.offer("two", remote(NAMES[0]), GOOD)
    assert state.reset() == (1, [])


def test_a_file_used_while_it_is_copied_again_leaves_at_once(state: SyncState) -> None:
    state.offer("one", remote(NAMES[0]), GOOD)
    arrive(state, "one", NAMES[0])
    state.mark_used([NAMES[0].file_name])
    state.left(NAMES[0].file_name)
    assert state.reset() == (1, [])
    state.claim("one", [NAMES[0].file_name])
    state.mark_used([NAMES[0].file_name])
    assert not state.arrived(NAMES[0].file_name, GOOD, 100)
    assert state.at("leaving") == [NAMES[0].file_name]


def test_another_file_is_not_taken_for_the_state(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"something else, and long enough for SQLite to look at it" * 20)
    with pytest.raises(ArtifactError, match="cannot be used"):
        SyncState(path)
