"""A trained model that answers for blocks: from a checkpoint or a bundle to predicted throughputs, as a stream.

Blocks come and go in order, one batch in memory at a time. A block that cannot be predicted (it is empty, has an
unknown token, or is over the instruction limit) passes through unchanged and is counted by reason. Specification
sections 9.1 to 9.3, with the decisions of section 12.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.throughput import BasicBlockThroughput, BasicBlockWithThroughput
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import InputConfig, RunnerConfig
from gematria_ops.data.dataset import read_blocks
from gematria_ops.encode.batching import batches
from gematria_ops.encode.encoded_blocks import EMPTY_BLOCK, UNKNOWN_TOKEN, EncodedBlocks, encode_blocks
from gematria_ops.encode.layouts import annotation_names, graph_builder, layout_of, prediction_options
from gematria_ops.encode.loading import load_vocabulary
from gematria_ops.encode.tokenizing import AnyBlock, InstructionTable, is_encodable, num_instructions
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.answer import OVER_INSTRUCTION_LIMIT, Answer
from gematria_ops.models.bundle import load_bundle
from gematria_ops.models.factory import (
    ThroughputModel,
    build_model,
    default_model_name,
    model_identity,
)
from gematria_ops.models.predict_step import PredictStep
from gematria_ops.models.threads import use_one_thread_per_operation
from ops_common.learning.checkpoints import restore_checkpoint
from ops_common.progress import Progress
from ops_common.tfrecord import RecordWriter

logger = logging.getLogger(__name__)

Float32 = NDArray[np.float32]

BlockT = TypeVar("BlockT", bound=AnyBlock)

# Without limits a batch would be the whole input; its predictions do not depend on how it is cut.
DEFAULT_MAX_BLOCKS = 2000
# How many distinct instructions are remembered between batches; more than any data set of one program has.
MAX_KNOWN_INSTRUCTIONS = 100_000


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model answered. B blocks, I instructions, K tasks.

    Attributes:
        output: [B, K] cycles per iteration.
        deltas: [I, K] what each instruction adds, block by block; None unless seq2seq.
    """

    output: Float32
    deltas: Float32 | None


@dataclass(frozen=True)
class PredictSummary:
    """What a prediction of files did."""

    output_file: Path
    num_blocks: int
    num_unpredicted: Mapping[str, int]

    def as_text(self) -> str:
        """Return one line for people."""
        left = sum(self.num_unpredicted.values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.num_unpredicted.items())
        passed = f"; {left} passed through without a prediction: {reasons}" if left else ""
        return f"{self.num_blocks - left} of {self.num_blocks} blocks predicted, written to {self.output_file}{passed}"


class Predictor:
    """A model with its vocabulary.

    Args:
        model: The model, with trained weights.
        vocabulary: The one that it was trained with.
        model_name: Name in the source of a prediction; empty: the automatic one.
        prefix_deltas: Prefix predictions of seq2seq models hold each instruction's own share, as the public
            implementation writes it, instead of the running sum, which is what the field means in training data.
        learnt_from: Which labels the model learnt, for those who compare.

    Attributes:
        num_unpredicted: Blocks that passed through without a prediction, by reason.
    """

    def __init__(
        self,
        model: ThroughputModel,
        vocabulary: Vocabulary,
        *,
        model_name: str = "",
        prefix_deltas: bool = False,
        learnt_from: InputConfig | None = None,
    ) -> None:
        self.model = model
        self.vocabulary = vocabulary
        self.model_name = model_name or default_model_name(model.config)
        self.learnt_from = learnt_from or InputConfig()
        self.num_unpredicted: Counter[str] = Counter()
        self._prefix_deltas = prefix_deltas
        self._step = PredictStep(model)
        self._layout, self._options = layout_of(model.config), prediction_options(model.config)
        self._known = InstructionTable(vocabulary)

    @classmethod
    def from_checkpoint(cls, config: RunnerConfig) -> Predictor:
        """Build the model that the settings describe and restore `checkpoint.file` strictly.

        Raises:
            ConfigError: The checkpoint belongs to another model, other tasks, or another vocabulary.
            ArtifactError: There is no such checkpoint, or it is torn.
        """
        use_one_thread_per_operation()
        vocabulary = load_vocabulary(config)
        model = build_model(config, vocabulary, annotation_names(config))
        restore_checkpoint(
            Path(config.checkpoint.file),
            model.variables_by_name(),
            model_identity(config.model, config.task_names(), vocabulary, model.annotation_names),
            weights_only=True,
        )
        name, deltas = config.output.model_name or "", config.output.prefix_deltas
        return cls(model, vocabulary, model_name=name, prefix_deltas=deltas)

    @classmethod
    def from_bundle(cls, folder: Path) -> Predictor:
        """Load the model, vocabulary and settings that a bundle holds.

        Raises:
            ArtifactError: The folder is no bundle, or a file in it is not the one that was written.
        """
        use_one_thread_per_operation()
        bundle = load_bundle(folder)
        output = bundle.config.output
        return cls(
            bundle.model,
            bundle.vocabulary,
            model_name=output.model_name or "",
            prefix_deltas=output.prefix_deltas,
            learnt_from=bundle.config.input,
        )

    def source_name(self, task_index: int) -> str:
        """Return the source of a task's predictions.

        Raises:
            ValueError: There is no such task.
        """
        if not 0 <= task_index < len(self.model.task_names):
            raise ValueError(f"task index {task_index} is not in [0, {len(self.model.task_names)})")
        return f"{self.model_name}, task={self.model.task_names[task_index]}"

    def predict_encoded(
        self,
        encoded: EncodedBlocks,
        max_blocks_in_batch: int = DEFAULT_MAX_BLOCKS,
        block_indices: NDArray[np.int64] | None = None,
    ) -> Predictions:
        """Predict an encoded data set, in batches of blocks that begin alike; the answers are in natural order.

        Args:
            encoded: The data set.
            max_blocks_in_batch: Most blocks in a batch.
            block_indices: [b] the blocks to predict, the others are NaN; None: all.
        """
        chosen = np.arange(encoded.num_blocks) if block_indices is None else block_indices
        order = chosen[np.argsort(encoded.forward_order[chosen], kind="stable")]
        num_tasks = len(self.model.task_names)
        output = np.full((encoded.num_blocks, num_tasks), np.nan, dtype=np.float32)
        shape = (len(encoded.instruction_ids), num_tasks)
        deltas = np.full(shape, np.nan, dtype=np.float32) if self.model.config.seq2seq else None
        for start in range(0, len(order), max_blocks_in_batch):
            indices = order[start : start + max_blocks_in_batch]
            output[indices], answered = self._step(self._layout.make(encoded, indices, self._options, None))
            if deltas is not None and answered is not None:
                starts, sizes = encoded.block_splits[indices], encoded.block_sizes[indices]
                deltas[np.concatenate([np.arange(s, s + n) for s, n in zip(starts, sizes)])] = answered
        return Predictions(output, deltas)

    def predict_blocks(
        self,
        blocks: Iterable[BasicBlock],
        max_blocks_in_batch: int | None = None,
        max_instructions_in_batch: int | None = None,
    ) -> Iterator[BasicBlockWithThroughput]:
        """Predict plain blocks, in order; one without a prediction has no throughputs. See `predict_protos`."""
        stream = self.answers(blocks, max_blocks_in_batch, max_instructions_in_batch)
        for block, answer in stream:
            yield BasicBlockWithThroughput(block, answer.throughputs)

    def predict_protos(
        self,
        protos: Iterable[BasicBlockWithThroughputProto],
        max_blocks_in_batch: int | None = None,
        max_instructions_in_batch: int | None = None,
    ) -> Iterator[BasicBlockWithThroughputProto]:
        """Append a throughput for each task to each block, in place; those that are there stay as they are.

        Args:
            protos: Blocks, read once.
            max_blocks_in_batch: Most blocks in a batch; None or 0: 2,000.
            max_instructions_in_batch: Most instructions in a batch; longer blocks pass through. None or 0: no limit.

        Yields:
            Every block, in order.
        """
        stream = self.answers(protos, max_blocks_in_batch, max_instructions_in_batch)
        for proto, answer in stream:
            self.append_to(proto, answer)
            yield proto

    def append_to(self, proto: BasicBlockWithThroughputProto, answer: Answer) -> None:
        """Append an answer's throughputs to a message; nothing when there are none."""
        for task_index, throughput in enumerate(answer.throughputs):
            entry = proto.inverse_throughputs.add(source=self.source_name(task_index))
            entry.inverse_throughput_cycles.extend(throughput.inverse_throughput_cycles)
            for values in throughput.prefix_inverse_throughput_cycles:
                entry.prefix_inverse_throughputs.add(inverse_throughput_cycles=values)

    def answers(
        self,
        blocks: Iterable[BlockT],
        max_blocks_in_batch: int | None = None,
        max_instructions_in_batch: int | None = None,
    ) -> Iterator[tuple[BlockT, Answer]]:
        """Pair every block, dataclass or message, in order, with what the model says about it. See `predict_protos`."""
        arrived: deque[BlockT] = deque()
        over_limit = Answer((), OVER_INSTRUCTION_LIMIT)

        def arriving() -> Iterator[BlockT]:
            for block in blocks:
                arrived.append(block)
                yield block

        def skip(block: BlockT) -> None:
            del block
            self.num_unpredicted[OVER_INSTRUCTION_LIMIT] += 1

        limit = max_blocks_in_batch or DEFAULT_MAX_BLOCKS
        for batch in batches(arriving(), num_instructions, limit, max_instructions_in_batch, on_skipped=skip):
            # Blocks over the limit are in no batch; they leave in their place between those that are.
            for block, answer in zip(batch, self._answer(batch), strict=True):
                while arrived[0] is not block:
                    yield arrived.popleft(), over_limit
                yield arrived.popleft(), answer
        while arrived:
            yield arrived.popleft(), over_limit

    def _answer(self, blocks: Sequence[AnyBlock]) -> list[Answer]:
        if len(self._known) > MAX_KNOWN_INSTRUCTIONS:
            self._known = InstructionTable(self.vocabulary)
        reasons = [self._why_not(block) for block in blocks]
        self.num_unpredicted.update(reason for reason in reasons if reason)
        readable = [block for block, reason in zip(blocks, reasons, strict=True) if not reason]
        answers = iter(self._throughputs(readable) if readable else ())
        return [Answer((), reason) if reason else Answer(next(answers)) for reason in reasons]

    def _why_not(self, block: AnyBlock) -> str:
        if is_encodable(block, self._known):
            return ""
        return UNKNOWN_TOKEN if num_instructions(block) else EMPTY_BLOCK

    def _throughputs(self, blocks: Sequence[AnyBlock]) -> Iterator[tuple[BasicBlockThroughput, ...]]:
        graphs = graph_builder(self.model.config, self.vocabulary, self.model.annotation_names)
        encoded = encode_blocks(blocks, self.vocabulary, table=self._known, graphs=graphs)
        output, deltas = self._step(self._layout.make(encoded, np.arange(encoded.num_blocks), self._options, None))
        splits = encoded.block_splits
        for block_index, row in enumerate(output.tolist()):
            if deltas is None:
                yield tuple(BasicBlockThroughput((value,)) for value in row)
                continue
            prefixes = deltas[splits[block_index] : splits[block_index + 1]].astype(np.float64)  # [I, K]
            if not self._prefix_deltas:
                prefixes = np.cumsum(prefixes, axis=0)
            yield tuple(
                BasicBlockThroughput((value,), tuple((prefix,) for prefix in column))
                for value, column in zip(row, prefixes.T.tolist(), strict=True)
            )


def predict_files(config: RunnerConfig) -> PredictSummary:
    """Predict the blocks of the input files with a checkpoint, and write them in the same order.

    Throughput filters do not apply: every block of the files is in the output.

    Raises:
        ConfigError: The checkpoint belongs to another model.
        DataError: An input file is missing or damaged; no output is left behind then.
    """
    predictor = Predictor.from_checkpoint(config)
    output_file = Path(config.output.file)
    num_blocks = 0
    with RecordWriter(output_file) as writer, Progress("predict", None, "blocks") as progress:
        stream = predictor.predict_protos(
            read_blocks(config.input.files), config.batch.max_blocks, config.batch.max_instructions
        )
        for proto in stream:
            writer.write(proto.SerializeToString())
            num_blocks += 1
            progress.advance()
    for reason, count in predictor.num_unpredicted.items():
        logger.warning("%d blocks passed through without a prediction: %s", count, reason)
    return PredictSummary(output_file, num_blocks, dict(predictor.num_unpredicted))
