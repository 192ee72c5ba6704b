"""Decoded machine code to serialised messages, quickly: what the importer writes.

The result is byte for byte what serialising the message of `proto_codec.py` gives. It is put together from the
serialised parts of each instruction, and those are kept: instructions repeat a lot within a data set (BHive: 727,000
instructions, 128,000 distinct), and of a machine instruction only the address differs from block to block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gematria_ops.formats.proto_codec import instruction_to_proto
from gematria_ops.formats.protos.basic_block_pb2 import MachineInstructionProto

if TYPE_CHECKING:  # the disassembler is heavy, and only its results are handled here
    from gematria_ops.blocks.decoding import DecodedInstruction

# Keys of the fields in serialised form: field number * 8 + wire type (0 varint, 2 length-delimited).
_ADDRESS_KEY = b"\x08"  # MachineInstructionProto.address
_MACHINE_KEY = b"\x0a"  # BasicBlockProto.machine_instructions
_CANONICAL_KEY = b"\x12"  # BasicBlockProto.canonicalized_instructions
_BLOCK_KEY = b"\x0a"  # BasicBlockWithThroughputProto.basic_block
_THROUGHPUT_KEY = b"\x12"  # BasicBlockWithThroughputProto.inverse_throughputs
_SOURCE_KEY = b"\x0a"  # ThroughputWithSourceProto.source
_CYCLES_KEY = b"\x12"  # ThroughputWithSourceProto.inverse_throughput_cycles, packed

_MAX_ADDRESS = 1 << 64


class _EncodedInstruction(NamedTuple):
    """The parts of an instruction that are the same in every block.

    Attributes:
        machine_tail: The machine instruction without its address, which comes first.
        canonical: The canonical instruction with key and length.
    """

    machine_tail: bytes
    canonical: bytes


class BlockEncoder:
    """Serialises decoded blocks; keeps the parts of instructions seen lately.

    Args:
        cache_size: How many instructions are kept at least, with about 300 bytes each; at most twice as many are.
    """

    def __init__(self, cache_size: int = 1 << 14) -> None:
        self._cache_size = cache_size
        # Two generations instead of an ordered dict: a look-up is one plain dict access in most cases, and what was
        # not used during a whole generation is forgotten.
        self._young: dict[bytes, _EncodedInstruction] = {}
        self._old: dict[bytes, _EncodedInstruction] = {}

    def encode_block(self, decoded: Iterable[DecodedInstruction], base_address: int = 0) -> bytes:
        """Serialises a `BasicBlockProto` with machine and canonical instructions.

        Args:
            decoded: The instructions in order; equal machine code must mean equal instructions.
            base_address: Address of the first instruction; the others follow without a gap.

        Returns:
            The serialised message.
        """
        machine: list[bytes] = []
        canonical: list[bytes] = []
        address = base_address
        for instruction in decoded:
            encoded = self._young.get(instruction.machine_code) or self._remember(instruction)
            address_field = _ADDRESS_KEY + _varint(address) if address else b""
            machine += (_MACHINE_KEY, _varint(len(address_field) + len(encoded.machine_tail)))
            machine += (address_field, encoded.machine_tail)
            canonical.append(encoded.canonical)
            address = (address + len(instruction.machine_code)) % _MAX_ADDRESS
        return b"".join(machine + canonical)

    def _remember(self, instruction: DecodedInstruction) -> _EncodedInstruction:
        encoded = self._old.get(instruction.machine_code) or _encode_instruction(instruction)
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
    parts = [_BLOCK_KEY, _varint(len(block)), block]
    for source, cycles_per_iteration in throughputs:
        cycles = struct.pack("<d", cycles_per_iteration)
        parts += (_THROUGHPUT_KEY, _varint(len(source) + 2 + len(cycles)), source, _CYCLES_KEY, b"\x08", cycles)
    return b"".join(parts)


def encode_source(source: str) -> bytes:
    """Serialises the field `source` of a `ThroughputWithSourceProto`."""
    text = source.encode("utf-8")
    return b"".join((_SOURCE_KEY, _varint(len(text)), text)) if text else b""


def encode_decoded_block(decoded: Sequence[DecodedInstruction], base_address: int = 0) -> bytes:
    """Serialises one `BasicBlockProto`; for many blocks, keep a `BlockEncoder`."""
    return BlockEncoder().encode_block(decoded, base_address)


def _encode_instruction(decoded: DecodedInstruction) -> _EncodedInstruction:
    tail = MachineInstructionProto(assembly=decoded.assembly, machine_code=decoded.machine_code)
    canonical = instruction_to_proto(decoded.instruction).SerializeToString(deterministic=True)
    return _EncodedInstruction(
        machine_tail=tail.SerializeToString(deterministic=True),
        canonical=b"".join((_CANONICAL_KEY, _varint(len(canonical)), canonical)),
    )


def _encode_varint(value: int) -> bytes:
    """Returns a number in groups of seven bits, the lowest first; every byte but the last has its top bit set."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_SMALL_VARINTS = tuple(map(_encode_varint, range(1 << 12)))


def _varint(value: int) -> bytes:
    return _SMALL_VARINTS[value] if value < len(_SMALL_VARINTS) else _encode_varint(value)
