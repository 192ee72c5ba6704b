"""What an evaluation needs to know of blocks, written down as they stream by.

The training part is read for the baselines and for what "seen in training" means, the held-out part while the model
predicts it. Each block costs some hundred bytes here; the messages themselves are not kept.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto
from gematria_ops.formats.protos.canonicalized_instruction_pb2 import CanonicalizedInstructionProto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.categories import categorize

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


# Only a short cut: numbers stay the same when it is emptied. Immediates make many messages of few token sequences.
_MAX_KNOWN_INSTRUCTIONS = 1 << 18


class InstructionNumbers:
    """Numbers for what is the same: instructions with equal tokens, equal mnemonics. Recorders share one."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, int, int]] = {}
        self._token_rows: dict[tuple[str, ...], int] = {}
        self._mnemonics: dict[str, int] = {}

    @property
    def num_mnemonics(self) -> int:
        """How many mnemonics were met so far."""
        return len(self._mnemonics)

    def numbers_of(self, instruction: CanonicalizedInstructionProto) -> tuple[int, int, int]:
        """Gives the number of the instruction's tokens, that of its mnemonic and that of its category."""
        key = instruction.SerializeToString()
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_KNOWN_INSTRUCTIONS:
                self._known.clear()
            decoded = instruction_from_proto(instruction)
            tokens = instruction_tokens(decoded)
            row = self._token_rows.setdefault(tokens, len(self._token_rows))
            mnemonic = self._mnemonics.setdefault(instruction.mnemonic, len(self._mnemonics))
            found = self._known[key] = (row, mnemonic, categorize(decoded).number)
        return found


@dataclass(frozen=True)
class RecordedBlocks:
    """Blocks as an evaluation sees them.

    Attributes:
        labels: float64 [B, K], cycles per iteration; -1 where there is none.
        mask: bool [B, K], True where there is a label.
        mnemonic_ids: int64 [I], numbers of `InstructionNumbers`, blocks one after the other.
        category_numbers: int64 [I], `categories.Category.number` of each.
        block_offsets: int64 [B + 1], where each block's instructions begin and end.
        token_sequences: B keys, equal where the token sequences of two blocks are equal.
        sources: K source strings of the labels, the first met for each task; "" without a label.
        fingerprints: B digests of the machine code; empty when texts were not kept, as are the next two.
        machine_codes: B strings of lower-case hex, "" for a block without machine code.
        assembly: The text of each block's instructions.
    """

    labels: FloatArray
    mask: BoolArray
    mnemonic_ids: IntArray
    category_numbers: IntArray
    block_offsets: IntArray
    token_sequences: Sequence[bytes]
    sources: Sequence[str]
    fingerprints: Sequence[str]
    machine_codes: Sequence[str]
    assembly: Sequence[tuple[str, ...]]

    @property
    def num_blocks(self) -> int:
        """B."""
        return len(self.token_sequences)

    @property
    def num_instructions(self) -> IntArray:
        """int64 [B]."""
        return np.diff(self.block_offsets)


class BlockRecorder:
    """Writes down blocks as they pass.

    Args:
        num_tasks: K; entry k of a block's throughputs is the label of task k, with its first sample.
        numbers: Shared by the recorders whose token sequences and mnemonics shall compare.
        keep_texts: Whether to keep what identifies a block to people: fingerprint, machine code, assembly.
    """

    def __init__(self, num_tasks: int, numbers: InstructionNumbers, keep_texts: bool = False) -> None:
        self._num_tasks = num_tasks
        self._numbers = numbers
        self._keep_texts = keep_texts
        self._labels = array("d")
        self._mask = array("b")
        self._mnemonic_ids = array("q")
        self._category_numbers = array("b")
        self._block_offsets = array("q", [0])
        self._token_sequences: list[bytes] = []
        self._sources = [""] * num_tasks
        self._fingerprints: list[str] = []
        self._machine_codes: list[str] = []
        self._assembly: list[tuple[str, ...]] = []
        self._lines: dict[str, str] = {}

    def watch(self, blocks: Iterable[BasicBlockWithThroughputProto]) -> Iterator[BasicBlockWithThroughputProto]:
        """Lets blocks through unchanged; each is written down before it is handed on."""
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: BasicBlockWithThroughputProto) -> None:
        """Writes down one block."""
        self._add_labels(block)
        rows = array("i")
        for instruction in block.basic_block.canonicalized_instructions:
            row, mnemonic, category = self._numbers.numbers_of(instruction)
            rows.append(row)
            self._mnemonic_ids.append(mnemonic)
            self._category_numbers.append(category)
        self._block_offsets.append(len(self._mnemonic_ids))
        self._token_sequences.append(rows.tobytes())
        if self._keep_texts:
            self._add_texts(block.basic_block)

    def finish(self) -> RecordedBlocks:
        """Gives what was written down so far."""
        num_blocks = len(self._token_sequences)
        shape = (num_blocks, self._num_tasks)
        return RecordedBlocks(
            labels=np.array(self._labels, dtype=np.float64).reshape(shape),
            mask=np.array(self._mask, dtype=np.bool_).reshape(shape),
            mnemonic_ids=np.array(self._mnemonic_ids, dtype=np.int64),
            category_numbers=np.array(self._category_numbers, dtype=np.int64),
            block_offsets=np.array(self._block_offsets, dtype=np.int64),
            token_sequences=self._token_sequences,
            sources=self._sources,
            fingerprints=self._fingerprints,
            machine_codes=self._machine_codes,
            assembly=self._assembly,
        )

    def _add_labels(self, block: BasicBlockWithThroughputProto) -> None:
        entries = block.inverse_throughputs
        for task in range(self._num_tasks):
            samples = entries[task].inverse_throughput_cycles if task < len(entries) else ()
            self._labels.append(samples[0] if samples else -1.0)
            self._mask.append(bool(samples))
            if samples and not self._sources[task]:
                self._sources[task] = entries[task].source

    def _add_texts(self, block: BasicBlockProto) -> None:
        machine_code = b"".join(part.machine_code for part in block.machine_instructions).hex()
        # The digest that also decides the split, unless the data set names the block itself.
        fingerprint = block.fingerprint or hashlib.sha256(machine_code.encode("ascii")).hexdigest()
        self._fingerprints.append(fingerprint)
        self._machine_codes.append(machine_code)
        lines = [part.assembly.strip() for part in block.machine_instructions]
        if not lines:
            lines = [
                " ".join(instruction_tokens(instruction_from_proto(instruction)))
                for instruction in block.canonicalized_instructions
            ]
        # Few lines are distinct; keeping each once keeps this small.
        self._assembly.append(tuple(self._lines.setdefault(line, line) for line in lines))
