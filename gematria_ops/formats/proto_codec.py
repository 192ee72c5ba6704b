"""Blocks to protocol-buffer messages and back. Specification section 2.3; the messages are those of section 1.

An operand that is none of the known kinds becomes a message with no member set, and back. How the importer makes
the same messages quickly stands in `block_encoding.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gematria_ops.blocks.basic_block import (
    AddressTuple,
    Annotation,
    BasicBlock,
    Instruction,
    InstructionOperand,
    OperandType,
)
from gematria_ops.blocks.throughput import BasicBlockThroughput, BasicBlockWithThroughput
from gematria_ops.formats.protos.annotation_pb2 import AnnotationProto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto
from gematria_ops.formats.protos.canonicalized_instruction_pb2 import (
    CanonicalizedInstructionProto,
    CanonicalizedOperandProto,
)
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto


def address_from_proto(proto: CanonicalizedOperandProto.AddressTuple) -> AddressTuple:
    """Reads an address computation."""
    return AddressTuple(proto.base_register, proto.displacement, proto.index_register, proto.scaling, proto.segment)


def address_to_proto(address: AddressTuple) -> CanonicalizedOperandProto.AddressTuple:
    """Writes an address computation."""
    return CanonicalizedOperandProto.AddressTuple(
        base_register=address.base_register,
        index_register=address.index_register,
        displacement=address.displacement,
        scaling=address.scaling,
        segment=address.segment_register,
    )


def operand_from_proto(proto: CanonicalizedOperandProto) -> InstructionOperand:
    """Reads an operand."""
    match proto.WhichOneof("operand"):
        case "register_name":
            return InstructionOperand.from_register(proto.register_name)
        case "immediate_value":
            return InstructionOperand.from_immediate_value(proto.immediate_value)
        case "fp_immediate_value":
            return InstructionOperand.from_fp_immediate_value(proto.fp_immediate_value)
        case "address":
            return InstructionOperand.from_address(address_from_proto(proto.address))
        case "memory":
            return InstructionOperand.from_memory(proto.memory.alias_group_id)
    return InstructionOperand()


def operand_to_proto(operand: InstructionOperand) -> CanonicalizedOperandProto:
    """Writes an operand."""
    # A member of a oneof that is passed as None stays unset, so the operand's own property does the choosing.
    memory = None
    if operand.type is OperandType.MEMORY:
        memory = CanonicalizedOperandProto.MemoryLocation(alias_group_id=operand.alias_group_id)
    return CanonicalizedOperandProto(
        register_name=operand.register_name,
        immediate_value=operand.immediate_value,
        fp_immediate_value=operand.fp_immediate_value,
        address=None if operand.address is None else address_to_proto(operand.address),
        memory=memory,
    )


def annotation_from_proto(proto: AnnotationProto) -> Annotation:
    """Reads an annotation."""
    return Annotation(proto.name, proto.value)


def annotation_to_proto(annotation: Annotation) -> AnnotationProto:
    """Writes an annotation."""
    return AnnotationProto(name=annotation.name, value=annotation.value)


def instruction_from_proto(proto: CanonicalizedInstructionProto) -> Instruction:
    """Reads an instruction."""
    return Instruction(
        mnemonic=proto.mnemonic,
        llvm_mnemonic=proto.llvm_mnemonic,
        prefixes=tuple(proto.prefixes),
        input_operands=_operands_from_protos(proto.input_operands),
        implicit_input_operands=_operands_from_protos(proto.implicit_input_operands),
        output_operands=_operands_from_protos(proto.output_operands),
        implicit_output_operands=_operands_from_protos(proto.implicit_output_operands),
        instruction_annotations=tuple(map(annotation_from_proto, proto.instruction_annotations)),
    )


def instruction_to_proto(instruction: Instruction) -> CanonicalizedInstructionProto:
    """Writes an instruction."""
    return CanonicalizedInstructionProto(
        mnemonic=instruction.mnemonic,
        prefixes=instruction.prefixes,
        llvm_mnemonic=instruction.llvm_mnemonic,
        output_operands=map(operand_to_proto, instruction.output_operands),
        input_operands=map(operand_to_proto, instruction.input_operands),
        implicit_output_operands=map(operand_to_proto, instruction.implicit_output_operands),
        implicit_input_operands=map(operand_to_proto, instruction.implicit_input_operands),
        instruction_annotations=map(annotation_to_proto, instruction.instruction_annotations),
    )


def block_from_proto(proto: BasicBlockProto) -> BasicBlock:
    """Reads a block. Only the canonical instructions matter; the machine instructions are left out."""
    return BasicBlock(tuple(map(instruction_from_proto, proto.canonicalized_instructions)))


def block_to_proto(block: BasicBlock) -> BasicBlockProto:
    """Writes a block, without machine instructions."""
    return BasicBlockProto(canonicalized_instructions=map(instruction_to_proto, block.instructions))


def throughput_from_proto(proto: ThroughputWithSourceProto) -> BasicBlockThroughput | None:
    """Reads the samples of one source.

    Returns:
        The samples, or None when there is no sample for the whole block, even if there are some for prefixes.
    """
    if not proto.inverse_throughput_cycles:
        return None
    return BasicBlockThroughput(
        inverse_throughput_cycles=tuple(proto.inverse_throughput_cycles),
        prefix_inverse_throughput_cycles=tuple(
            tuple(prefix.inverse_throughput_cycles) for prefix in proto.prefix_inverse_throughputs
        ),
    )


def throughput_to_proto(throughput: BasicBlockThroughput | None, source: str) -> ThroughputWithSourceProto:
    """Writes the samples of one source; None gives an entry without samples.

    Args:
        throughput: Cycles per iteration.
        source: Where they come from, as "method: specification"; empty for an entry without samples.
    """
    if throughput is None:
        return ThroughputWithSourceProto(source=source)
    return ThroughputWithSourceProto(
        source=source,
        inverse_throughput_cycles=throughput.inverse_throughput_cycles,
        prefix_inverse_throughputs=[
            ThroughputWithSourceProto.PrefixThroughputProto(inverse_throughput_cycles=samples)
            for samples in throughput.prefix_inverse_throughput_cycles
        ],
    )


def block_with_throughput_from_proto(proto: BasicBlockWithThroughputProto) -> BasicBlockWithThroughput:
    """Reads a block with its labels: one entry for each entry of the message, in order, None where it has no sample."""
    return BasicBlockWithThroughput(
        block=block_from_proto(proto.basic_block),
        throughputs=tuple(map(throughput_from_proto, proto.inverse_throughputs)),
    )


def block_with_throughput_to_proto(
    block: BasicBlockWithThroughput, sources: Sequence[str]
) -> BasicBlockWithThroughputProto:
    """Writes a block with its labels.

    Args:
        block: The block; entry k of its throughputs comes from entry k of `sources`.
        sources: One name per entry.

    Raises:
        ValueError: There are more or fewer names than entries.
    """
    return BasicBlockWithThroughputProto(
        basic_block=block_to_proto(block.block),
        inverse_throughputs=[
            throughput_to_proto(throughput, source)
            for throughput, source in zip(block.throughputs, sources, strict=True)
        ],
    )


def _operands_from_protos(protos: Iterable[CanonicalizedOperandProto]) -> tuple[InstructionOperand, ...]:
    return tuple(map(operand_from_proto, protos))
