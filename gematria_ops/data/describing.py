"""What is in a data set: blocks, instructions, tokens, labels. One pass over the records."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gematria_ops.blocks.basic_block import Instruction, OperandType
from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.import_report import BlockLengths, LabelStatistics, describe_lengths
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.canonicalized_instruction_pb2 import CanonicalizedInstructionProto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from ops_common.progress import Progress

_PERCENTS = (1, 5, 25, 50, 75, 95, 99)
# Different instructions whose occurrences are counted before their tokens are looked at.
_MAX_COUNTED = 1 << 16


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceDescription(_Frozen):
    """The labels of one source.

    Attributes:
        labels: Their distribution; a label is the mean of its samples. Only finite and positive ones.
        num_unusable: Labels that are not finite and positive.
        num_samples: Samples of whole blocks, all labels together.
        num_with_prefixes: Labels that come with labels for the beginnings of the block.
    """

    labels: LabelStatistics
    num_unusable: int
    num_samples: int
    num_with_prefixes: int


class DatasetDescription(_Frozen):
    """What is in a data set. Frequencies count occurrences and are sorted, the most frequent first.

    Attributes:
        files: What was read.
        num_blocks: Records.
        num_empty_blocks: Records without an instruction.
        num_without_machine_code: Records that have instructions in canonical form only.
        num_without_label: Records without any label.
        num_instructions: All instructions together.
        num_distinct_instructions: Different ones in canonical form, immediates and displacements included.
        block_lengths: Instructions per block.
        sources: Name of the source to its labels, in the order of first appearance.
        accesses: How instructions access memory, by what their canonical form says.
        mnemonics: Mnemonic to occurrences.
        opcodes: LLVM's name of the opcode to occurrences.
        tokens: Token to occurrences.
    """

    files: tuple[str, ...]
    num_blocks: int
    num_empty_blocks: int
    num_without_machine_code: int
    num_without_label: int
    num_instructions: int
    num_distinct_instructions: int
    block_lengths: BlockLengths
    sources: dict[str, SourceDescription]
    accesses: dict[str, int]
    mnemonics: dict[str, int]
    opcodes: dict[str, int]
    tokens: dict[str, int]


def describe_record_files(files: Sequence[Path]) -> DatasetDescription:
    """Describes all blocks of TFRecord files together.

    Raises:
        DataError: A file is missing, torn, or holds something else than blocks.
    """
    describer = _Describer()
    with Progress("describe", None, "blocks") as progress:
        for message in read_blocks(files):
            describer.add(message)
            progress.advance()
    return describer.description(files)


class _Describer:
    def __init__(self) -> None:
        self._num_without_machine_code = 0
        self._num_without_label = 0
        self._num_by_length: Counter[int] = Counter()
        self._instructions = _InstructionCounter()
        self._sources: dict[str, _Labels] = {}

    def add(self, message: BasicBlockWithThroughputProto) -> None:
        instructions = message.basic_block.canonicalized_instructions
        self._num_by_length[len(instructions)] += 1
        self._num_without_machine_code += bool(instructions) and not message.basic_block.machine_instructions
        self._instructions.add(instruction.SerializeToString(deterministic=True) for instruction in instructions)
        has_label = False
        for entry in message.inverse_throughputs:
            has_label |= bool(entry.inverse_throughput_cycles)
            self._sources.setdefault(entry.source, _Labels()).add(entry)
        self._num_without_label += not has_label

    def description(self, files: Sequence[Path]) -> DatasetDescription:
        counted = self._instructions
        counted.flush()
        return DatasetDescription(
            files=tuple(map(str, files)),
            num_blocks=self._num_by_length.total(),
            num_empty_blocks=self._num_by_length[0],
            num_without_machine_code=self._num_without_machine_code,
            num_without_label=self._num_without_label,
            num_instructions=sum(length * num for length, num in self._num_by_length.items()),
            num_distinct_instructions=len(counted.distinct),
            block_lengths=describe_lengths(+self._num_by_length),
            sources={name: labels.description() for name, labels in self._sources.items()},
            accesses=_by_frequency(counted.accesses),
            mnemonics=_by_frequency(counted.mnemonics),
            opcodes=_by_frequency(counted.opcodes),
            tokens=_by_frequency(counted.tokens),
        )


class _InstructionCounter:
    """Counts instructions and what they consist of; each different one is looked at rarely."""

    def __init__(self) -> None:
        self._waiting: Counter[bytes] = Counter()
        self.distinct: set[int] = set()  # hashes of 64 bits instead of the instructions themselves
        self.accesses: Counter[str] = Counter()
        self.mnemonics: Counter[str] = Counter()
        self.opcodes: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()

    def add(self, serialized: Iterable[bytes]) -> None:
        self._waiting.update(serialized)
        if len(self._waiting) >= _MAX_COUNTED:
            self.flush()

    def flush(self) -> None:
        for serialized, num in self._waiting.items():
            self.distinct.add(hash(serialized))
            instruction = instruction_from_proto(CanonicalizedInstructionProto.FromString(serialized))
            self.accesses[_access(instruction)] += num
            self.mnemonics[" ".join((*instruction.prefixes, instruction.mnemonic))] += num
            self.opcodes[instruction.llvm_mnemonic] += num
            for token in instruction_tokens(instruction):
                self.tokens[token] += num
        self._waiting.clear()


class _Labels:
    """The labels of one source, eight bytes each."""

    def __init__(self) -> None:
        self._values = array("d")
        self._num_unusable = 0
        self._num_samples = 0
        self._num_with_prefixes = 0

    def add(self, entry: ThroughputWithSourceProto) -> None:
        samples = entry.inverse_throughput_cycles
        self._num_samples += len(samples)
        self._num_with_prefixes += bool(entry.prefix_inverse_throughputs)
        if not samples:
            return
        if all(0 < sample < math.inf for sample in samples):
            self._values.append(math.fsum(samples) / len(samples))
        else:
            self._num_unusable += 1

    def description(self) -> SourceDescription:
        return SourceDescription(
            labels=_statistics(sorted(self._values)),
            num_unusable=self._num_unusable,
            num_samples=self._num_samples,
            num_with_prefixes=self._num_with_prefixes,
        )


def _statistics(ordered: Sequence[float]) -> LabelStatistics:
    if not ordered:
        return LabelStatistics()
    count = len(ordered)
    return LabelStatistics(
        num_labels=count,
        mean=math.fsum(ordered) / count,
        minimum=ordered[0],
        maximum=ordered[-1],
        percentiles={str(percent): ordered[-(-percent * count // 100) - 1] for percent in _PERCENTS},
    )


def _access(instruction: Instruction) -> str:
    loads = any(operand.type is OperandType.MEMORY for operand in instruction.input_operands)
    stores = any(operand.type is OperandType.MEMORY for operand in instruction.output_operands)
    return {(False, False): "none", (True, False): "load", (False, True): "store"}.get(
        (loads, stores), "load and store"
    )


def _by_frequency(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
