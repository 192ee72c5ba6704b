"""Decoded machine code to serialised messages, quickly: what the importer writes.

The result is byte for byte what serialising the message of `proto_codec.py` gives, but no message is built. A block is
put together from the serialised parts of its instructions, and those are kept: instructions repeat a lot within a data
set (BHive: 727,000 instructions, 128,000 distinct), and of a machine instruction only the address differs from block
to block.

The wire format in short: a field is its key (field number * 8 + wire type) and its value; wire type 0 is a varint, 1
eight bytes, 2 a varint length and that many bytes. Fields stand in the order of their numbers, and those with a zero
or empty value are left out, except within a oneof.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from gematria_ops.blocks.basic_block import AddressTuple, Annotation, Instruction, InstructionOperand, OperandType

if TYPE_CHECKING:  # the disassembler is heavy, and only its results are handled here
    from gematria_ops.blocks.decoding import DecodedInstruction

NO_ANNOTATIONS: Mapping[int, tuple[Annotation, ...]] = MappingProxyType({})

_MAX_UINT64 = (1 << 64) - 1

# Keys of fields that a generic function cannot name: see the .proto files.
_ADDRESS_KEY = b"\x08"  # MachineInstructionProto.address
_MACHINE_KEY = b"\x0a"  # BasicBlockProto.machine_instructions
_CYCLES_KEY = b"\x12"  # ThroughputWithSourceProto.inverse_throughput_cycles, packed


class _EncodedInstruction(NamedTuple):
    """The parts of an instruction that are the same in every block.

    Attributes:
        assembly: Its text. A lone prefix may be one instruction or another, depending on what follows it: the text
            tells which one this is.
        machine_tail: The machine instruction without its address, which comes first.
        canonical: The canonical instruction with key and length.
    """

    assembly: str
    machine_tail: bytes
    canonical: bytes


class BlockEncoder:
    """Serialises decoded blocks; keeps the parts of instructions seen lately.

    Args:
        cache_size: How many instructions are kept at least, with about 500 bytes each; at most twice as many are.
    """

    def __init__(self, cache_size: int = 1 << 14) -> None:
        self._cache_size = cache_size
        # Two generations instead of an ordered dict: a look-up is one plain dict access in most cases, and what was
        # not used during a whole generation is forgotten.
        self._young: dict[bytes, _EncodedInstruction] = {}
        self._old: dict[bytes, _EncodedInstruction] = {}

    def encode_block(
        self,
        decoded: Sequence[DecodedInstruction],
        base_address: int = 0,
        annotations: Mapping[int, tuple[Annotation, ...]] = NO_ANNOTATIONS,
    ) -> bytes:
        """Serialises a `BasicBlockProto` with machine and canonical instructions.

        Args:
            decoded: The instructions in order; equal machine code and text must mean equal instructions.
            base_address: Address of the first instruction; the others follow without a gap.
            annotations: Index of an instruction to its annotations.

        Returns:
            The serialised message.
        """
        machine: list[bytes] = []
        canonical: list[bytes] = []
        address = base_address
        for instruction in decoded:
            machine_code = instruction.machine_code
            encoded = self._young.get(machine_code)
            if encoded is None or encoded[0] != instruction.assembly:
                encoded = self._remember(instruction)
            _, tail, canonical_part = encoded
            address_field = _ADDRESS_FIELDS[address] if address < _NUM_SMALL else _ADDRESS_KEY + _varint(address)
            machine += (_MACHINE_KEY, _varint(len(address_field) + len(tail)), address_field, tail)
            canonical.append(canonical_part)
            address = (address + len(machine_code)) & _MAX_UINT64
        for index, added in annotations.items():
            annotated = replace(decoded[index].instruction, instruction_annotations=added)
            canonical[index] = _field(2, encode_instruction(annotated))
        return b"".join(machine + canonical)

    def _remember(self, instruction: DecodedInstruction) -> _EncodedInstruction:
        encoded = self._old.get(instruction.machine_code)
        if encoded is None or encoded.assembly != instruction.assembly:
            encoded = _encode_instruction(instruction)
        if len(self._young) >= self._cache_size:
            self._old, self._young = self._young, {}
        self._young[instruction.machine_code] = encoded
        return encoded


def encode_block_with_throughputs(block: bytes, throughputs: Iterable[tuple[bytes, float]]) -> bytes:
    """Serialises a `BasicBlockWithThroughputProto`.

    Args:
        block: A serialised `BasicBlockProto`.
        throughputs: For each entry the source as `encode_source` gives it, and its cycles per iteration.

    Returns:
        The serialised message.
    """
    parts = [_field(1, block)]
    for source, cycles_per_iteration in throughputs:
        parts.append(_field(2, b"".join((source, _CYCLES_KEY, b"\x08", struct.pack("<d", cycles_per_iteration)))))
    return b"".join(parts)


def encode_source(source: str) -> bytes:
    """Serialises the field `source` of a `ThroughputWithSourceProto`."""
    return _text(1, source)


def encode_decoded_block(decoded: Sequence[DecodedInstruction], base_address: int = 0) -> bytes:
    """Serialises one `BasicBlockProto`; for many blocks, keep a `BlockEncoder`."""
    return BlockEncoder().encode_block(decoded, base_address)


def _encode_instruction(decoded: DecodedInstruction) -> _EncodedInstruction:
    return _EncodedInstruction(
        assembly=decoded.assembly,
        machine_tail=_text(2, decoded.assembly) + _field(3, decoded.machine_code),
        canonical=_field(2, encode_instruction(decoded.instruction)),
    )


def encode_instruction(instruction: Instruction) -> bytes:
    """Serialises a `CanonicalizedInstructionProto`."""
    parts = [_name(1, instruction.mnemonic)]
    parts += [_field(2, prefix.encode("utf-8")) for prefix in instruction.prefixes]
    parts.append(_name(3, instruction.llvm_mnemonic))
    parts += [_operand(4, operand) for operand in instruction.output_operands]
    parts += [_operand(5, operand) for operand in instruction.input_operands]
    parts += [_operand(6, operand) for operand in instruction.implicit_output_operands]
    parts += [_operand(7, operand) for operand in instruction.implicit_input_operands]
    parts += [_field(8, _annotation(annotation)) for annotation in instruction.instruction_annotations]
    return b"".join(parts)


def _operand(number: int, operand: InstructionOperand) -> bytes:
    """Serialises an operand as the field with this number. Members of the oneof are there even when they are zero."""
    payload = operand.payload
    if type(payload) is str:
        return _register(number, payload)
    if isinstance(payload, AddressTuple):
        return _field(number, _field(4, _address(payload)))
    if operand.type is OperandType.MEMORY:
        return _field(number, _field(5, _integer(1, operand.alias_group_id or 0)))
    if operand.type is OperandType.IMMEDIATE_VALUE:
        return _field(number, b"\x10" + _varint(operand.immediate_value or 0))
    if operand.type is OperandType.FP_IMMEDIATE_VALUE:
        return _field(number, struct.pack("<Bd", 0x19, payload))
    return _field(number, b"")


@functools.lru_cache(maxsize=1 << 12)
def _register(number: int, name: str) -> bytes:
    return _field(number, _field(1, name.encode("utf-8")))


def _address(address: AddressTuple) -> bytes:
    return b"".join(
        (
            _name(1, address.base_register),
            _name(2, address.index_register),
            _integer(3, address.displacement),
            _integer(4, address.scaling),
            _name(5, address.segment_register),
        )
    )


def _annotation(annotation: Annotation) -> bytes:
    # Negative zero is not the default value, although it equals it.
    value = struct.pack("<d", annotation.value)
    return _text(1, annotation.name) + (b"\x11" + value if any(value) else b"")


def _field(number: int, content: bytes) -> bytes:
    """Serialises a length-delimited field, also an empty one."""
    return b"".join((_KEYS[number], _varint(len(content)), content))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode("utf-8")) if text else b""


# For what repeats: mnemonics and registers, but not the text of whole instructions.
_name = functools.lru_cache(maxsize=1 << 13)(_text)


def _integer(number: int, value: int) -> bytes:
    """Serialises an int32 or int64 field; negative numbers as two's complement of 64 bits."""
    return _varint(number << 3) + _varint(value & _MAX_UINT64) if value else b""


@functools.lru_cache(maxsize=1 << 12)
def _encode_varint(value: int) -> bytes:
    """Returns a number in groups of seven bits, the lowest first; every byte but the last has its top bit set."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


# Keys of length-delimited fields.
_KEYS = tuple(_encode_varint(number << 3 | 2) for number in range(16))

_NUM_SMALL = 1 << 11
_SMALL_VARINTS = tuple(map(_encode_varint, range(_NUM_SMALL)))
# The address of a block's first instruction is zero, and zero is left out.
_ADDRESS_FIELDS = (b"", *(_ADDRESS_KEY + varint for varint in _SMALL_VARINTS[1:]))


def _varint(value: int) -> bytes:
    return _SMALL_VARINTS[value] if value < _NUM_SMALL else _encode_varint(value)
