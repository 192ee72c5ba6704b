"""What a syncer's state means: enough, not yet, nothing that could come."""

from typing import Any

import pytest
from ops_platform.sync_progress import HostState, SyncState, Wanted, Watch

LOST_SECONDS = 100.0


def host(state: str, name: str = "a", num_files: int = 0, error: str = "") -> HostState:
    return HostState(name=name, state=state, num_files=num_files, last_error=error)


def state(*hosts: HostState, **values: Any) -> SyncState:
    given = {"num_verified": 0, "num_batches_verified": 0, "paused": False, "refused": {}, "hosts": hosts, **values}
    return SyncState.model_validate(given)


def judge(*states: SyncState, wanted: Wanted | None = None, seconds_apart: float = 1.0) -> tuple[str, str]:
    watch = Watch(wanted or Wanted(2), LOST_SECONDS)
    answers = [watch.look(one, index * seconds_apart) for index, one in enumerate(states)]
    return answers[-1]


@pytest.mark.parametrize(
    ("num_files", "num_batches", "expected"),
    [(1, 0, "ready"), (2, 10, "ready"), (3, 0, "waiting"), (2, 11, "waiting"), (0, 0, "ready")],
)
def test_enough_is_both_files_and_batches(num_files: int, num_batches: int, expected: str) -> None:
    now = state(host("ok"), num_verified=2, num_batches_verified=10)
    assert judge(now, wanted=Wanted(num_files, num_batches))[0] == expected


@pytest.mark.parametrize("kind", ["host_key", "user_key", "missing", "failed"])
def test_hosts_that_all_fail_for_good_are_given_up_at_the_second_look(kind: str) -> None:
    bad = state(host(kind), host("host_key", "b"))
    assert judge(bad)[0] == "waiting"
    assert judge(bad, bad) == ("hopeless", "all hosts failed")
    assert judge(bad, state(host("ok")), bad)[0] == "waiting"  # it was of the moment
    assert judge(bad, state(host(kind), host("ok", "b")))[0] == "waiting"  # one goes on


def test_hosts_that_cannot_be_reached_are_given_up_after_a_while() -> None:
    lost = state(host("unreachable"), host("host_key", "b"))
    assert judge(lost, lost, seconds_apart=LOST_SECONDS - 1)[0] == "waiting"
    assert judge(lost, lost, seconds_apart=LOST_SECONDS) == ("hopeless", "for 100 s no host could be reached")
    back = state(host("ok"), host("host_key", "b"))
    assert judge(lost, back, lost, seconds_apart=LOST_SECONDS)[0] == "waiting"


def test_files_of_something_else_are_no_hope_but_damaged_ones_may_come_again() -> None:
    foreign = state(host("ok", num_files=3), refused={"metainfo": 2, "too_large": 1})
    assert judge(foreign, foreign) == ("hopeless", "every file that the hosts have was refused")
    for other in (
        state(host("ok", num_files=4), refused={"metainfo": 3}),
        state(host("ok", num_files=3), refused={"corrupt": 3}),
        state(host("ok", num_files=3), refused={"metainfo": 3}, num_verified=1),
        state(host("ok"), refused={}),
    ):
        assert judge(other, other)[0] == "waiting"


def test_a_budget_that_is_used_up_before_the_training_begins_stays_so() -> None:
    full = state(host("ok"), num_verified=1, paused=True, pause_reason="budget")
    assert judge(full, full) == ("hopeless", "the budget for files on this machine is used up by 1 of them")
    disk = state(host("ok"), num_verified=1, paused=True, pause_reason="disk")
    assert judge(disk, disk)[0] == "waiting"  # whoever filled the disk may make room


def test_a_syncer_without_hosts_brings_nothing() -> None:
    assert judge(state(), state()) == ("hopeless", "the syncer has no hosts")


def test_faults_name_the_hosts_and_what_was_refused() -> None:
    hosts = [host("unreachable", f"h{index}", error="x" * 1000) for index in range(7)]
    text = state(*hosts, host("ok", "fine"), refused={"metainfo": 2, "corrupt": 0}).faults
    lines = text.splitlines()
    assert lines[0] == f"  h0: unreachable: {'x' * 300}"
    assert lines[-2:] == ["  and others: 2 unreachable", "  files refused (metainfo): 2"]
    assert len(lines) == 7 and "fine" not in text
    assert state(host("ok")).faults == ""


def test_wanted_in_words() -> None:
    assert (str(Wanted(1_000)), str(Wanted(2, 5))) == (
        "1,000 verified sample files",
        "2 verified sample files and 5 batches",
    )
