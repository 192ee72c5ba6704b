"""The filters of a block's throughputs: in place, in the order of the specification, drops counted."""

import functools
from collections import Counter

import pytest

from gematria_ops.config import ThroughputSelection
from gematria_ops.data.selecting import (
    aggregate_throughputs,
    apply_filters,
    compile_source_filters,
    drop_blocks_with_no_throughputs,
    scale_throughputs,
    select_throughputs,
    selection_for_evaluation,
)
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from ops_common.errors import ConfigError

RANDOM, FIRST, MEAN, MIN = (
    ThroughputSelection.RANDOM,
    ThroughputSelection.FIRST,
    ThroughputSelection.MEAN,
    ThroughputSelection.MIN,
)


def make_entry(source, samples=(), prefixes=()):
    entry = ThroughputWithSourceProto(source=source, inverse_throughput_cycles=samples)
    for prefix in prefixes:
        entry.prefix_inverse_throughputs.add(inverse_throughput_cycles=prefix)
    return entry


def make_block(*entries):
    return BasicBlockWithThroughputProto(inverse_throughputs=entries)


def patterns(*texts):
    return compile_source_filters(texts)


@pytest.mark.parametrize("selection", ThroughputSelection)
def test_aggregating_nothing_returns_the_same_object(selection):
    block = make_block()
    assert aggregate_throughputs(selection, block) is block
    assert block == make_block()


@pytest.mark.parametrize(
    "selection, sample, prefix_samples",
    [
        (RANDOM, [3.0, 1.0, 2.0], [[5.0, 4.0], []]),
        (FIRST, [3.0], [[5.0], []]),
        (MEAN, [2.0], [[4.5], []]),
        (MIN, [1.0], [[4.0], []]),
    ],
)
def test_aggregating(selection, sample, prefix_samples):
    block = make_block(
        make_entry("a", [3.0, 1.0, 2.0]),
        make_entry("b", [3.0, 1.0, 2.0], [[5.0, 4.0], []]),
        make_entry("c"),
    )
    assert aggregate_throughputs(selection, block) is block
    assert block == make_block(make_entry("a", sample), make_entry("b", sample, prefix_samples), make_entry("c"))


def test_an_unknown_selection_is_refused():
    with pytest.raises(ValueError, match="unknown throughput selection: 7"):
        aggregate_throughputs(7, make_block())


def test_evaluation_draws_nothing():
    assert selection_for_evaluation(RANDOM) is MEAN
    assert [selection_for_evaluation(selection) for selection in (FIRST, MEAN, MIN)] == [FIRST, MEAN, MIN]


def test_scaling():
    block = make_block(make_entry("a", [3.0, 1.0], [[5.0], []]), make_entry("b"))
    assert scale_throughputs(2.0, block) is block
    assert block == make_block(make_entry("a", [6.0, 2.0], [[10.0], []]), make_entry("b"))
    assert scale_throughputs(2.0, make_block()) == make_block()


@pytest.mark.parametrize(
    "entries, kept, kept_with_prefixes",
    [
        ([], False, False),
        ([make_entry("a")], False, False),
        ([make_entry("a"), make_entry("b", [1.0])], True, True),
        ([make_entry("a", [], [[1.0]])], False, True),
        ([make_entry("a", [], [[]])], False, False),
    ],
)
def test_blocks_without_throughputs_are_dropped(entries, kept, kept_with_prefixes):
    block = make_block(*entries)
    assert drop_blocks_with_no_throughputs(False, block) is (block if kept else None)
    assert drop_blocks_with_no_throughputs(True, block) is (block if kept_with_prefixes else None)


def test_selecting_from_nothing_gives_an_empty_entry_per_filter():
    block = make_block()
    assert select_throughputs(patterns("a", "b"), block) is block
    assert block == make_block(make_entry(""), make_entry(""))


A, B, OTHER_A = make_entry("a: 1", [1.0], [[0.5]]), make_entry("b", [2.0]), make_entry("a: 1", [3.0])


@pytest.mark.parametrize(
    "filters, expected",
    [
        (["b", "a"], [B, A]),
        (["a"], [A]),
        (["a", "a", "b"], [A, A, B]),
        (["x", "b", "y"], [make_entry(""), B, make_entry("")]),
        (["a: 1"], [A]),
        # At the beginning, but not to the end, and not somewhere within.
        (["a:"], [A]),
        ([" 1", "1$", ".*1$"], [make_entry(""), make_entry(""), A]),
        ([".*"], [A]),
        ([], []),
    ],
)
def test_selecting(filters, expected):
    block = make_block(A, B, OTHER_A)
    assert select_throughputs(patterns(*filters), block) is block
    assert list(block.inverse_throughputs) == expected


def test_a_filter_that_is_no_regular_expression():
    with pytest.raises(ConfigError, match=r"filter 'bhive: \[' is not a regular expression: unterminated"):
        patterns(".*", "bhive: [")


def test_the_filter_of_the_example_command():
    source = "ithemal: kind=KIND_MEASURED, uarch=ARCH_HASWELL"
    block = make_block(make_entry("bhive: hsw", [1.0]), make_entry(source, [2.0]))
    select_throughputs(patterns(source), block)
    assert list(block.inverse_throughputs) == [make_entry(source, [2.0])]


def drop_odd(number):
    return None if number % 2 else number


def drop_small(limit, number):
    return None if number < limit else number


def double(number):
    return 2 * number


def test_filters_are_applied_in_order():
    assert list(apply_filters(range(6), [drop_odd, double])) == [0, 4, 8]
    assert list(apply_filters(range(3), [double, drop_odd])) == [0, 2, 4]
    assert list(apply_filters(range(3), [])) == [0, 1, 2]


def test_dropped_items_are_counted_by_the_filter_that_dropped_them_first():
    drop_counts = Counter()
    filters = [drop_odd, functools.partial(drop_small, 5)]
    assert list(apply_filters(range(10), filters, drop_counts=drop_counts)) == [6, 8]
    assert drop_counts == {"drop_odd": 5, "drop_small": 3}


def test_filtering_is_lazy_and_ends_at_the_maximum():
    items = iter(range(10))
    assert list(apply_filters(items, [drop_odd], max_num_items=3)) == [0, 2, 4]
    assert next(items) == 5
    assert list(apply_filters(items, [], max_num_items=0)) == []
    assert next(items) == 6
    assert list(apply_filters(items, [], max_num_items=-1)) == [7, 8, 9]
