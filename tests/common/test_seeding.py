"""Named random streams."""

from __future__ import annotations

import numpy as np
import pytest

from ops_common.seeding import derived_seed, stream


def test_a_stream_is_the_same_for_ever() -> None:
    # Written down once: a change of these numbers would make every old run unrepeatable.
    assert stream(7, "batches", 3).integers(0, 1000, 5).tolist() == [764, 388, 52, 285, 988]
    assert derived_seed(7, "model") == 1771237771


def test_streams_do_not_depend_on_each_other() -> None:
    alone = stream(1, "a").random(4)
    stream(1, "b").random(1000)
    assert np.array_equal(stream(1, "a").random(4), alone)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "a"), (2, "a")),
        ((1, "a"), (1, "b")),
        ((1, "a", "b"), (1, "b", "a")),
        ((1, "ab"), (1, "a", "b")),
        ((1, 2), (1, "2")),
        ((1,), (1, "")),
        ((1, 2), (12,)),
        ((2**32,), (0, 1)),
        ((0,), (2**64,)),
    ],
)
def test_other_names_and_seeds_give_other_streams(one: tuple, other: tuple) -> None:
    assert not np.array_equal(stream(*one).random(4), stream(*other).random(4))
    assert derived_seed(*one) != derived_seed(*other)


def test_numpy_integers_count_as_integers() -> None:
    assert np.array_equal(stream(np.int64(5), np.int32(3)).random(3), stream(5, 3).random(3))


def test_negative_seed_is_different_every_time() -> None:
    assert stream(-1, "a").integers(2**62) != stream(-1, "a").integers(2**62)
    assert len({derived_seed(-1, "a") for _ in range(8)}) > 1


def test_derived_seeds_are_31_bits() -> None:
    seeds = [derived_seed(0, index) for index in range(1000)]
    assert min(seeds) >= 0
    assert 2**30 < max(seeds) < 2**31
    assert len(set(seeds)) == 1000
