"""Batches: the forests spell the blocks, labels stand in their places, filling up adds nothing that is read."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.encode.batch import BatchOptions, grown_to_cover, is_covered, roomy_shape
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.sequence_batch import (
    BLOCK_CHUNK,
    TOKEN_CHUNK,
    SequenceBatch,
    SequenceShape,
    fill_up,
    make_batch,
    shape_of,
)
from gematria_ops.encode.tries import PrefixTrie
from tests.gematria.encode.block_examples import instruction, random_encoded, throughput, vocabulary

INDICES = np.array([7, 0, 3, 3, 11])


@pytest.fixture(scope="module")
def encoded() -> EncodedBlocks:
    return random_encoded(12, 2, seed=5, label_share=0.6)


def walk_up(trie: PrefixTrie, node: int) -> list[int]:
    symbols = []
    while node:
        symbols.append(int(trie.symbols[node - 1]))
        node = int(trie.parents[node - 1])
    return symbols[::-1]


def spell_instruction(batch: SequenceBatch, distinct: int) -> list[int]:
    """Vocabulary indices of a distinct instruction of a batch."""
    node = int(batch.inputs.instruction_nodes[distinct])
    return [int(batch.inputs.tokens[symbol]) for symbol in walk_up(batch.inputs.token_trie, node)]


def expected_tokens(encoded: EncodedBlocks, block: int) -> list[list[int]]:
    ids = encoded.instruction_ids[encoded.block_splits[block] : encoded.block_splits[block + 1]]
    splits = encoded.instruction_splits
    return [encoded.instruction_tokens[splits[i] : splits[i + 1]].tolist() for i in ids]


def test_forests_spell_the_blocks(encoded: EncodedBlocks) -> None:
    batch = make_batch(encoded, INDICES)
    (forward,) = batch.inputs.directions
    spelt = [
        [spell_instruction(batch, symbol) for symbol in walk_up(forward.trie, int(node))]
        for node in forward.output_nodes
    ]
    assert spelt == [expected_tokens(encoded, block) for block in INDICES]
    assert batch.num_blocks == 5
    assert batch.num_instructions == encoded.block_sizes[INDICES].sum() == batch.inputs.block_sizes.sum()
    # A block that occurs twice is worked out once.
    assert forward.output_nodes[2] == forward.output_nodes[3]


def test_both_directions_and_every_instruction(encoded: EncodedBlocks) -> None:
    batch = make_batch(encoded, INDICES, BatchOptions(bidirectional=True, seq2seq=True))
    forward, backward = batch.inputs.directions
    place = 0
    for position, block in enumerate(INDICES):
        tokens = expected_tokens(encoded, block)
        for index in range(len(tokens)):
            before = [spell_instruction(batch, s) for s in walk_up(forward.trie, int(forward.output_nodes[place]))]
            after = [spell_instruction(batch, s) for s in walk_up(backward.trie, int(backward.output_nodes[place]))]
            assert before == tokens[: index + 1]
            assert after == tokens[index:][::-1]
            assert batch.inputs.instruction_blocks is not None
            assert batch.inputs.instruction_blocks[place] == position
            place += 1
    assert place == batch.num_instructions


def test_backward_direction_of_whole_blocks(encoded: EncodedBlocks) -> None:
    batch = make_batch(encoded, INDICES, BatchOptions(bidirectional=True))
    backward = batch.inputs.directions[1]
    spelt = [
        [spell_instruction(batch, symbol) for symbol in walk_up(backward.trie, int(node))]
        for node in backward.output_nodes
    ]
    assert spelt == [expected_tokens(encoded, block)[::-1] for block in INDICES]


def test_everything_that_recurs_stands_once(encoded: EncodedBlocks) -> None:
    batch = make_batch(encoded, INDICES)
    distinct = [tuple(spell_instruction(batch, i)) for i in range(len(batch.inputs.instruction_nodes))]
    wanted = {tuple(tokens) for block in INDICES for tokens in expected_tokens(encoded, block)}
    assert len(distinct) == len(wanted)
    assert set(distinct) == wanted
    assert_array_equal(batch.inputs.tokens, sorted({token for row in wanted for token in row}))


def test_labels_and_masks(encoded: EncodedBlocks) -> None:
    batch = make_batch(encoded, INDICES)
    assert_array_equal(batch.expected, encoded.labels[INDICES])
    assert_array_equal(batch.mask, encoded.mask[INDICES])
    assert (batch.expected[~batch.mask] == -1).all()
    assert batch.expected_deltas is None


def labelled(size: int, *throughputs: object) -> BasicBlockWithThroughput:
    return BasicBlockWithThroughput(BasicBlock((instruction("nop"),) * size), throughputs)


def test_deltas_are_differences_of_prefixes() -> None:
    # The vector of specification 7.4, and a second block that begins anew.
    blocks = [
        labelled(5, throughput(2, [1, 1, 1, 1, 2]), None),
        labelled(2, throughput(7, [3, 7]), throughput(4, [4, 4])),
    ]
    encoded = encode_blocks(blocks, vocabulary(), 2, needs_prefixes=True)
    batch = make_batch(encoded, np.array([1, 0]), BatchOptions(seq2seq=True))
    assert batch.expected_deltas is not None
    assert batch.expected_deltas[:, 0].tolist() == [3, 4, 1, 0, 0, 0, 1]
    assert batch.expected_deltas[:2, 1].tolist() == [4, 0]
    assert batch.instruction_mask.tolist() == [[True, True]] * 2 + [[True, False]] * 5


def test_deltas_add_up_to_the_label() -> None:
    encoded = random_encoded(12, 2, seed=8)
    batch = make_batch(encoded, INDICES, BatchOptions(seq2seq=True))
    assert batch.expected_deltas is not None
    ends = np.cumsum(encoded.block_sizes[INDICES])
    sums = np.add.reduceat(batch.expected_deltas, ends - encoded.block_sizes[INDICES])
    np.testing.assert_allclose(sums, batch.expected, rtol=1e-6)


def test_missing_prefixes_count_as_zero() -> None:
    encoded = encode_blocks([labelled(3, throughput(5, [2]))], vocabulary(), 1)
    batch = make_batch(encoded, np.array([0]), BatchOptions(seq2seq=True))
    assert batch.expected_deltas is not None
    assert batch.expected_deltas.ravel().tolist() == [2, -2, 0]


def test_random_labels_are_samples_of_their_own_label() -> None:
    blocks = [
        labelled(2, throughput([1, 2, 3], [[10, 20], [30]])),
        labelled(1, None),
        labelled(1, throughput([7], [[5]])),
    ]
    encoded = encode_blocks(blocks, vocabulary(), 1)
    options = BatchOptions(seq2seq=True, random_labels=True)
    seen, deltas = set(), set()
    for seed in range(40):
        batch = make_batch(encoded, np.array([2, 0, 1]), options, np.random.default_rng(seed))
        assert batch.expected[0, 0] == 7
        assert batch.expected[2, 0] == -1
        assert not batch.mask[2, 0]
        seen.add(float(batch.expected[1, 0]))
        assert batch.expected_deltas is not None
        deltas.add(tuple(batch.expected_deltas[1:3, 0].tolist()))
    assert seen == {1.0, 2.0, 3.0}
    assert deltas == {(10.0, 20.0), (20.0, 10.0)}


def test_random_labels_need_a_generator(encoded: EncodedBlocks) -> None:
    with pytest.raises(ValueError, match="need a random generator"):
        make_batch(encoded, INDICES, BatchOptions(random_labels=True))


def injected_share(encoded: EncodedBlocks, probability: float, seed: int) -> float:
    options = BatchOptions(injection_probability=probability)
    batch = make_batch(encoded, INDICES, options, np.random.default_rng(seed))
    (forward,) = batch.inputs.directions
    replacement = encoded.vocabulary.replacement_index
    num_replaced = num_tokens = 0
    for block, node in zip(INDICES, forward.output_nodes):
        spelt = [spell_instruction(batch, symbol) for symbol in walk_up(forward.trie, int(node))]
        for row, original in zip(spelt, expected_tokens(encoded, block), strict=True):
            assert all(token in (kept, replacement) for token, kept in zip(row, original, strict=True))
            num_replaced += sum(token == replacement for token in row)
            num_tokens += len(row)
    return num_replaced / num_tokens


def test_injection(encoded: EncodedBlocks) -> None:
    assert injected_share(encoded, 0.0, 1) == 0
    assert injected_share(encoded, 1.0, 1) == 1
    assert 0.2 < np.mean([injected_share(encoded, 0.3, seed) for seed in range(10)]) < 0.4


def test_injection_treats_every_occurrence_on_its_own() -> None:
    encoded = encode_blocks([labelled(200)], vocabulary("_UNKNOWN_"))
    batch = make_batch(encoded, np.array([0]), BatchOptions(injection_probability=0.5), np.random.default_rng(0))
    rows = {tuple(spell_instruction(batch, i)) for i in range(len(batch.inputs.instruction_nodes))}
    assert len(rows) == 2 ** len(expected_tokens(encoded, 0)[0])


def test_injection_is_seeded_and_needs_a_replacement_token(encoded: EncodedBlocks) -> None:
    options = BatchOptions(injection_probability=0.3)
    first, second, third = (make_batch(encoded, INDICES, options, np.random.default_rng(s)) for s in (1, 1, 2))
    assert_array_equal(first.inputs.token_trie.symbols, second.inputs.token_trie.symbols)
    assert first.inputs.token_trie.symbols.tolist() != third.inputs.token_trie.symbols.tolist()
    strict = encode_blocks([labelled(2)], vocabulary())
    with pytest.raises(ValueError, match="needs a vocabulary with a replacement token"):
        make_batch(strict, np.array([0]), options, np.random.default_rng(1))


@pytest.mark.parametrize("seq2seq", [False, True])
def test_filling_up(encoded: EncodedBlocks, seq2seq: bool) -> None:
    batch = make_batch(encoded, INDICES, BatchOptions(bidirectional=True, seq2seq=seq2seq))
    shape = roomy_shape([shape_of(batch)], margin=1.5)
    filled = fill_up(batch, shape)
    assert shape_of(filled) == shape._replace(occurrences=shape.occurrences if seq2seq else 0)
    assert_array_equal(filled.expected, batch.expected)
    assert_array_equal(filled.mask, batch.mask)
    assert not filled.targets.mask[batch.num_blocks :].any()
    for direction, original in zip(filled.inputs.directions, batch.inputs.directions):
        assert direction.trie.num_chunks == original.trie.num_chunks
        assert_array_equal(direction.output_nodes[: len(original.output_nodes)], original.output_nodes)
        assert not direction.output_nodes[len(original.output_nodes) :].any()
    if filled.inputs.instruction_blocks is not None:
        assert (filled.inputs.instruction_blocks[batch.num_instructions :] == -1).all()
        assert_array_equal(filled.expected_deltas, batch.expected_deltas)
        assert_array_equal(filled.instruction_mask, batch.instruction_mask)


def test_shapes() -> None:
    small, large = SequenceShape(10, 100, 30, 40, 5, 0), SequenceShape(12, 90, 30, 40, 5, 0)
    roomy = roomy_shape([small, large])
    assert roomy == SequenceShape(16, 112, 48, 48, 16, 0)
    assert all(size % TOKEN_CHUNK == size % BLOCK_CHUNK == 0 for size in roomy)
    assert is_covered(small, roomy)
    assert not is_covered(large, small)
    assert grown_to_cover(roomy, large) == roomy
    grown = grown_to_cover(roomy, SequenceShape(10, 300, 30, 40, 5, 0))
    assert grown == SequenceShape(64, 448, 192, 192, 64, 64)
