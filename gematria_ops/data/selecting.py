"""Which throughputs of a block a model learns: small functions over messages. Specification section 5.

All of them change the message in place and return the same object. `apply_filters` runs blocks through several.
"""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from gematria_ops.config import ThroughputSelection
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from ops_common.errors import ConfigError

Item = TypeVar("Item")
Filter = Callable[[Item], Item | None]

_LOG_EVERY_ITEMS = 10_000

_LOGGER = logging.getLogger(__name__)


def aggregate_throughputs(
    selection: ThroughputSelection, block: BasicBlockWithThroughputProto
) -> BasicBlockWithThroughputProto:
    """Turns every list of samples, of the block and of its prefixes, into one sample. Empty lists stay empty.

    Args:
        selection: The first sample, the mean or the smallest; RANDOM changes nothing, a sample is drawn later.
        block: Changed in place.

    Returns:
        The same block.

    Raises:
        ValueError: The selection is unknown.
    """
    if selection not in _AGGREGATES:
        raise ValueError(f"unknown throughput selection: {selection!r}")
    aggregate = _AGGREGATES[selection]
    if aggregate is not None:
        # One sample is its own mean and minimum.
        _change_samples(block, lambda samples: [aggregate(samples)], min_num_samples=2)
    return block


def scale_throughputs(factor: float, block: BasicBlockWithThroughputProto) -> BasicBlockWithThroughputProto:
    """Multiplies every sample, of the block and of its prefixes.

    Args:
        factor: By what.
        block: Changed in place.

    Returns:
        The same block.
    """
    _change_samples(block, lambda samples: [sample * factor for sample in samples])
    return block


def drop_blocks_with_no_throughputs(
    use_prefixes: bool, block: BasicBlockWithThroughputProto
) -> BasicBlockWithThroughputProto | None:
    """Drops a block without any sample.

    Args:
        use_prefixes: Whether samples of prefixes count, too.
        block: Not changed.

    Returns:
        The same block, or None.
    """
    return block if any(has_samples(entry, use_prefixes) for entry in block.inverse_throughputs) else None


def select_throughputs(
    source_filters: Sequence[re.Pattern[str]], block: BasicBlockWithThroughputProto
) -> BasicBlockWithThroughputProto:
    """Picks the throughputs of each task: afterwards entry k belongs to task k.

    Args:
        source_filters: One per task. It picks the first entry whose source it matches at its beginning; several may
            pick the same. Where it matches none, an empty entry is put in.
        block: Changed in place: entries that no filter picks are dropped.

    Returns:
        The same block.
    """
    entries = block.inverse_throughputs
    sources = [entry.source for entry in entries]
    picks = [_first_match(source_filter, sources) for source_filter in source_filters]
    if picks != list(range(len(sources))):  # else it is as it should be, as in a data set made for these tasks
        # Copied before the list that owns them is cleared.
        selected = BasicBlockWithThroughputProto(
            inverse_throughputs=[ThroughputWithSourceProto() if k is None else entries[k] for k in picks]
        )
        del entries[:]
        entries.MergeFrom(selected.inverse_throughputs)
    return block


def _first_match(source_filter: re.Pattern[str], sources: Sequence[str]) -> int | None:
    for source_index, source in enumerate(sources):
        if source_filter.match(source):
            return source_index
    return None


def compile_source_filters(patterns: Sequence[str]) -> list[re.Pattern[str]]:
    """Compiles the regular expressions of the tasks.

    Raises:
        ConfigError: One of them is not a regular expression.
    """
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ConfigError(
                f"throughput source filter {pattern!r} is not a regular expression: {error}",
                "put a backslash before brackets and other special characters that are meant literally",
            ) from None
    return compiled


def selection_for_evaluation(selection: ThroughputSelection) -> ThroughputSelection:
    """Returns how labels are selected where nothing may be drawn at random: RANDOM is evaluated against MEAN."""
    return ThroughputSelection.MEAN if selection is ThroughputSelection.RANDOM else selection


def apply_filters(
    items: Iterable[Item],
    filters: Sequence[Filter[Item]],
    max_num_items: int = -1,
    drop_counts: Counter[str] | None = None,
) -> Iterator[Item]:
    """Runs items through filters, lazily.

    Args:
        items: What to filter.
        filters: Applied in order. A filter returns the item, possibly another one; or None, which drops it.
        max_num_items: Stop after this many; negative: never.
        drop_counts: Counts the dropped items by the name of the filter; also logged at the end.

    Yields:
        What all filters let through.
    """
    drop_counts = Counter() if drop_counts is None else drop_counts
    num_yielded = 0
    if max_num_items == 0:
        return
    for num_visited, item in enumerate(items, start=1):
        kept = _apply(item, filters, drop_counts)
        if num_visited % _LOG_EVERY_ITEMS == 0:
            _LOGGER.info("%d items visited, %d kept", num_visited, num_visited - drop_counts.total())
        if kept is None:
            continue
        yield kept
        num_yielded += 1
        if num_yielded == max_num_items:
            return
    for name, num_dropped in drop_counts.items():
        _LOGGER.info("%d items dropped by %s", num_dropped, name)


def has_samples(entry: ThroughputWithSourceProto, use_prefixes: bool) -> bool:
    """Says whether a source has a sample for the whole block or, if those count, for a prefix."""
    if entry.inverse_throughput_cycles:
        return True
    return use_prefixes and any(prefix.inverse_throughput_cycles for prefix in entry.prefix_inverse_throughputs)


def _apply(item: Item, filters: Sequence[Filter[Item]], drop_counts: Counter[str]) -> Item | None:
    current: Item | None = item
    for one_filter in filters:
        if current is not None:
            current = one_filter(current)
            if current is None:
                drop_counts[_filter_name(one_filter)] += 1
    return current


def _filter_name(one_filter: Callable[..., object]) -> str:
    while isinstance(one_filter, functools.partial):
        one_filter = one_filter.func
    return getattr(one_filter, "__name__", type(one_filter).__name__)


def _mean(samples: Sequence[float]) -> float:
    return sum(samples) / len(samples)


def _first(samples: Sequence[float]) -> float:
    return samples[0]


_AGGREGATES: dict[ThroughputSelection, Callable[[Sequence[float]], float] | None] = {
    ThroughputSelection.RANDOM: None,
    ThroughputSelection.FIRST: _first,
    ThroughputSelection.MEAN: _mean,
    ThroughputSelection.MIN: min,
}


def _change_samples(
    block: BasicBlockWithThroughputProto, change: Callable[[list[float]], list[float]], min_num_samples: int = 1
) -> None:
    for entry in block.inverse_throughputs:
        if len(entry.inverse_throughput_cycles) >= min_num_samples:
            entry.inverse_throughput_cycles[:] = change(list(entry.inverse_throughput_cycles))
        for prefix in entry.prefix_inverse_throughputs:
            if len(prefix.inverse_throughput_cycles) >= min_num_samples:
                prefix.inverse_throughput_cycles[:] = change(list(prefix.inverse_throughput_cycles))
