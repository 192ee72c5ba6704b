"""A whole data set, encoded once into flat arrays; every batch of every step is then only indexing.

Flat arrays with splits hold sequences of different lengths: the items of sequence *n* are
``values[splits[n]:splits[n + 1]]``. The full BHive data set (112,000 blocks, three microarchitectures) is 6 MB so.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.blocks.vocabulary import UnknownTokenError, Vocabulary
from gematria_ops.encode.graphs import BlockGraphs, GraphBuilder
from gematria_ops.encode.ragged import splits_of
from gematria_ops.encode.tokenizing import AnyBlock, InstructionTable, TokenNotFoundError, describe_block
from gematria_ops.encode.tries import Int32, Int64
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.errors import DataError

Float32 = NDArray[np.float32]
Bool = NDArray[np.bool_]
# What one source says of one block: samples of the whole block, and of each prefix (empty: not known).
_Label = tuple[Sequence[float], Sequence[Sequence[float]]]

EMPTY_BLOCK = "empty block"
UNKNOWN_TOKEN = "unknown token"


@dataclass(frozen=True, eq=False)
class EncodedBlocks:
    """Blocks as numbers. B blocks, I instructions in all of them, U distinct instructions, K tasks.

    Attributes:
        vocabulary: The tokens that the numbers stand for.
        num_tasks: K; zero for blocks without labels.
        instruction_tokens: [S] int32. Vocabulary indices of the tokens of all distinct instructions. Instructions are
            sorted by their token indices, so those that begin alike are neighbours.
        instruction_splits: [U + 1] int64. Where each distinct instruction's tokens begin and end.
        instruction_ids: [I] int32. The distinct instruction that each instruction of each block is.
        block_splits: [B + 1] int64. Where each block's instructions begin and end.
        samples: float32, cycles per iteration. All samples of all labels, block by block, task by task.
        sample_splits: [B * K + 1] int64. The samples of block b and task k are number b * K + k; none: no label.
        prefix_samples: float32, cycles per iteration, cumulative. Samples of the prefixes, instruction by instruction.
        prefix_splits: [I * K + 1] int64. The samples of instruction i and task k are number i * K + k.
        dropped: How many blocks were left out, by reason.
        graphs: The same blocks as graphs; None where no graph model will read them.
    """

    vocabulary: Vocabulary
    num_tasks: int
    instruction_tokens: Int32
    instruction_splits: Int64
    instruction_ids: Int32
    block_splits: Int64
    samples: Float32
    sample_splits: Int64
    prefix_samples: Float32
    prefix_splits: Int64
    dropped: Mapping[str, int] = field(default_factory=dict)
    graphs: BlockGraphs | None = None

    @property
    def num_blocks(self) -> int:
        """B."""
        return len(self.block_splits) - 1

    @cached_property
    def block_sizes(self) -> Int64:
        """[B] int64. How many instructions each block has."""
        return np.diff(self.block_splits)

    @cached_property
    def mask(self) -> Bool:
        """[B, K] bool. Where a block has a label for a task."""
        return (np.diff(self.sample_splits) > 0).reshape(self.num_blocks, self.num_tasks)

    @cached_property
    def labels(self) -> Float32:
        """[B, K] float32. The first sample of each label in cycles per iteration; -1 where there is none."""
        found = np.full(self.num_blocks * self.num_tasks, -1.0, dtype=np.float32)
        present = self.mask.ravel()
        found[present] = self.samples[self.sample_splits[:-1][present]]
        return found.reshape(self.num_blocks, self.num_tasks)

    @cached_property
    def forward_order(self) -> Int64:
        """[B] int64. Each block's rank when blocks are sorted by their instructions from the first one on."""
        return self._ranks(reverse=False)

    @cached_property
    def backward_order(self) -> Int64:
        """[B] int64. Each block's rank when blocks are sorted by their instructions from the last one on."""
        return self._ranks(reverse=True)

    def _ranks(self, reverse: bool) -> Int64:
        ids = self.instruction_ids.tolist()
        splits = self.block_splits.tolist()
        keys = [ids[start:end] for start, end in itertools.pairwise(splits)]
        if reverse:
            keys = [key[::-1] for key in keys]
        ranks = np.empty(self.num_blocks, dtype=np.int64)
        ranks[sorted(range(self.num_blocks), key=keys.__getitem__)] = np.arange(self.num_blocks)
        return ranks


def encode_blocks(
    blocks: Iterable[AnyBlock],
    vocabulary: Vocabulary,
    num_tasks: int = 0,
    *,
    needs_prefixes: bool = False,
    drop_invalid_blocks: bool = False,
    table: InstructionTable | None = None,
    graphs: GraphBuilder | None = None,
) -> EncodedBlocks:
    """Encodes blocks, in order.

    Args:
        blocks: Blocks with or without throughputs, as dataclasses or messages. Read once.
        vocabulary: Gives tokens their indices, and says what happens to unknown ones.
        num_tasks: K. Throughputs beyond the first K are ignored. Zero: blocks need no throughputs.
        needs_prefixes: Every label must come with one prefix an instruction (loss on per-instruction contributions).
        drop_invalid_blocks: Leave out, and count, blocks that have no instruction or an unknown token.
        table: Instructions met before, for those who encode blocks bit by bit; of the same vocabulary.
        graphs: A builder without blocks, of the same vocabulary; None: no graphs are made.

    Returns:
        The encoded blocks, with the counts of those left out.

    Raises:
        TokenNotFoundError: A block has an unknown token.
        DataError: A block has no instruction, too few throughputs, a value that is not a finite number, or a number of
            prefixes that is not its number of instructions.
    """
    table = InstructionTable(vocabulary) if table is None else table
    builder = _Builder(vocabulary, num_tasks, needs_prefixes, table, graphs)
    for block_index, block in enumerate(blocks):
        try:
            builder.add(block)
        except UnknownTokenError as error:
            if not drop_invalid_blocks:
                raise TokenNotFoundError(error.token, describe_block(block, block_index)) from None
            builder.dropped[UNKNOWN_TOKEN] += 1
        except _EmptyBlockError:
            if not drop_invalid_blocks:
                raise DataError(
                    f"{describe_block(block, block_index)} has no instruction",
                    "Drop such blocks (drop_invalid_blocks), or leave them out of the data set.",
                ) from None
            builder.dropped[EMPTY_BLOCK] += 1
        except _LabelError as error:
            raise DataError(f"{describe_block(block, block_index)} {error}", error.hint) from None
    return builder.finish()


class _EmptyBlockError(Exception):
    pass


class _LabelError(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Builder:
    """Grows the arrays block by block; a block that raises leaves no trace."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        num_tasks: int,
        needs_prefixes: bool,
        table: InstructionTable,
        graphs: GraphBuilder | None,
    ) -> None:
        self._vocabulary = vocabulary
        self._table = table
        self._graphs = graphs
        self._num_tasks = num_tasks
        self._needs_prefixes = needs_prefixes
        self._ids = array("i")
        self._sizes = array("q")
        self._samples = array("d")
        self._sample_counts = array("q")
        self._prefix_samples = array("d")
        self._prefix_counts = array("q")
        self.dropped: Counter[str] = Counter()

    def add(self, block: AnyBlock) -> None:
        ids = self._table.encode(block)
        if not ids:
            raise _EmptyBlockError
        labels = self._checked_labels(block, len(ids)) if self._num_tasks else []
        if self._graphs is not None:
            self._graphs.add(block)
        self._ids.extend(ids)
        self._sizes.append(len(ids))
        for samples, _ in labels:
            self._samples.extend(samples)
            self._sample_counts.append(len(samples))
        if not any(prefixes for _, prefixes in labels):
            self._prefix_counts.extend([0] * (len(ids) * self._num_tasks))
            return
        for index in range(len(ids)):
            for _, prefixes in labels:
                # Without the loss on contributions, missing prefixes are allowed and count as 0 cycles.
                values = prefixes[index] if index < len(prefixes) else ()
                self._prefix_samples.extend(values)
                self._prefix_counts.append(len(values))

    def _checked_labels(self, block: AnyBlock, num_instructions: int) -> list[_Label]:
        labels = _read_labels(block)
        if len(labels) < self._num_tasks:
            raise _LabelError(
                f"has {len(labels)} throughputs, the model has {self._num_tasks} tasks",
                "Select one throughput source a task before encoding.",
            )
        del labels[self._num_tasks :]
        if self._needs_prefixes:
            for samples, prefixes in labels:
                if samples and (len(prefixes) != num_instructions or not all(prefixes)):
                    raise _LabelError(
                        f"has throughputs for {sum(map(bool, prefixes))} prefixes, it has {num_instructions} "
                        "instructions",
                        "Switch off the loss on per-instruction contributions (use_seq2seq_loss), or use a source that "
                        "gives every prefix.",
                    )
        return labels

    def finish(self) -> EncodedBlocks:
        # The table may know more instructions than occur here.
        used, ids = np.unique(np.array(self._ids, dtype=np.int64), return_inverse=True)
        rows = [self._table.tokens(instruction_id) for instruction_id in used.tolist()]
        order = sorted(range(len(rows)), key=rows.__getitem__)
        sorted_ids = np.empty(len(rows), dtype=np.int32)
        sorted_ids[order] = np.arange(len(rows), dtype=np.int32)
        samples = np.array(self._samples, dtype=np.float32)
        prefix_samples = np.array(self._prefix_samples, dtype=np.float32)
        for values in (samples, prefix_samples):
            if not np.isfinite(values).all():
                raise DataError("a throughput is not a finite number", "Import the data set again.")
        return EncodedBlocks(
            vocabulary=self._vocabulary,
            num_tasks=self._num_tasks,
            instruction_tokens=np.array([token for index in order for token in rows[index]], dtype=np.int32),
            instruction_splits=splits_of([len(rows[index]) for index in order]),
            instruction_ids=sorted_ids[ids],
            block_splits=splits_of(self._sizes),
            samples=samples,
            sample_splits=splits_of(self._sample_counts),
            prefix_samples=prefix_samples,
            prefix_splits=splits_of(self._prefix_counts),
            dropped=dict(self.dropped),
            graphs=None if self._graphs is None else self._graphs.finish(),
        )


def _read_labels(block: AnyBlock) -> list[_Label]:
    """Reads one label an entry; an entry without a sample for the whole block is no label (specification 2.3)."""
    if isinstance(block, BasicBlockWithThroughputProto):
        return [
            (
                entry.inverse_throughput_cycles,
                [prefix.inverse_throughput_cycles for prefix in entry.prefix_inverse_throughputs],
            )
            if entry.inverse_throughput_cycles
            else ((), ())
            for entry in block.inverse_throughputs
        ]
    if isinstance(block, BasicBlockWithThroughput):
        return [
            (entry.inverse_throughput_cycles, entry.prefix_inverse_throughput_cycles) if entry else ((), ())
            for entry in block.throughputs
        ]
    return []
