"""The quick way to serialised messages gives the same bytes as the messages themselves."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gematria_ops.blocks.basic_block import Annotation, Instruction, InstructionOperand
from gematria_ops.blocks.decoding import DecodedInstruction, decode_block
from gematria_ops.formats import proto_codec
from gematria_ops.formats.block_encoding import (
    BlockEncoder,
    encode_block_with_throughputs,
    encode_decoded_block,
    encode_instruction,
    encode_source,
)
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto, MachineInstructionProto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from tests.gematria.formats.examples import DECODED, INSTRUCTIONS, OPERANDS

SAMPLE = Path(__file__).parents[2] / "data" / "bhive" / "sample_skl.csv"


def slow_block(decoded, base_address=0):
    """The message of a block, built as a message."""
    proto = BasicBlockProto()
    address = base_address
    for instruction in decoded:
        proto.machine_instructions.append(
            MachineInstructionProto(
                address=address % 2**64, assembly=instruction.assembly, machine_code=instruction.machine_code
            )
        )
        proto.canonicalized_instructions.append(proto_codec.instruction_to_proto(instruction.instruction))
        address += len(instruction.machine_code)
    return proto


def serialised(message):
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instruction(name):
    assert encode_instruction(INSTRUCTIONS[name]) == serialised(proto_codec.instruction_to_proto(INSTRUCTIONS[name]))


@pytest.mark.parametrize("base_address", [0, 1, 127, 128, 4095, 4096, 1739, 2**63, 2**64 - 2])
def test_block_with_base_address(base_address):
    expected = serialised(slow_block(DECODED, base_address))
    assert BlockEncoder().encode_block(DECODED, base_address) == expected


def test_one_block():
    assert encode_decoded_block(DECODED, 64) == serialised(slow_block(DECODED, 64))
    assert encode_decoded_block([]) == b""


@pytest.mark.parametrize("cache_size", [1, 2, 100])
def test_the_cache_changes_nothing(cache_size):
    encoder = BlockEncoder(cache_size)
    decoded = [
        DecodedInstruction(bytes([number % 7]), f"\t{number % 7}", Instruction(mnemonic=str(number % 7)))
        for number in range(50)
    ]
    for start in range(40):
        block = decoded[start : start + 10]
        assert encoder.encode_block(block) == serialised(slow_block(block))


@pytest.mark.parametrize("cache_size", [1, 100])
def test_one_byte_that_is_two_instructions(cache_size):
    """F2 is `repne` alone and `xacquire` before an exchange; the bytes alone do not tell."""
    encoder = BlockEncoder(cache_size)
    for code in ("f2", "f28703", "f2", "f2f00103", "f3", "f3f00103", "f2", "f3"):
        block = decode_block(bytes.fromhex(code))
        assert encoder.encode_block(block) == serialised(slow_block(block))


def test_the_sample_of_real_blocks():
    encoder = BlockEncoder(500)
    for line in SAMPLE.read_text().splitlines():
        block = decode_block(bytes.fromhex(line.split(",")[0]))
        assert encoder.encode_block(block) == serialised(slow_block(block))


def test_annotations_belong_to_one_instruction_of_one_block():
    # The same instruction twice, once with annotations; and again without, from the same encoder.
    block = decode_block(bytes.fromhex("ffc9ffc9"))
    annotations = (Annotation("cycles:u", 3.0), Annotation("instructions:u", 0.0))
    annotated = replace(block[1], instruction=replace(block[1].instruction, instruction_annotations=annotations))
    encoder = BlockEncoder()
    assert encoder.encode_block(block, 5, {1: annotations}) == serialised(slow_block([block[0], annotated], 5))
    assert encoder.encode_block(block, 5) == serialised(slow_block(block, 5))


@pytest.mark.parametrize("source", ["bhive: hsw", "", "µarch: ☕", "x" * 300])
def test_labels(source):
    block = slow_block(DECODED)
    expected = BasicBlockWithThroughputProto(
        basic_block=block,
        inverse_throughputs=[
            ThroughputWithSourceProto(source=source, inverse_throughput_cycles=[0.0]),
            ThroughputWithSourceProto(source="other", inverse_throughput_cycles=[1.5]),
        ],
    )
    throughputs = [(encode_source(source), 0.0), (encode_source("other"), 1.5)]
    assert encode_block_with_throughputs(serialised(block), throughputs) == serialised(expected)


NAMES = st.text(max_size=8)
ANY_OPERAND = st.one_of(
    st.sampled_from(list(OPERANDS.values())),
    st.builds(InstructionOperand.from_register, NAMES),
    st.builds(InstructionOperand.from_immediate_value, st.integers(0, 2**64 - 1)),
    st.builds(InstructionOperand.from_fp_immediate_value, st.floats(allow_nan=False)),
    st.builds(InstructionOperand.from_memory, st.integers(-(2**31), 2**31 - 1)),
    st.builds(
        InstructionOperand.from_address,
        base_register=NAMES,
        displacement=st.integers(-(2**63), 2**63 - 1),
        index_register=NAMES,
        scaling=st.integers(-(2**31), 2**31 - 1),
        segment_register=NAMES,
    ),
)
OPERAND_LISTS = st.lists(ANY_OPERAND, max_size=4)


@given(
    st.builds(
        Instruction,
        mnemonic=NAMES,
        llvm_mnemonic=NAMES,
        prefixes=st.lists(NAMES, max_size=2),
        input_operands=OPERAND_LISTS,
        implicit_input_operands=OPERAND_LISTS,
        output_operands=OPERAND_LISTS,
        implicit_output_operands=OPERAND_LISTS,
        instruction_annotations=st.lists(st.builds(Annotation, NAMES, st.floats(allow_nan=False)), max_size=2),
    )
)
def test_any_instruction(instruction):
    assert encode_instruction(instruction) == serialised(proto_codec.instruction_to_proto(instruction))
