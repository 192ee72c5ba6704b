"""The splitter with the vectors of specification 6.6, and the schedule of a training."""

from collections import Counter
from itertools import count, islice

import numpy as np
import pytest

from gematria_ops.encode.batching import BatchSchedule, batches, take_fitting
from ops_common.errors import DataError

SIZES = (1, 5, 1, 8, 3, 4, 1, 2, 9, 4)


def split(max_blocks: int | None, max_instructions: int | None) -> list[list[int]]:
    return list(batches(range(len(SIZES)), SIZES.__getitem__, max_blocks, max_instructions))


@pytest.mark.parametrize(
    ("max_blocks", "max_instructions", "expected"),
    [
        (None, None, [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]),
        (0, 0, [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]),
        (3, None, [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]),
        (None, 8, [[0, 1, 2], [3], [4, 5, 6], [7, 9]]),
        (2, 8, [[0, 1], [2], [3], [4, 5], [6, 7], [9]]),
        (None, 10, [[0, 1, 2], [3], [4, 5, 6, 7], [8], [9]]),
        (3, 10, [[0, 1, 2], [3], [4, 5, 6], [7], [8], [9]]),
    ],
)
def test_splitter(max_blocks: int | None, max_instructions: int | None, expected: list[list[int]]) -> None:
    assert split(max_blocks, max_instructions) == expected


def test_splitter_tells_what_it_skips() -> None:
    skipped: list[int] = []
    assert list(batches(range(len(SIZES)), SIZES.__getitem__, None, 4, skipped.append)) == [
        [0, 2],
        [4],
        [5],
        [6, 7],
        [9],
    ]
    assert skipped == [1, 3, 8]


def test_splitter_of_nothing_or_of_too_long_blocks_is_empty() -> None:
    assert list(batches([], len)) == []
    assert list(batches(["abc", "defg"], len, None, 2)) == []


def test_splitter_reads_no_more_than_it_needs() -> None:
    assert list(islice(batches(count(), lambda _: 1, 2), 2)) == [[0, 1], [2, 3]]


def test_take_fitting_skips_what_does_not_fit_and_goes_on() -> None:
    sizes = np.array(SIZES)
    candidates = np.array([3, 8, 4, 0])
    assert take_fitting(candidates, sizes, None, None).tolist() == [3, 8, 4, 0]
    assert take_fitting(candidates, sizes, 2, None).tolist() == [3, 8]
    assert take_fitting(candidates, sizes, None, 12).tolist() == [3, 4, 0]
    assert take_fitting(candidates, sizes, 2, 12).tolist() == [3, 4]


def test_random_batches_are_samples_without_replacement() -> None:
    schedule = BatchSchedule(np.full(50, 2), 20, 1_000_000, seed=3)
    seen: Counter[int] = Counter()
    for step in range(200):
        indices = schedule.block_indices(step).tolist()
        assert len(indices) == len(set(indices)) == 20
        seen.update(indices)
    assert len(seen) == 50
    assert max(seen.values()) < 2 * min(seen.values())


def test_random_batches_depend_on_seed_and_step_only() -> None:
    first, second = (BatchSchedule(np.full(500, 2), 20, None, seed=3) for _ in range(2))
    wanted = [first.block_indices(step).tolist() for step in range(5)]
    assert second.block_indices(4).tolist() == wanted[4]
    assert second.block_indices(1).tolist() == wanted[1]
    assert len({tuple(indices) for indices in wanted}) == 5
    assert BatchSchedule(np.full(500, 2), 20, None, seed=4).block_indices(0).tolist() != wanted[0]


def test_random_batches_keep_both_limits_and_are_never_empty() -> None:
    sizes = np.array(SIZES)
    schedule = BatchSchedule(sizes, 4, 8)
    assert schedule.num_skipped == 1
    for step in range(100):
        indices = schedule.block_indices(step)
        assert 0 < len(indices) <= 4
        assert sizes[indices].sum() <= 8


def test_random_batches_without_a_block_limit_hold_everything() -> None:
    schedule = BatchSchedule(np.array(SIZES), None, 1_000_000)
    first, second = (schedule.block_indices(step).tolist() for step in range(2))
    assert sorted(first) == sorted(second) == list(range(len(SIZES)))
    assert first != second


def test_more_blocks_wanted_than_there_are() -> None:
    assert sorted(BatchSchedule(np.array([1, 2]), 100, 1_000_000).block_indices(0)) == [0, 1]


@pytest.mark.parametrize("max_blocks", [1, 2, 3, 7, 10, 23, None])
@pytest.mark.parametrize("max_instructions", [9, 10, 13, 40, 1000, None])
def test_sequential_batches_are_those_of_the_splitter_on_an_endless_cycle(
    max_blocks: int | None, max_instructions: int | None
) -> None:
    def endless() -> "list[int]":
        limit = max_blocks or len(SIZES)
        cycle = (index % len(SIZES) for index in count())
        return list(islice(batches(cycle, SIZES.__getitem__, limit, max_instructions), 60))

    expected = endless()
    schedule = BatchSchedule(np.array(SIZES), max_blocks, max_instructions, randomize=False)
    assert [schedule.block_indices(step).tolist() for step in range(60)] == expected
    # Any step first, as after a resume.
    fresh = BatchSchedule(np.array(SIZES), max_blocks, max_instructions, randomize=False)
    assert fresh.block_indices(57).tolist() == expected[57]
    assert fresh.block_indices(2).tolist() == expected[2]


def test_sequential_batches_pass_over_blocks_above_the_limit() -> None:
    schedule = BatchSchedule(np.array(SIZES), 3, 4, randomize=False)
    assert schedule.num_skipped == 3
    assert [schedule.block_indices(step).tolist() for step in range(4)] == [[0, 2], [4], [5], [6, 7]]


def test_a_far_step_of_a_cycle_is_found_at_once() -> None:
    schedule = BatchSchedule(np.array(SIZES), 2, None, randomize=False)
    assert schedule.block_indices(10**12).tolist() == [0, 1]
    assert schedule.block_indices(10**12 + 3).tolist() == [6, 7]


@pytest.mark.parametrize("randomize", [True, False])
def test_no_block_or_only_too_long_ones(randomize: bool) -> None:
    with pytest.raises(DataError, match="there is no block to make a batch of"):
        BatchSchedule(np.array([], dtype=np.int64), 3, None, randomize)
    with pytest.raises(DataError, match=r"max_instructions_in_batch=4 instructions, the shortest 5"):
        BatchSchedule(np.array([5, 6]), 3, 4, randomize)


def test_half_as_many_candidates_again_are_drawn_when_some_may_not_fit() -> None:
    # Five blocks of 1 instruction, five of 7, at most 7 instructions: behind a short one only short ones fit. Of six
    # candidates that begin with a short one, at least four are short in 45 of 126 cases; of four in 4 of 84, of ten
    # in all.
    schedule = BatchSchedule(np.array([1, 7] * 5), 4, 7, seed=1)
    batches_of_short = [b for b in map(schedule.block_indices, range(600)) if b[0] % 2 == 0]
    assert all((batch % 2 == 0).all() for batch in batches_of_short)
    assert 0.27 < np.mean([len(batch) == 4 for batch in batches_of_short]) < 0.45
