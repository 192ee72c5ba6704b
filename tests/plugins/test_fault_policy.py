"""How often a task is tried again, by what its command ended with."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk.definitions.retry_policy import RetryAction  # noqa: E402
from airflow.sdk.exceptions import AirflowException, AirflowFailException  # noqa: E402
from ops_platform.task_outcome import FaultPolicy, failure  # noqa: E402

from ops_common.cli import run_task  # noqa: E402


@pytest.mark.parametrize(
    ("status", "num_retries"),
    [
        (2, 0),  # usage
        (3, 0),  # configuration
        (4, 0),  # data, and a full disk
        (6, 0),  # the release gate
        (5, 6),  # a service
        (137, 3),  # killed
        (143, 3),  # ended
        (130, 3),  # interrupted
        (1, 1),  # a bug
        (77, 1),
    ],
)
def test_each_fault_has_its_number_of_retries(status: int, num_retries: int) -> None:
    error = failure("train_model", status, ["the last line"])
    assert "the last line" in str(error)
    assert retries_of(error) == num_retries


def retries_of(error: AirflowException) -> int:
    if isinstance(error, AirflowFailException):
        return 0  # Airflow asks no policy
    policy = FaultPolicy(retries=3, service_retries=6)
    actions = [policy.evaluate(error, number, policy.most_retries).action for number in range(1, 20)]
    given_up = actions.index(RetryAction.FAIL)
    assert set(actions[:given_up]) <= {RetryAction.DEFAULT}  # the pauses are the task's own, which double
    assert set(actions[given_up:]) == {RetryAction.FAIL}
    return given_up


def test_what_no_command_said_is_tried_again_like_a_killed_process() -> None:
    assert retries_of(AirflowException("the pod does not end")) == 3


def test_no_retries_are_none_for_any_fault() -> None:
    policy = FaultPolicy(retries=0, service_retries=0)
    for status in (1, 5, 137):
        assert policy.evaluate(failure("task", status, []), 1, 0).action is RetryAction.FAIL


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 4), (errno.EDQUOT, 4), (errno.EFBIG, 4), (errno.EIO, 1)])
def test_a_full_disk_is_no_bug_wherever_it_is_met(
    number: int, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_checkpoint() -> dict[str, str]:
        raise OSError(number, "no luck", str(tmp_path / "model.ckpt"))

    assert run_task(write_checkpoint, {}) == status
    said = capsys.readouterr().err
    assert "model.ckpt" in said
    assert ("make room, then run it again" in said) is (status == 4)
