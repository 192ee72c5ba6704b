"""Dataclasses to messages and back, field by field."""

import pytest

from gematria_ops.blocks.basic_block import AddressTuple, Annotation, BasicBlock, Instruction
from gematria_ops.blocks.throughput import BasicBlockThroughput, BasicBlockWithThroughput
from gematria_ops.formats import proto_codec
from gematria_ops.formats.protos.annotation_pb2 import AnnotationProto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto, MachineInstructionProto
from gematria_ops.formats.protos.canonicalized_instruction_pb2 import (
    CanonicalizedInstructionProto,
    CanonicalizedOperandProto,
)
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from tests.gematria.formats.examples import FULL_INSTRUCTION, INSTRUCTIONS, LABELLED, OPERANDS

OPERAND_PROTOS = {
    "register": CanonicalizedOperandProto(register_name="RAX"),
    "immediate": CanonicalizedOperandProto(immediate_value=1000),
    "zero immediate": CanonicalizedOperandProto(immediate_value=0),
    "negative immediate": CanonicalizedOperandProto(immediate_value=18446744073709551584),
    "fp immediate": CanonicalizedOperandProto(fp_immediate_value=2.5),
    "zero fp immediate": CanonicalizedOperandProto(fp_immediate_value=0.0),
    "address": CanonicalizedOperandProto(
        address=CanonicalizedOperandProto.AddressTuple(
            base_register="RBX", displacement=-8, index_register="RSI", scaling=4, segment="FS"
        )
    ),
    "address with nothing": CanonicalizedOperandProto(address=CanonicalizedOperandProto.AddressTuple()),
    "memory": CanonicalizedOperandProto(memory=CanonicalizedOperandProto.MemoryLocation(alias_group_id=1)),
    "memory zero": CanonicalizedOperandProto(memory=CanonicalizedOperandProto.MemoryLocation()),
    "unknown": CanonicalizedOperandProto(),
}


@pytest.mark.parametrize("kind", OPERANDS)
def test_operand_both_ways(kind):
    assert proto_codec.operand_to_proto(OPERANDS[kind]) == OPERAND_PROTOS[kind]
    assert proto_codec.operand_from_proto(OPERAND_PROTOS[kind]) == OPERANDS[kind]


def test_address_both_ways():
    address = AddressTuple("RBX", -8, "RSI", 4, "FS")
    proto = proto_codec.address_to_proto(address)
    assert (proto.base_register, proto.displacement, proto.index_register) == ("RBX", -8, "RSI")
    assert (proto.scaling, proto.segment) == (4, "FS")
    assert proto_codec.address_from_proto(proto) == address


def test_annotation_both_ways():
    proto = AnnotationProto(name="cycles:u", value=0.25)
    assert proto_codec.annotation_from_proto(proto) == Annotation("cycles:u", 0.25)
    assert proto_codec.annotation_to_proto(Annotation("cycles:u", 0.25)) == proto


def test_every_field_of_an_instruction_has_its_place():
    proto = proto_codec.instruction_to_proto(FULL_INSTRUCTION)
    assert (proto.mnemonic, proto.llvm_mnemonic, list(proto.prefixes)) == ("ADC", "ADC32rr", ["LOCK", "REP"])
    assert list(proto.output_operands) == list(OPERAND_PROTOS.values())
    assert list(proto.input_operands) == [
        OPERAND_PROTOS["memory"],
        OPERAND_PROTOS["address"],
        OPERAND_PROTOS["negative immediate"],
    ]
    assert [operand.register_name for operand in proto.implicit_output_operands] == ["EFLAGS", ""]
    assert [operand.register_name for operand in proto.implicit_input_operands] == ["EFLAGS"]
    assert [annotation.value for annotation in proto.instruction_annotations] == [0.5, 0.0, -0.0]


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_instruction_both_ways(name):
    proto = proto_codec.instruction_to_proto(INSTRUCTIONS[name])
    sent = CanonicalizedInstructionProto.FromString(proto.SerializeToString())
    assert proto_codec.instruction_from_proto(sent) == INSTRUCTIONS[name]


def test_block_reads_canonical_instructions_only():
    block = BasicBlock((FULL_INSTRUCTION, Instruction("nop")))
    proto = proto_codec.block_to_proto(block)
    assert not proto.machine_instructions
    proto.machine_instructions.add(assembly="\thlt", machine_code=b"\xf4")
    assert proto_codec.block_from_proto(proto) == block
    only_machine = BasicBlockProto(machine_instructions=[MachineInstructionProto(machine_code=b"\x90")])
    assert proto_codec.block_from_proto(only_machine) == BasicBlock()


def test_throughputs_from_an_empty_message():
    assert proto_codec.block_with_throughput_from_proto(BasicBlockWithThroughputProto()) == BasicBlockWithThroughput(
        BasicBlock()
    )


def test_an_entry_without_samples_is_none_and_its_neighbours_stay():
    prefixes_only = ThroughputWithSourceProto(source="b")
    prefixes_only.prefix_inverse_throughputs.add(inverse_throughput_cycles=[1.0])
    proto = BasicBlockWithThroughputProto(
        inverse_throughputs=[
            ThroughputWithSourceProto(source="a", inverse_throughput_cycles=[1.0, 2.0]),
            prefixes_only,
            ThroughputWithSourceProto(source="c"),
            ThroughputWithSourceProto(source="d", inverse_throughput_cycles=[3.0]),
        ]
    )
    assert proto_codec.block_with_throughput_from_proto(proto).throughputs == (
        BasicBlockThroughput((1.0, 2.0)),
        None,
        None,
        BasicBlockThroughput((3.0,)),
    )


def test_block_with_throughput_both_ways():
    proto = proto_codec.block_with_throughput_to_proto(LABELLED, ["a", "b", "c"])
    assert [entry.source for entry in proto.inverse_throughputs] == ["a", "b", "c"]
    sent = BasicBlockWithThroughputProto.FromString(proto.SerializeToString())
    assert proto_codec.block_with_throughput_from_proto(sent) == LABELLED


def test_sources_must_be_as_many_as_throughputs():
    with pytest.raises(ValueError, match="shorter"):
        proto_codec.block_with_throughput_to_proto(LABELLED, ["a"])
