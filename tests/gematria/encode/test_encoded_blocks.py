"""A data set as flat arrays: tokens, labels and prefixes of every block come back; bad blocks are named."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.blocks.tokens import block_tokens
from gematria_ops.encode.encoded_blocks import EncodedBlocks, encode_blocks
from gematria_ops.encode.tokenizing import (
    AnyBlock,
    InstructionTable,
    TokenNotFoundError,
    is_encodable,
    num_instructions,
)
from gematria_ops.formats.proto_codec import block_to_proto, block_with_throughput_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.errors import DataError
from tests.gematria.encode.block_examples import instruction, random_blocks, throughput, vocabulary

MOV, NOP, ADD = instruction("MOV", "RAX", "RBX"), instruction("nop"), instruction("ADD", "RAX")
UNKNOWN = instruction("FROB", "RAX")


def labelled(*instructions: object, throughputs: tuple = ()) -> BasicBlockWithThroughput:
    return BasicBlockWithThroughput(BasicBlock(tuple(instructions)), throughputs)


def tokens_of(encoded: EncodedBlocks, block: int) -> list[list[str]]:
    ids = encoded.instruction_ids[encoded.block_splits[block] : encoded.block_splits[block + 1]]
    names = encoded.vocabulary.tokens
    splits = encoded.instruction_splits
    return [[names[token] for token in encoded.instruction_tokens[splits[i] : splits[i + 1]]] for i in ids]


def as_proto(block: BasicBlockWithThroughput) -> BasicBlockWithThroughputProto:
    return block_with_throughput_to_proto(block, [f"test: {i}" for i in range(len(block.throughputs))])


@pytest.mark.parametrize("form", [lambda block: block, as_proto], ids=["dataclass", "message"])
def test_tokens_and_labels_come_back(form: Callable[[BasicBlockWithThroughput], AnyBlock]) -> None:
    blocks = random_blocks(30, 2, seed=1, label_share=0.7)
    encoded = encode_blocks(map(form, blocks), vocabulary(), 2)
    assert encoded.num_blocks == 30
    assert encoded.dropped == {}
    for index, block in enumerate(blocks):
        assert tokens_of(encoded, index) == [list(tokens) for tokens in block_tokens(block.block)]
        expected = [-1.0 if item is None else item.inverse_throughput_cycles[0] for item in block.throughputs]
        assert_array_equal(encoded.labels[index], np.float32(expected))
        assert_array_equal(encoded.mask[index], [item is not None for item in block.throughputs])
    assert_array_equal(encoded.block_sizes, [len(block.block.instructions) for block in blocks])


def test_instructions_with_equal_tokens_are_one() -> None:
    encoded = encode_blocks([labelled(MOV, NOP, MOV), labelled(MOV, ADD)], vocabulary())
    assert len(encoded.instruction_splits) - 1 == 3
    ids = encoded.instruction_ids
    assert ids[0] == ids[2] == ids[3]
    # Sorted by their tokens, so that instructions that begin alike are neighbours.
    rows = [
        encoded.instruction_tokens[a:b].tolist()
        for a, b in zip(encoded.instruction_splits, encoded.instruction_splits[1:])
    ]
    assert rows == sorted(rows)


def test_plain_blocks_and_block_messages_need_no_labels() -> None:
    block = BasicBlock((MOV, NOP))
    for form in (block, block_to_proto(block), labelled(MOV, NOP), as_proto(labelled(MOV, NOP))):
        encoded = encode_blocks([form], vocabulary())
        assert tokens_of(encoded, 0) == [list(tokens) for tokens in block_tokens(block)]
        assert encoded.labels.shape == (1, 0)
        assert num_instructions(form) == 2


def test_throughputs_beyond_the_tasks_are_ignored() -> None:
    encoded = encode_blocks([labelled(NOP, throughputs=(throughput(2), throughput(3)))], vocabulary(), 1)
    assert encoded.labels.tolist() == [[2.0]]


def test_ranks_sort_blocks_from_either_end() -> None:
    blocks = [labelled(MOV, NOP), labelled(ADD), labelled(MOV), labelled(NOP, MOV), labelled(ADD, NOP)]
    encoded = encode_blocks(blocks, vocabulary())
    keys = [encoded.instruction_ids[a:b].tolist() for a, b in zip(encoded.block_splits, encoded.block_splits[1:])]
    assert encoded.forward_order.tolist() == [sorted(keys).index(key) for key in keys]
    backwards = [key[::-1] for key in keys]
    assert encoded.backward_order.tolist() == [sorted(backwards).index(key) for key in backwards]


def test_a_kept_table_changes_nothing() -> None:
    table = InstructionTable(vocabulary())
    encode_blocks([labelled(NOP, ADD, MOV)], vocabulary(), table=table)
    assert len(table) == 3
    blocks = random_blocks(5, 1, seed=3)
    with_table, alone = (encode_blocks(blocks, vocabulary(), 1, table=item) for item in (table, None))
    assert len(table) > 3
    for name in ("instruction_tokens", "instruction_splits", "instruction_ids", "block_splits", "samples"):
        assert_array_equal(getattr(with_table, name), getattr(alone, name))


def test_no_blocks() -> None:
    encoded = encode_blocks([], vocabulary(), 2)
    assert encoded.num_blocks == 0
    assert encoded.labels.shape == encoded.mask.shape == (0, 2)


def test_unknown_tokens() -> None:
    proto = as_proto(labelled(UNKNOWN))
    proto.basic_block.machine_instructions.add(machine_code=b"\x0f\x0b")
    with pytest.raises(TokenNotFoundError, match=r"Token not found: 'FROB' of block 1 \(0f0b\)") as error:
        encode_blocks([labelled(NOP), proto], vocabulary())
    assert error.value.token == "FROB"
    proto.basic_block.fingerprint = "my block"
    with pytest.raises(TokenNotFoundError, match=r"'FROB' of block 0 \(my block\)"):
        encode_blocks([proto], vocabulary())
    assert tokens_of(encode_blocks([proto], vocabulary("_UNKNOWN_")), 0)[0][0] == "_UNKNOWN_"


def test_is_encodable() -> None:
    table = InstructionTable(vocabulary())
    assert is_encodable(BasicBlock((MOV,)), table)
    assert not is_encodable(BasicBlock((MOV, UNKNOWN)), table)
    assert not is_encodable(BasicBlock(()), table)
    assert is_encodable(BasicBlock((UNKNOWN,)), InstructionTable(vocabulary("_UNKNOWN_")))


def test_invalid_blocks_are_dropped_and_counted_by_reason() -> None:
    blocks = [labelled(MOV, UNKNOWN), labelled(NOP), labelled(), labelled(UNKNOWN), labelled(ADD)]
    encoded = encode_blocks(blocks, vocabulary(), drop_invalid_blocks=True)
    assert encoded.dropped == {"unknown token": 2, "empty block": 1}
    assert [tokens_of(encoded, i)[0][0] for i in range(encoded.num_blocks)] == ["nop", "ADD"]


TWO = (throughput(3, [1, 3]),)


@pytest.mark.parametrize(
    ("block", "needs_prefixes", "message"),
    [
        (labelled(throughputs=TWO), False, "block 1 has no instruction"),
        (labelled(MOV), False, "block 1 has 0 throughputs, the model has 1 tasks"),
        (labelled(MOV, throughputs=TWO), True, "block 1 has throughputs for 2 prefixes, it has 1 instructions"),
        (labelled(MOV, NOP, throughputs=(throughput(3),)), True, "block 1 has throughputs for 0 prefixes, it has 2"),
        (
            labelled(MOV, NOP, throughputs=(throughput(3, [[], 3]),)),
            True,
            "block 1 has throughputs for 1 prefixes, it has 2",
        ),
        (labelled(MOV, throughputs=(throughput(float("nan")),)), False, "a throughput is not a finite number"),
        (labelled(MOV, throughputs=(throughput(1, [float("inf")]),)), False, "a throughput is not a finite number"),
    ],
)
def test_blocks_that_cannot_be_used(block: AnyBlock, needs_prefixes: bool, message: str) -> None:
    good = labelled(MOV, NOP, throughputs=TWO)
    with pytest.raises(DataError, match=message):
        encode_blocks([good, block], vocabulary(), 1, needs_prefixes=needs_prefixes)


def test_prefixes_are_not_asked_of_a_task_without_a_label() -> None:
    encoded = encode_blocks([labelled(MOV, NOP, throughputs=(None, *TWO))], vocabulary(), 2, needs_prefixes=True)
    assert encoded.mask.tolist() == [[False, True]]
    assert encoded.prefix_samples.tolist() == [1.0, 3.0]
