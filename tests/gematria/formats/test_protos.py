"""The generated code is fresh, and the messages are those of the original system: names, numbers, kinds."""

from pathlib import Path

import pytest

from gematria_ops.formats.protos import (
    annotation_pb2,
    basic_block_pb2,
    canonicalized_instruction_pb2,
    execution_annotation_pb2,
    throughput_pb2,
)
from gematria_ops.formats.protos.compile import PROTO_FOLDER, compile_protos

MODULES = (
    annotation_pb2,
    basic_block_pb2,
    canonicalized_instruction_pb2,
    execution_annotation_pb2,
    throughput_pb2,
)

# Field number, name and kind of every field, from the specification, section 1. A star marks repeated fields.
FIELDS = {
    "AnnotationProto": "1 name string, 2 value double",
    "BasicBlockProto": (
        "1 machine_instructions *MachineInstructionProto, "
        "2 canonicalized_instructions *CanonicalizedInstructionProto, 3 fingerprint string"
    ),
    "MachineInstructionProto": "1 address uint64, 2 assembly string, 3 machine_code bytes",
    "CanonicalizedInstructionProto": (
        "1 mnemonic string, 2 prefixes *string, 3 llvm_mnemonic string, 4 output_operands *CanonicalizedOperandProto, "
        "5 input_operands *CanonicalizedOperandProto, 6 implicit_output_operands *CanonicalizedOperandProto, "
        "7 implicit_input_operands *CanonicalizedOperandProto, 8 instruction_annotations *AnnotationProto"
    ),
    "CanonicalizedOperandProto": (
        "1 register_name string, 2 immediate_value uint64, 3 fp_immediate_value double, 4 address AddressTuple, "
        "5 memory MemoryLocation"
    ),
    "CanonicalizedOperandProto.AddressTuple": (
        "1 base_register string, 2 index_register string, 3 displacement int64, 4 scaling int32, 5 segment string"
    ),
    "CanonicalizedOperandProto.MemoryLocation": "1 alias_group_id int32",
    "ThroughputWithSourceProto": (
        "1 source string, 2 inverse_throughput_cycles *double, 3 prefix_inverse_throughputs *PrefixThroughputProto"
    ),
    "ThroughputWithSourceProto.PrefixThroughputProto": "1 inverse_throughput_cycles *double",
    "BasicBlockWithThroughputProto": "1 basic_block BasicBlockProto, 2 inverse_throughputs *ThroughputWithSourceProto",
    "BasicBlockWithThroughputListProto": "1 basic_blocks *BasicBlockWithThroughputProto",
    "RegisterAndValue": "1 register_name string, 2 register_value uint64",
    "ExecutionAnnotations": (
        "1 code_start_address uint64, 2 block_size uint64, 3 block_contents uint64, 4 accessed_blocks *uint64, "
        "5 initial_registers *RegisterAndValue, 6 loop_register string"
    ),
    "BlockWithExecutionAnnotations": "1 execution_annotations ExecutionAnnotations, 2 block_hex string",
}

KINDS = {1: "double", 3: "int64", 4: "uint64", 5: "int32", 9: "string", 12: "bytes"}


def all_messages():
    """Yields every message descriptor of all files, nested ones after their parents."""
    pending = [message for module in MODULES for message in module.DESCRIPTOR.message_types_by_name.values()]
    while pending:
        message = pending.pop(0)
        pending = list(message.nested_types) + pending
        yield message


def described(field):
    kind = field.message_type.name if field.message_type else KINDS[field.type]
    return f"{field.number} {field.name} {'*' if field.is_repeated else ''}{kind}"


def test_generated_code_is_fresh(tmp_path):
    fresh = compile_protos(tmp_path)
    assert len(fresh) == 2 * len(MODULES)
    for path in fresh:
        assert path.read_text() == (PROTO_FOLDER / path.name).read_text(), "run: make protos"


def test_file_names_are_those_of_the_original():
    for module in MODULES:
        stem = Path(module.__file__).stem.removesuffix("_pb2")
        assert module.DESCRIPTOR.name == f"gematria/proto/{stem}.proto"
        assert module.DESCRIPTOR.package == "gematria"


def test_every_message_is_specified():
    assert {message.full_name.removeprefix("gematria.") for message in all_messages()} == set(FIELDS)


@pytest.mark.parametrize("message", all_messages(), ids=lambda message: message.name)
def test_field_numbers_names_and_kinds(message):
    fields = ", ".join(described(field) for field in message.fields)
    assert fields == FIELDS[message.full_name.removeprefix("gematria.")]


def test_operands_are_a_oneof_and_zero_is_present():
    operand = canonicalized_instruction_pb2.CanonicalizedOperandProto(immediate_value=0)
    assert operand.WhichOneof("operand") == "immediate_value"
    assert operand.SerializeToString() == b"\x10\x00"


def test_loop_register_has_presence():
    annotations = execution_annotation_pb2.ExecutionAnnotations(loop_register="")
    assert annotations.HasField("loop_register")
    assert not execution_annotation_pb2.ExecutionAnnotations().HasField("loop_register")


def test_samples_are_packed():
    throughput = throughput_pb2.ThroughputWithSourceProto(inverse_throughput_cycles=[1.0, 2.0])
    assert throughput.SerializeToString()[:2] == b"\x12\x10"
