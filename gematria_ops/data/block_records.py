"""Machine code and labels to framed records, a chunk at a time: the part of an import that several processes share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gematria_ops.data.block_table import Block
from gematria_ops.data.splitting import bucket_of
from gematria_ops.formats.bhive_csv import RejectedRow, RejectReason, shortened
from gematria_ops.formats.block_encoding import BlockEncoder, encode_block_with_throughputs, encode_source
from ops_common.tfrecord import frame_record

# Small enough that results arrive steadily, large enough that handing chunks over costs little.
_BLOCKS_IN_CHUNK = 256
_BYTES_IN_CHUNK = 1 << 16

_REASONS = {
    "truncated": RejectReason.TRUNCATED_INSTRUCTION,
    "undecodable": RejectReason.UNDECODABLE_INSTRUCTION,
}


class EncodedBlock(NamedTuple):
    """A block as it goes into the file.

    Attributes:
        record: A framed `BasicBlockWithThroughputProto`.
        num_instructions: Its length.
        bucket: 0 to 99, see `splitting.py`.
        source_indices: The sources that have a label for it.
    """

    record: bytes
    num_instructions: int
    bucket: int
    source_indices: tuple[int, ...]


class UndecodableBlock(NamedTuple):
    """A block that is not x86-64 machine code.

    Attributes:
        block: The block.
        reason: Why.
        offset: Index of the byte at which the bad instruction begins.
    """

    block: Block
    reason: RejectReason
    offset: int

    def rejected_rows(self) -> Iterator[tuple[int, RejectedRow]]:
        """Yields the source and the rejected row of every label that the block had."""
        text = f"byte {self.offset} of {shortened(self.block.machine_code.hex())}"
        for label in self.block.labels:
            yield label.source_index, RejectedRow(label.line_number, self.reason, text)


class ChunkEncoder:
    """Encodes chunks of blocks; keeps what it learnt of instructions for the next chunk.

    Args:
        source_names: The throughput sources.
    """

    def __init__(self, source_names: Sequence[str]) -> None:
        # Here and not at the top: the disassembler is heavy, and only the processes that decode need it.
        from gematria_ops.blocks.decoding import UndecodableError, decode_block

        self._decode_block, self._undecodable = decode_block, UndecodableError
        self._sources = [encode_source(name) for name in source_names]
        self._encoder = BlockEncoder()

    def __call__(self, chunk: Sequence[Block]) -> list[EncodedBlock | UndecodableBlock]:
        """Encodes the blocks of a chunk, in order."""
        return [self._encode(block) for block in chunk]

    def _encode(self, block: Block) -> EncodedBlock | UndecodableBlock:
        try:
            decoded = self._decode_block(block.machine_code)
        except self._undecodable as error:
            return UndecodableBlock(block, _REASONS[error.reason], error.offset)
        throughputs = [(self._sources[label.source_index], label.cycles_per_iteration) for label in block.labels]
        payload = encode_block_with_throughputs(self._encoder.encode_block(decoded), throughputs)
        source_indices = tuple(label.source_index for label in block.labels)
        return EncodedBlock(frame_record(payload), len(decoded), bucket_of(block.machine_code), source_indices)


def in_chunks(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Groups blocks into chunks that are limited by number and by size."""
    chunk: list[Block] = []
    num_bytes = 0
    for block in blocks:
        chunk.append(block)
        num_bytes += len(block.machine_code)
        if len(chunk) >= _BLOCKS_IN_CHUNK or num_bytes >= _BYTES_IN_CHUNK:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk
