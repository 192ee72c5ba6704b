"""Names of sample files: there and back, and nothing else is one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnode_ops.sample_files.names import MAX_BATCHES, MAX_STEPS, SampleFileName, parse_name
from ops_common.errors import DataError


def test_a_name_by_hand() -> None:
    name = SampleFileName(first_step=1_500, num_batches=500, seed=243)
    assert name.file_name == "000001500-500-243.samples"
    assert name.index_name == "000001500-500-243.idx"
    assert name.end_step == 2_000
    assert parse_name("000001500-500-243.samples") == name


@settings(deadline=None)
@given(st.integers(0, MAX_STEPS - MAX_BATCHES), st.integers(1, MAX_BATCHES), st.integers(0, 2**63 - 1))
def test_names_are_read_back(first_step: int, num_batches: int, seed: int) -> None:
    name = SampleFileName(first_step, num_batches, seed)
    assert parse_name(name.file_name) == name


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, MAX_STEPS - 1), st.just(1), st.integers(0, 9)), min_size=2, max_size=9))
def test_names_sort_by_their_steps(numbers: list[tuple[int, int, int]]) -> None:
    names = [SampleFileName(*each) for each in numbers]
    assert [name.file_name for name in sorted(names)] == sorted(name.file_name for name in names)


@settings(deadline=None)
@given(st.text(alphabet="0123456789-.samplesidx/ \n٣", max_size=40))
def test_whatever_is_read_was_written_so(text: str) -> None:
    try:
        name = parse_name(text)
    except DataError:
        return
    assert name.file_name == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".samples",
        "000000000-500-243",
        "000000000-500-243.idx",
        "000000000-500-243.samples.part",
        ".000000000-500-243.samples.17.0.part",
        "00000000-500-243.samples",
        "0000000000-500-243.samples",
        "000000000-0-243.samples",
        "000000000-0500-243.samples",
        "000000000-500-0243.samples",
        "000000000-500--1.samples",
        "000000000-500-243.samples\n",
        "host--000000000-500-243.samples",
        "../000000000-500-243.samples",
        "٠٠٠٠٠٠٠٠٠-500-243.samples",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_name(text)
    assert caught.value.message == f"{text!r} is not the name of a sample file"
    assert caught.value.hint == "it has the form <first step, 9 digits>-<number of batches>-<seed>.samples"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 0, 1), "a sample file has 1 to 100,000 batches, not 0"),
        ((0, 100_001, 1), "a sample file has 1 to 100,000 batches, not 100,001"),
        ((-1, 1, 1), "a sample file has steps below 1,000,000,000, not 1 from -1 on"),
        ((MAX_STEPS - 1, 2, 1), "a sample file has steps below 1,000,000,000, not 2 from 999,999,999 on"),
        ((0, 1, 1 << 63), "the seed of a sample file is from 0 to 2^63 - 1, not 9223372036854775808"),
    ],
)
def test_numbers_out_of_their_range_are_refused(numbers: tuple[int, int, int], message: str) -> None:
    with pytest.raises(DataError) as caught:
        SampleFileName(*numbers)
    assert caught.value.message == message


def test_a_name_whose_numbers_are_out_of_range_is_refused() -> None:
    with pytest.raises(DataError, match="the seed of a sample file is from 0"):
        parse_name("000000000-1-9999999999999999999.samples")
