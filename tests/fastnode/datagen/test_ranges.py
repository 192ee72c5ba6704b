"""Ranges of steps: every step in one of them, every one with one host, and their numbers in short."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnode_ops.datagen.ranges import format_ranges, parse_ranges, ranges, share_out, steps_of
from fastnode_ops.datagen.sharing import ranges_of_share
from ops_common.errors import ConfigError


def test_a_million_steps_by_hand() -> None:
    assert ranges(1_000_000, 500) == range(2_000)
    assert steps_of(3, 1_000_000, 500) == range(1_500, 2_000)
    assert [steps_of(number, 1_100, 500) for number in ranges(1_100, 500)] == [
        range(500),
        range(500, 1_000),
        range(1_000, 1_100),
    ]


@settings(deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 700), st.integers(1, 9))
def test_every_step_is_made_by_one_host(data_steps: int, samples_per_file: int, num_hosts: int) -> None:
    shares = share_out(ranges(data_steps, samples_per_file), [f"host{index}" for index in range(num_hosts)])
    assert len(shares) == num_hosts
    made = [
        step for share in shares.values() for number in share for step in steps_of(number, data_steps, samples_per_file)
    ]
    assert sorted(made) == list(range(data_steps))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


def test_hosts_take_turns() -> None:
    assert share_out(range(7), ["a", "b", "c"]) == {"a": [0, 3, 6], "b": [1, 4], "c": [2, 5]}
    assert share_out([5, 8, 9], ["a", "b"]) == {"a": [5, 9], "b": [8]}


@settings(deadline=None)
@given(st.sets(st.integers(0, 999), max_size=60), st.integers(1, 9))
def test_shares_by_name_have_every_range_once(numbers: set[int], count: int) -> None:
    wanted = sorted(numbers)
    made = [ranges_of_share(wanted, f"{number}-of-{count}") for number in range(1, count + 1)]
    assert sorted(itertools.chain(*made)) == wanted
    assert ranges_of_share(range(7), "2-of-3") == [1, 4]


@pytest.mark.parametrize("share", ["", "0-of-3", "4-of-3", "1-of-0", "2", "2-of-3 ", "a-of-b", "-1-of-3", "../1-of-3"])
def test_what_is_no_share_is_refused(share: str) -> None:
    with pytest.raises(ConfigError, match="is no share"):
        ranges_of_share(range(7), share)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([0], "0"), ([0, 1], "0-1"), ([9, 0, 1, 2, 3, 7, 7], "0-3,7,9"), (range(2_000), "0-1999")],
)
def test_the_short_form(numbers: list[int], text: str) -> None:
    assert format_ranges(numbers) == text
    assert parse_ranges(text) == sorted(set(numbers))


@settings(deadline=None)
@given(st.sets(st.integers(0, 999_999), max_size=60))
def test_the_short_form_is_read_back(numbers: set[int]) -> None:
    assert parse_ranges(format_ranges(numbers)) == sorted(numbers)


@settings(deadline=None)
@given(st.text(alphabet="0123456789-, ", max_size=12))
def test_what_is_read_ascends(text: str) -> None:
    try:
        numbers = parse_ranges(text)
    except ConfigError:
        return
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "ranges: 'a' is neither a number nor a range of numbers"),
        ("0,", "ranges: '' is neither a number nor a range of numbers"),
        ("0, 1", "ranges: ' 1' is neither"),
        ("-1", "ranges: '-1' is neither"),
        ("1-", "ranges: '1-' is neither"),
        ("00", "ranges: '00' is neither"),
        ("٣", "ranges: '٣' is neither"),
        ("3-2", "ranges: '3-2' does not ascend"),
        ("3-3", "ranges: '3-3' does not ascend"),
        ("0-4,4", "ranges: '4' comes after 4"),
        ("7,5-6", "ranges: '5-6' comes after 7"),
        ("0-1000000", "ranges: '0-1000000' is above 999,999"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ranges(text)
    assert caught.value.message.startswith(message)
    assert caught.value.hint == "give ascending numbers such as 0-3,7,9"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 500), "data_steps must be from 1 to 1,000,000,000, not 0"),
        ((10**9 + 1, 500), "data_steps must be from 1 to 1,000,000,000, not 1,000,000,001"),
        ((1, 0), "samples_per_file must be from 1 to 100,000, not 0"),
        ((1, 100_001), "samples_per_file must be from 1 to 100,000, not 100,001"),
        ((10**7, 2), "10,000,000 steps make 5,000,000 files of 2, which is more than 1,000,000"),
    ],
)
def test_settings_out_of_their_limits_are_refused(numbers: tuple[int, int], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ranges(*numbers)
    assert caught.value.message == message
