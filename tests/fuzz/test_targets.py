"""Damaged files are read, or refused with a DataError; there is no third way. `python -m tests.fuzz` does it longer."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutating import mutate
from tests.fuzz.targets import TARGETS

# Not slow one by one, but together.
pytestmark = pytest.mark.slow

NAMES = sorted(TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_are_right_are_accepted(name):
    assert all(TARGETS[name].try_to_read(seed) for seed in TARGETS[name].seeds)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(source=st.randoms(use_true_random=False))
def test_damaged_files(name, source):
    TARGETS[name].try_to_read(mutate(TARGETS[name].seeds, source))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=300))
def test_files_of_noise(name, content):
    TARGETS[name].try_to_read(content)


@pytest.mark.parametrize("name", NAMES)
def test_cut_files(name):
    target = TARGETS[name]
    for seed in target.seeds:
        for length in range(0, len(seed), max(1, len(seed) // 100)):
            target.try_to_read(seed[:length])


def test_damage_is_done_and_is_the_same_for_the_same_chance():
    seeds = TARGETS["import_perf_data"].seeds
    damaged = [mutate(seeds, random.Random(number)) for number in range(50)]
    assert damaged == [mutate(seeds, random.Random(number)) for number in range(50)]
    # Now and then a number is replaced by itself.
    assert len(set(damaged) - set(seeds)) > 40
