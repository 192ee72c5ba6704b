"""Graphs of blocks: the vectors of specification 8.4, a slow builder, and blocks that are refused."""

from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gematria_ops.blocks.basic_block import Annotation, BasicBlock, Instruction, InstructionOperand
from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.blocks.tokens import unique_tokens
from gematria_ops.blocks.vocabulary import UnknownTokenError, Vocabulary
from gematria_ops.encode.batch import BatchOptions
from gematria_ops.encode.encoded_blocks import encode_blocks
from gematria_ops.encode.graph_batch import make_graph_batch
from gematria_ops.encode.graphs import BlockGraphs, EdgeType, GraphBuilder, NodeType
from gematria_ops.encode.tokenizing import AnyBlock
from gematria_ops.formats.proto_codec import block_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.errors import DataError
from tests.gematria.encode import slow_graphs
from tests.gematria.encode.slow_graphs import ANNOTATIONS, random_block, slow_graph

SAMPLE = Path(__file__).parents[2] / "data/bhive/sample_skl.csv"
register, immediate = InstructionOperand.from_register, InstructionOperand.from_immediate_value
MEMORY = InstructionOperand.from_memory(1)

# The vocabulary of the specification's vectors, in its order; ours sorts them and adds what every vocabulary has.
SPEC_TOKENS = (
    "_IMMEDIATE_", "_FP_IMMEDIATE_", "_ADDRESS_", "_MEMORY_", "LEA", "MOV", "NOT", "R14", "R15", "RAX", "RBX", "RCX",
    "RDI", "_UNKNOWN_", "NOP", "LOCK",
)  # fmt: skip
SPEC_ANNOTATIONS = ("cache_miss_freq", "other_annotation")


def address(base: str, displacement: int = 0) -> InstructionOperand:
    return InstructionOperand.from_address(base_register=base, displacement=displacement, scaling=1)


def load(target: str, base: str, displacement: int = 0) -> Instruction:
    return Instruction("MOV", input_operands=(MEMORY, address(base, displacement)), output_operands=(register(target),))


LEA_RDI = Instruction("LEA", input_operands=(address("RBX", 8),), output_operands=(register("RDI"),))
LOCK_NOT = Instruction("NOT", "", ("LOCK",), input_operands=(MEMORY, address("R15")), output_operands=(MEMORY,))
MOV_RCX_RAX = Instruction("MOV", input_operands=(register("RAX"),), output_operands=(register("RCX"),))
NOT_RCX = Instruction("NOT", input_operands=(register("RCX"),), output_operands=(register("RCX"),))
ANNOTATED = replace(MOV_RCX_RAX, instruction_annotations=(Annotation("cache_miss_freq", 0.875),))
FOUR = (load("R14", "R15"), load("RAX", "R14", 112), MOV_RCX_RAX, NOT_RCX)


def build(blocks: list[AnyBlock], vocabulary: Vocabulary, annotations: tuple[str, ...] = ()) -> BlockGraphs:
    builder = GraphBuilder(vocabulary, annotations)
    for block in blocks:
        builder.add(block)
    return builder.finish()


def spelt(graphs: BlockGraphs, vocabulary: Vocabulary) -> list[tuple[list[str], list[tuple[int, int, int]]]]:
    """Tokens of the nodes and (sender, receiver, type) of the edges, graph by graph."""
    tokens = [vocabulary.tokens[index] for index in graphs.node_tokens]
    edges = list(zip(graphs.senders.tolist(), graphs.receivers.tolist(), graphs.edge_types.tolist(), strict=True))
    splits = zip(pairwise(graphs.node_splits), pairwise(graphs.edge_splits), strict=True)
    return [(tokens[a:b], edges[c:d]) for (a, b), (c, d) in splits]


def spec_counts(blocks: list[AnyBlock], vocabulary: Vocabulary) -> list[list[int]]:
    """The global features of a batch, in the order of the specification's vocabulary; nothing stands elsewhere."""
    encoded = encode_blocks(blocks, vocabulary, graphs=GraphBuilder(vocabulary))
    counts = make_graph_batch(encoded, np.arange(len(blocks)), BatchOptions()).inputs.token_counts
    columns = [vocabulary.index(token) for token in SPEC_TOKENS if token in vocabulary]
    assert counts[:, columns].sum() == counts.sum()
    return [
        [int(row[vocabulary.index(token)]) if token in vocabulary else 0 for token in SPEC_TOKENS] for row in counts
    ]


@pytest.mark.parametrize(
    ("instructions", "nodes", "edges", "counts"),
    [
        (
            (LEA_RDI,),
            "LEA _ADDRESS_ RBX _IMMEDIATE_ RDI",
            [(2, 1, 3), (3, 1, 6), (1, 0, 1), (0, 4, 2)],
            [1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0],
        ),
        (
            (LOCK_NOT,),
            "NOT LOCK _MEMORY_ _ADDRESS_ R15 _MEMORY_",
            [(1, 0, 8), (2, 0, 1), (4, 3, 3), (3, 0, 1), (0, 5, 2)],
            [0, 0, 1, 2, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1],
        ),
        ((MOV_RCX_RAX,), "MOV RAX RCX", [(1, 0, 1), (0, 2, 2)], [0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0]),
        (
            FOUR,
            "MOV _MEMORY_ _ADDRESS_ R15 R14 MOV _ADDRESS_ _IMMEDIATE_ RAX MOV RCX NOT RCX",
            list(
                zip(
                    [1, 3, 2, 0, 0, 1, 4, 7, 6, 5, 5, 8, 9, 9, 10, 11],
                    [0, 2, 0, 4, 5, 5, 6, 6, 5, 8, 9, 9, 10, 11, 11, 12],
                    [1, 3, 1, 2, 0, 1, 3, 6, 1, 2, 0, 1, 2, 0, 1, 2],
                    strict=True,
                )
            ),
            [1, 0, 2, 1, 0, 3, 1, 1, 1, 1, 0, 2, 0, 0, 0, 0],
        ),
    ],
    ids=["LEA", "LOCK NOT", "MOV", "four"],
)
def test_vectors(
    instructions: tuple[Instruction, ...], nodes: str, edges: list[tuple[int, int, int]], counts: list[int]
) -> None:
    vocabulary, block = Vocabulary(SPEC_TOKENS), BasicBlock(instructions)
    assert spelt(build([block], vocabulary), vocabulary) == [(nodes.split(), edges)]
    assert spec_counts([block], vocabulary) == [counts]


def test_annotation_vector() -> None:
    graphs = build([BasicBlock((ANNOTATED, MOV_RCX_RAX))], Vocabulary(SPEC_TOKENS), SPEC_ANNOTATIONS)
    assert graphs.annotations.tolist() == [[0.875, -1.0], [-1.0, -1.0]]
    assert graphs.annotations.dtype == np.float32
    # Annotations are features, never nodes; without names there is none.
    plain = build([BasicBlock((MOV_RCX_RAX, MOV_RCX_RAX))], Vocabulary(SPEC_TOKENS))
    assert_array_equal(graphs.node_tokens, plain.node_tokens)
    assert plain.annotations.shape == (2, 0)


def test_two_blocks_side_by_side() -> None:
    vocabulary, block = Vocabulary(SPEC_TOKENS), BasicBlock((NOT_RCX,))
    encoded = encode_blocks([block, block], vocabulary, graphs=GraphBuilder(vocabulary))
    inputs = make_graph_batch(encoded, np.array([0, 1]), BatchOptions()).inputs
    assert list(zip(inputs.senders.tolist(), inputs.receivers.tolist())) == [(1, 0), (0, 2), (4, 3), (3, 5)]
    assert np.bincount(inputs.node_blocks).tolist() == [3, 3]
    assert inputs.instruction_nodes.tolist() == [0, 3]
    assert inputs.instruction_blocks.tolist() == [0, 1]
    row = [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0]
    assert spec_counts([block, block], vocabulary) == [row, row]


def test_types_have_the_numbers_of_the_format() -> None:
    assert [member.value for member in NodeType] == list(range(7))
    assert [member.name for member in NodeType] == [
        "INSTRUCTION", "REGISTER", "IMMEDIATE", "FP_IMMEDIATE", "ADDRESS_OPERAND", "MEMORY_OPERAND", "PREFIX",
    ]  # fmt: skip
    assert [member.name for member in EdgeType] == [
        "STRUCTURAL_DEPENDENCY", "INPUT_OPERANDS", "OUTPUT_OPERANDS", "ADDRESS_BASE_REGISTER",
        "ADDRESS_INDEX_REGISTER", "ADDRESS_SEGMENT_REGISTER", "ADDRESS_DISPLACEMENT", "REVERSE_STRUCTURAL_DEPENDENCY",
        "INSTRUCTION_PREFIX",
    ]  # fmt: skip
    assert [member.value for member in EdgeType] == list(range(9))


def test_unknown_tokens_become_the_replacement_and_shapes_stay() -> None:
    known = set(SPEC_TOKENS) - {"R15", "NOT"}
    vocabulary = Vocabulary(known, "_UNKNOWN_")
    block = BasicBlock((LOCK_NOT,))
    whole = build([block], Vocabulary(SPEC_TOKENS))
    ((tokens, edges),) = spelt(build([block], vocabulary), vocabulary)
    assert tokens == ["_UNKNOWN_", "LOCK", "_MEMORY_", "_ADDRESS_", "_UNKNOWN_", "_MEMORY_"]
    assert edges == spelt(whole, Vocabulary(SPEC_TOKENS))[0][1]
    assert spec_counts([block], vocabulary) == [[0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]]


def test_unknown_registers_of_different_names_stay_different_values() -> None:
    vocabulary = Vocabulary({"ADD"}, "_UNKNOWN_")
    add = Instruction("ADD", input_operands=(register("A"), register("B"), register("A")))
    ((tokens, edges),) = spelt(build([BasicBlock((add,))], vocabulary), vocabulary)
    assert tokens == ["ADD", "_UNKNOWN_", "_UNKNOWN_"]
    assert edges == [(1, 0, 1), (2, 0, 1), (1, 0, 1)]


def assert_same(first: BlockGraphs, second: BlockGraphs) -> None:
    for item in fields(BlockGraphs):
        assert_array_equal(getattr(first, item.name), getattr(second, item.name), err_msg=item.name)


IMMEDIATE_OUTPUT = Instruction("MOV", output_operands=(immediate(1),))
UNKNOWN_REGISTER = Instruction("MOV", input_operands=(register("R8"),))


@pytest.mark.parametrize("bad", [UNKNOWN_REGISTER, Instruction("HLT"), IMMEDIATE_OUTPUT])
def test_a_block_that_raises_leaves_no_trace(bad: Instruction) -> None:
    vocabulary = Vocabulary(SPEC_TOKENS)
    builder = GraphBuilder(vocabulary, SPEC_ANNOTATIONS)
    for instructions in ((ANNOTATED,), (ANNOTATED, LEA_RDI, bad, ANNOTATED), (NOT_RCX, ANNOTATED)):
        if bad in instructions:
            with pytest.raises((UnknownTokenError, DataError)):
                builder.add(BasicBlock(instructions))
        else:
            builder.add(BasicBlock(instructions))
    wanted = build([BasicBlock((ANNOTATED,)), BasicBlock((NOT_RCX, ANNOTATED))], vocabulary, SPEC_ANNOTATIONS)
    assert wanted.annotations.tolist() == [[0.875, -1.0], [-1.0, -1.0], [0.875, -1.0]]
    assert_same(builder.finish(), wanted)


def test_dropped_blocks_are_in_no_graph_and_counted() -> None:
    vocabulary = Vocabulary(SPEC_TOKENS)
    good = [BasicBlock((ANNOTATED, NOT_RCX)), BasicBlock((LEA_RDI,))]
    blocks = [good[0], BasicBlock((NOT_RCX, UNKNOWN_REGISTER)), BasicBlock(), good[1]]
    builder = GraphBuilder(vocabulary, SPEC_ANNOTATIONS)
    encoded = encode_blocks(blocks, vocabulary, drop_invalid_blocks=True, graphs=builder)
    assert encoded.dropped == {"unknown token": 1, "empty block": 1}
    assert encoded.num_blocks == 2
    assert encoded.graphs is not None
    assert_same(encoded.graphs, build(good, vocabulary, SPEC_ANNOTATIONS))


def test_a_block_with_unfit_labels_is_refused_before_its_graph_is_made() -> None:
    vocabulary = Vocabulary(SPEC_TOKENS)
    builder = GraphBuilder(vocabulary)
    with pytest.raises(DataError, match="has 0 throughputs, the model has 1 tasks"):
        encode_blocks([BasicBlockWithThroughput(BasicBlock((NOT_RCX,)))], vocabulary, 1, graphs=builder)
    assert builder.num_nodes == 0


@pytest.mark.parametrize(
    ("operand", "name"),
    [
        (immediate(1), "IMMEDIATE_VALUE"),
        (InstructionOperand.from_fp_immediate_value(1.0), "FP_IMMEDIATE_VALUE"),
        (address("RAX"), "ADDRESS"),
    ],
)
@pytest.mark.parametrize("is_implicit", [False, True])
def test_an_output_that_cannot_be_written_is_an_error(
    operand: InstructionOperand, name: str, is_implicit: bool
) -> None:
    outputs = {"implicit_output_operands" if is_implicit else "output_operands": (register("RAX"), operand)}
    block = BasicBlock((Instruction("MOV", **outputs),))
    for form in (block, block_to_proto(block)):
        with pytest.raises(DataError) as caught:
            build([form], Vocabulary(SPEC_TOKENS))
        assert caught.value.message == f"instruction MOV writes to an operand of type {name}"


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e39])
def test_an_annotation_that_is_no_finite_number_is_an_error(value: float) -> None:
    block = BasicBlock((replace(MOV_RCX_RAX, instruction_annotations=(Annotation("cache_miss_freq", value),)),))
    with pytest.raises(DataError) as caught:
        build([block], Vocabulary(SPEC_TOKENS), SPEC_ANNOTATIONS)
    assert (
        caught.value.message == f"instruction MOV has annotation cache_miss_freq = {value}, not a finite float32 number"
    )
    # Nobody reads it where its name is not asked for.
    assert build([block], Vocabulary(SPEC_TOKENS)).annotations.shape == (1, 0)


def every_vocabulary() -> Vocabulary:
    return Vocabulary([*slow_graphs.REGISTERS, *slow_graphs.MNEMONICS, *slow_graphs.PREFIXES])


def test_thousand_random_blocks_are_those_of_the_slow_builder() -> None:
    random, vocabulary = np.random.default_rng(1), every_vocabulary()
    blocks = [random_block(random) for _ in range(1000)]
    graphs = build(blocks, vocabulary, ANNOTATIONS)
    wanted = [slow_graph(block, ANNOTATIONS) for block in blocks]
    assert spelt(graphs, vocabulary) == [(graph.tokens, graph.edges) for graph in wanted]
    assert graphs.node_types.tolist() == [kind for graph in wanted for kind in graph.types]
    assert graphs.annotations.tolist() == [list(row) for graph in wanted for row in graph.rows]
    # Every kind of node and edge occurred.
    assert set(graphs.node_types.tolist()) == set(map(int, NodeType))
    assert set(graphs.edge_types.tolist()) == set(map(int, EdgeType)) - {EdgeType.REVERSE_STRUCTURAL_DEPENDENCY}


def test_every_graph_hangs_together() -> None:
    random, vocabulary = np.random.default_rng(2), every_vocabulary()
    blocks = [random_block(random) for _ in range(1000)]
    encoded = encode_blocks(blocks, vocabulary, graphs=GraphBuilder(vocabulary))
    inputs = make_graph_batch(encoded, np.arange(1000), BatchOptions()).inputs
    num_nodes, types = len(inputs.node_tokens), encoded.graphs.node_types
    for ends in (inputs.senders, inputs.receivers):
        assert ends.min() >= 0
        assert ends.max() < num_nodes
        # No edge leaves its block.
        assert_array_equal(inputs.node_blocks[ends], inputs.edge_blocks)
    touched = np.isin(np.arange(num_nodes), np.concatenate([inputs.senders, inputs.receivers]))
    assert touched[types != NodeType.INSTRUCTION].all()
    assert_array_equal(inputs.instruction_nodes, np.flatnonzero(types == NodeType.INSTRUCTION))
    assert_array_equal(inputs.token_counts.sum(axis=1), np.bincount(inputs.node_blocks, minlength=1000))
    assert_array_equal(inputs.instruction_blocks, inputs.node_blocks[inputs.instruction_nodes])


@pytest.mark.parametrize("as_sample", [False, True], ids=["random", "sample"])
def test_messages_and_dataclasses_give_the_same_graph(as_sample: bool) -> None:
    if as_sample:
        codes = [line.split(",")[0] for line in SAMPLE.read_text().splitlines()[:200]]
        blocks = [BasicBlock(tuple(one.instruction for one in decode_block(bytes.fromhex(code)))) for code in codes]
        vocabulary = Vocabulary(unique_tokens(blocks))
    else:
        random, vocabulary = np.random.default_rng(3), every_vocabulary()
        blocks = [random_block(random) for _ in range(200)]
    plain = build(blocks, vocabulary, ANNOTATIONS)
    messages = [block_to_proto(block) for block in blocks]
    assert_same(build(messages, vocabulary, ANNOTATIONS), plain)
    labelled = [BasicBlockWithThroughputProto(basic_block=message) for message in messages]
    assert_same(build(labelled, vocabulary, ANNOTATIONS), plain)
    assert_same(build([BasicBlockWithThroughput(block) for block in blocks], vocabulary, ANNOTATIONS), plain)
    wanted = [(graph.tokens, graph.edges) for graph in map(slow_graph, blocks)]
    assert spelt(plain, vocabulary) == wanted


def test_no_block_is_no_graph() -> None:
    graphs = build([], Vocabulary(SPEC_TOKENS), SPEC_ANNOTATIONS)
    assert (graphs.node_splits.tolist(), graphs.edge_splits.tolist()) == ([0], [0])
    assert graphs.annotations.shape == (0, 2)
