"""Which file a training is done with, by counting the steps that read it."""

from hypothesis import given
from hypothesis import strategies as st

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.training.file_steps import files_to_give_up, is_covered, is_used_up, missing_steps

NUMBERS = st.integers(1, 12)


def name(first_step: int, num_batches: int) -> SampleFileName:
    return SampleFileName(first_step, num_batches, 7)


@given(st.integers(0, 12), NUMBERS, NUMBERS, st.integers(0, 40), st.integers(0, 40))
def test_a_file_is_done_with_when_all_of_it_is_safe_and_none_is_read_later(
    first_step: int, num_batches: int, data_steps: int, saved_step: int, more: int
) -> None:
    file, last_step = name(first_step, num_batches), saved_step + more
    wanted = set(range(first_step, min(file.end_step, data_steps)))
    safe = {step % data_steps for step in range(saved_step)}
    later = {step % data_steps for step in range(saved_step, last_step)}
    assert is_covered(file, data_steps, saved_step) == (bool(wanted) and wanted <= safe)
    used_up = is_used_up(file, data_steps, saved_step, last_step)
    assert used_up == (bool(wanted) and wanted <= safe and not wanted & later)


def test_one_epoch_frees_each_file_with_the_checkpoint_behind_it() -> None:
    assert [step for step in range(11) if is_used_up(name(3, 3), 10, step, 10)] == [6, 7, 8, 9, 10]


def test_files_stay_until_the_last_epoch_reads_them() -> None:
    assert [step for step in range(21) if is_used_up(name(3, 3), 10, step, 20)] == list(range(16, 21))
    assert [step for step in range(16) if is_used_up(name(5, 5), 10, step, 15)] == [10, 11, 12, 13, 14, 15]
    assert not is_used_up(name(0, 6), 10, 4, 4), "two of its batches were never read"


def test_room_is_made_with_what_is_needed_last_and_only_with_what_is_safe() -> None:
    names = [name(first, 3) for first in (0, 3, 9)]
    assert files_to_give_up(names, 12, saved_step=5, wanted_step=6) == [name(0, 3)]
    assert files_to_give_up(names, 12, saved_step=12, wanted_step=6) == [name(0, 3), name(3, 3)]
    assert files_to_give_up(names[2:], 12, saved_step=12, wanted_step=6) == [name(9, 3)]
    assert files_to_give_up(names, 12, saved_step=2, wanted_step=6) == []


def test_a_gap_is_told_from_file_to_file() -> None:
    names = [name(0, 3), name(3, 3), name(9, 3)]
    assert missing_steps(names, 20, 7) == (6, 8)
    assert missing_steps(names, 20, 15) == (12, 19)
    assert missing_steps([], 20, 4) == (0, 19)
