"""Forests of prefixes: worked examples by hand, and every sequence is found again by walking up its parents."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from gematria_ops.encode.tries import PrefixTrie, build_prefix_trie


def build(sequences: list[list[int]], chunk_size: int) -> tuple[PrefixTrie, list[list[int]]]:
    splits = np.cumsum([0, *map(len, sequences)])
    symbols = np.array([symbol for sequence in sequences for symbol in sequence], dtype=np.int32)
    trie, nodes = build_prefix_trie(symbols, splits, chunk_size)
    return trie, [nodes[start:end].tolist() for start, end in itertools.pairwise(splits)]


def walk_up(trie: PrefixTrie, node: int) -> list[int]:
    symbols = []
    while node:
        symbols.append(int(trie.symbols[node - 1]))
        node = int(trie.parents[node - 1])
    return symbols[::-1]


def test_shared_beginnings_are_one_node() -> None:
    trie, nodes = build([[5, 6, 7], [5, 6, 8], [5, 9], [4]], chunk_size=1)
    assert nodes == [[1, 3, 5], [1, 3, 6], [1, 4], [2]]
    assert_array_equal(trie.symbols, [5, 4, 6, 9, 7, 8])
    assert_array_equal(trie.parents, [0, 0, 1, 1, 3, 3])
    assert trie.num_chunks == 6


def test_levels_begin_at_chunks() -> None:
    trie, nodes = build([[5, 6, 7], [5, 6, 8], [5, 9], [4]], chunk_size=4)
    assert nodes == [[1, 5, 9], [1, 5, 10], [1, 6], [2]]
    assert_array_equal(trie.symbols, [5, 4, 0, 0, 6, 9, 0, 0, 7, 8, 0, 0])
    assert_array_equal(trie.parents, [0, 0, 0, 0, 1, 1, 0, 0, 5, 5, 0, 0])
    assert trie.num_chunks == 3


def test_equal_sequences_end_in_the_same_node() -> None:
    _, nodes = build([[1, 2], [1, 2], [1, 2, 3]], chunk_size=2)
    assert nodes[0] == nodes[1] == nodes[2][:2]


def test_unsorted_sequences_share_less_but_stay_correct() -> None:
    trie, nodes = build([[1, 2], [3], [1, 2]], chunk_size=1)
    assert nodes[0] != nodes[2]
    assert walk_up(trie, nodes[0][-1]) == walk_up(trie, nodes[2][-1]) == [1, 2]


def test_a_prefix_needs_all_symbols_before_it_to_be_equal() -> None:
    # The second symbols are equal, the first ones are not.
    trie, nodes = build([[1, 2], [3, 2]], chunk_size=1)
    assert nodes[0][1] != nodes[1][1]
    assert walk_up(trie, nodes[1][1]) == [3, 2]


@settings(max_examples=60, deadline=None)
@given(
    sequences=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12),
    chunk_size=st.integers(1, 5),
    is_sorted=st.booleans(),
)
def test_every_sequence_is_found_again(sequences: list[list[int]], chunk_size: int, is_sorted: bool) -> None:
    if is_sorted:
        sequences = sorted(sequences)
    trie, nodes = build(sequences, chunk_size)
    for sequence, path in zip(sequences, nodes):
        assert [walk_up(trie, node) for node in path] == [sequence[: i + 1] for i in range(len(sequence))]
    # A chunk can be worked on when the chunks before it are done.
    chunks = np.arange(len(trie.parents)) // chunk_size
    assert ((trie.parents == 0) | ((trie.parents - 1) // chunk_size < chunks)).all()
    assert len(trie.symbols) == trie.num_chunks * chunk_size
    if is_sorted:
        prefixes = {tuple(sequence[: i + 1]) for sequence in sequences for i in range(len(sequence))}
        assert len({node for path in nodes for node in path}) == len(prefixes)


def test_long_sequences_do_not_overflow() -> None:
    trie, nodes = build([[1] * 40_000, [2]], chunk_size=1)
    assert len(trie.symbols) == 40_001
    assert nodes[0][-1] == 40_001
    assert trie.parents[40_000] == 40_000


@pytest.mark.parametrize("chunk_size", [1, 4, 16])
def test_one_sequence(chunk_size: int) -> None:
    trie, nodes = build([[7, 7]], chunk_size)
    assert nodes == [[1, 1 + chunk_size]]
    assert trie.num_chunks == 2
