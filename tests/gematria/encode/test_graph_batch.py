"""Batches of graphs: the graphs side by side, injected tokens, labels, dropout's seed."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import GraniteConfig, GraniteRunnerConfig, RnnType
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.graph_batch import GraphInputs, make_graph_batch
from gematria_ops.encode.graphs import GraphBuilder
from gematria_ops.encode.layouts import MakeBatch, prediction_options, training_options
from gematria_ops.encode.sequence_batch import make_batch
from tests.gematria.encode import block_examples
from tests.gematria.encode.slow_graphs import ANNOTATIONS, MNEMONICS, PREFIXES, REGISTERS, random_block, slow_graph

INDICES = np.array([7, 0, 3, 3, 11])
VOCABULARY = Vocabulary([*REGISTERS, *MNEMONICS, *PREFIXES], "_UNKNOWN_")
random_blocks = np.random.default_rng(4)
BLOCKS = [random_block(random_blocks) for _ in range(12)]


@pytest.fixture(scope="module")
def encoded() -> EncodedBlocks:
    return encode_blocks(BLOCKS, VOCABULARY, graphs=GraphBuilder(VOCABULARY, ANNOTATIONS))


def unpacked(inputs: GraphInputs) -> list[tuple[list[str], list[tuple[int, int, int]]]]:
    """Tokens and edges of each block of a batch, nodes counted from the block's first."""
    graphs = []
    for block, _ in enumerate(inputs.block_sizes):
        nodes, edges = np.flatnonzero(inputs.node_blocks == block), np.flatnonzero(inputs.edge_blocks == block)
        assert_array_equal(np.diff(nodes), 1)
        ends = zip(inputs.senders[edges] - nodes[0], inputs.receivers[edges] - nodes[0], inputs.edge_types[edges])
        tokens = [VOCABULARY.tokens[token] for token in inputs.node_tokens[nodes]]
        graphs.append((tokens, [tuple(map(int, edge)) for edge in ends]))
    return graphs


@pytest.mark.parametrize("indices", [INDICES, np.array([5]), np.arange(12)[::-1]], ids=["some", "one", "all backwards"])
def test_a_batch_is_its_graphs_side_by_side(encoded: EncodedBlocks, indices: np.ndarray) -> None:
    batch = make_graph_batch(encoded, indices, BatchOptions())
    inputs, wanted = batch.inputs, [slow_graph(BLOCKS[index], ANNOTATIONS) for index in indices]
    assert unpacked(inputs) == [(graph.tokens, graph.edges) for graph in wanted]
    assert inputs.annotations.tolist() == [list(row) for graph in wanted for row in graph.rows]
    assert inputs.block_sizes.tolist() == [len(graph.rows) for graph in wanted]
    assert batch.num_blocks == len(indices)
    assert batch.num_instructions == len(inputs.instruction_nodes) == sum(inputs.block_sizes)
    counts = [[graph.tokens.count(token) for token in VOCABULARY] for graph in wanted]
    assert inputs.token_counts.tolist() == counts
    mnemonics = [item.mnemonic for index in indices for item in BLOCKS[index].instructions]
    assert [VOCABULARY.tokens[token] for token in inputs.node_tokens[inputs.instruction_nodes]] == mnemonics
    assert inputs.instruction_blocks.tolist() == np.repeat(np.arange(len(indices)), inputs.block_sizes).tolist()
    assert inputs.dropout_seed is None


def test_types_are_those_of_the_signature(encoded: EncodedBlocks) -> None:
    inputs = make_graph_batch(encoded, INDICES, BatchOptions(dropout=True), np.random.default_rng(1)).inputs
    for name, values in inputs._asdict().items():
        assert values.dtype == (np.float32 if name == "annotations" else np.int32), name


def inject(encoded: EncodedBlocks, probability: float, seed: int) -> GraphInputs:
    options = BatchOptions(injection_probability=probability)
    return make_graph_batch(encoded, INDICES, options, np.random.default_rng(seed)).inputs


def test_injection_changes_tokens_and_their_counts_alone(encoded: EncodedBlocks) -> None:
    plain, some = make_graph_batch(encoded, INDICES, BatchOptions()).inputs, inject(encoded, 0.3, 1)
    replaced = some.node_tokens != plain.node_tokens
    assert 0 < replaced.sum() < len(replaced)
    assert (some.node_tokens[replaced] == VOCABULARY.replacement_index).all()
    for name in set(GraphInputs._fields) - {"node_tokens", "token_counts"}:
        assert_array_equal(getattr(some, name), getattr(plain, name), err_msg=name)
    wanted = np.zeros_like(plain.token_counts)
    np.add.at(wanted, (some.node_blocks, some.node_tokens), 1)
    assert_array_equal(some.token_counts, wanted)
    assert (some.token_counts != plain.token_counts).any()


def test_injection_follows_its_probability_and_its_seed(encoded: EncodedBlocks) -> None:
    plain = make_graph_batch(encoded, INDICES, BatchOptions()).inputs
    assert_array_equal(inject(encoded, 0.0, 1).node_tokens, plain.node_tokens)
    assert (inject(encoded, 1.0, 1).node_tokens == VOCABULARY.replacement_index).all()
    assert_array_equal(inject(encoded, 0.3, 1).node_tokens, inject(encoded, 0.3, 1).node_tokens)
    assert inject(encoded, 0.3, 1).node_tokens.tolist() != inject(encoded, 0.3, 2).node_tokens.tolist()
    # Each node on its own: also two of one token, and the blocks that are one and the same.
    shares = [(inject(encoded, 0.3, seed).node_tokens == VOCABULARY.replacement_index).mean() for seed in range(20)]
    assert 0.25 < np.mean(shares) < 0.35
    repeated = inject(encoded, 0.3, 1)
    third, fourth = (repeated.node_tokens[repeated.node_blocks == block].tolist() for block in (2, 3))
    assert third != fourth


def test_injection_and_dropout_are_for_training_only() -> None:
    model = GraniteConfig(rnn_type=RnnType.LSTM, rnn_dropout=0.5)
    config = GraniteRunnerConfig.from_toml(
        None, ["model.kind=graph", "model.rnn_type=LSTM", "model.rnn_dropout=0.5",
               "tokens.out_of_vocabulary_injection_probability=0.25"]
    )  # fmt: skip
    options = training_options(config)
    assert (options.injection_probability, options.dropout) == (0.25, True)
    assert prediction_options(model) == BatchOptions()
    assert prediction_options(GraniteConfig(seq2seq=True)) == BatchOptions(seq2seq=True)


@pytest.mark.parametrize(
    "overrides", [["model.rnn_dropout=0.5"], ["model.rnn_type=GRU"], ["model.rnn_type=GRU", "model.rnn_dropout=0"]]
)
def test_without_dropout_there_is_no_seed_for_it(overrides: list[str]) -> None:
    assert not training_options(GraniteRunnerConfig.from_toml(None, ["model.kind=graph", *overrides])).dropout


def test_the_seed_of_dropout_is_drawn_for_every_batch(encoded: EncodedBlocks) -> None:
    options = BatchOptions(dropout=True)
    seeds = [
        make_graph_batch(encoded, INDICES, options, np.random.default_rng(s)).inputs.dropout_seed for s in (1, 1, 2)
    ]
    assert_array_equal(seeds[0], seeds[1])
    assert seeds[0].tolist() != seeds[2].tolist()


@pytest.mark.parametrize(
    "options",
    [BatchOptions(injection_probability=0.3), BatchOptions(dropout=True), BatchOptions(random_labels=True)],
    ids=["injection", "dropout", "labels"],
)
def test_chance_needs_a_generator(encoded: EncodedBlocks, options: BatchOptions) -> None:
    with pytest.raises(ValueError, match="need a random generator"):
        make_graph_batch(encoded, INDICES, options)


def test_injection_needs_a_replacement_token() -> None:
    vocabulary = Vocabulary(VOCABULARY.tokens)
    strict = encode_blocks(BLOCKS[:1], vocabulary, graphs=GraphBuilder(vocabulary))
    with pytest.raises(ValueError, match="needs a vocabulary with a replacement token"):
        inject_first = BatchOptions(injection_probability=0.3)
        make_graph_batch(strict, np.array([0]), inject_first, np.random.default_rng(1))


def test_blocks_without_graphs_are_refused() -> None:
    with pytest.raises(ValueError, match="encoded without graphs"):
        make_graph_batch(encode_blocks(BLOCKS[:1], VOCABULARY), np.array([0]), BatchOptions())


@pytest.mark.parametrize("seq2seq", [False, True])
@pytest.mark.parametrize("random_labels", [False, True])
def test_labels_are_those_of_the_sequence_models(seq2seq: bool, random_labels: bool) -> None:
    vocabulary = block_examples.vocabulary()
    blocks = block_examples.random_blocks(12, 2, seed=5, label_share=0.6)
    samples = block_examples.throughput([1, 2, 3], [[4, 5]] * len(blocks[7].block.instructions))
    blocks[7] = BasicBlockWithThroughput(blocks[7].block, (samples, samples))
    encoded = encode_blocks(blocks, vocabulary, 2, graphs=GraphBuilder(vocabulary))
    options = BatchOptions(seq2seq=seq2seq, random_labels=random_labels)
    graph, sequence = (
        make(encoded, INDICES, options, np.random.default_rng(8)) for make in (make_graph_batch, make_batch)
    )
    assert_array_equal(graph.targets.expected, sequence.targets.expected)
    assert_array_equal(graph.targets.mask, sequence.targets.mask)
    assert not graph.targets.mask.all()
    if seq2seq:
        assert_array_equal(graph.targets.expected_deltas, sequence.targets.expected_deltas)
    else:
        assert graph.targets.expected_deltas is None
    assert_array_equal(graph.instruction_mask, sequence.instruction_mask)


def test_random_labels_are_samples_of_their_own_label() -> None:
    vocabulary = block_examples.vocabulary()
    nop = block_examples.instruction("nop")
    block = BasicBlockWithThroughput(BasicBlock((nop, nop)), (block_examples.throughput([1, 2, 3], [[1, 5], [7]]),))
    encoded = encode_blocks([block], vocabulary, 1, graphs=GraphBuilder(vocabulary))
    options = BatchOptions(seq2seq=True, random_labels=True)
    batches = [make_graph_batch(encoded, np.array([0]), options, np.random.default_rng(seed)) for seed in range(30)]
    assert {float(batch.expected[0, 0]) for batch in batches} == {1.0, 2.0, 3.0}
    assert {tuple(batch.expected_deltas[:, 0].tolist()) for batch in batches} == {(1.0, 6.0), (5.0, 2.0)}


def test_splits_of_the_graphs_are_those_of_the_blocks(encoded: EncodedBlocks) -> None:
    graphs = encoded.graphs
    assert graphs is not None
    assert len(graphs.node_splits) == len(graphs.edge_splits) == encoded.num_blocks + 1
    sizes = [end - start for start, end in pairwise(encoded.block_splits)]
    assert sizes == [len(block.instructions) for block in BLOCKS]
    assert len(graphs.instruction_nodes) == len(graphs.annotations) == sum(sizes)


@pytest.mark.parametrize("make", [make_graph_batch, make_batch], ids=["graphs", "sequences"])
def test_each_instruction_knows_its_block(make: MakeBatch) -> None:
    # The vector of specification 6.6.
    names, nop = block_examples.vocabulary(), block_examples.instruction("nop")
    blocks = [BasicBlock((nop,) * size) for size in (2, 4, 1)]
    encoded = encode_blocks(blocks, names, graphs=GraphBuilder(names))
    batch = make(encoded, np.arange(3), BatchOptions(seq2seq=True), None)
    assert batch.inputs.instruction_blocks.tolist() == [0, 0, 1, 1, 1, 1, 2]
