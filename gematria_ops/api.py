"""Predictions from Python: load a trained model, ask it for blocks. docs/api.md shows it at work.

    model = load_model("runs/first/bundle")
    model.predict_one("4829d38b44246c")         # {"hsw": 1.92, "skl": 1.87}
    model.predict(["4829d3", "90"])             # float32 [2, 2], one row a block

This module loads at once; TensorFlow comes with the first model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gematria_ops.blocks.basic_block import BasicBlock
from ops_common.errors import DataError

if TYPE_CHECKING:
    from gematria_ops.inference.answer import Answer
    from gematria_ops.inference.predictor import Predictor

__all__ = ["BasicBlock", "Model", "Prediction", "block_from_hex", "load_model"]

AnyBlock = BasicBlock | str | bytes


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says about one block.

    Attributes:
        cycles_per_iteration: By task; empty when the block cannot be predicted.
        prefix_cycles: By task, one value for each instruction: the cycles of the block up to there. Only models that
            predict every instruction (seq2seq) have them.
        reason: Why the block cannot be predicted; empty when it can.
    """

    cycles_per_iteration: dict[str, float]
    prefix_cycles: dict[str, tuple[float, ...]]
    reason: str = ""


class Model:
    """A trained model. Made with `load_model`; not for several threads at a time.

    Args:
        predictor: What answers.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, K of them: mostly one for each microarchitecture."""
        return self._predictor.model.task_names

    def predict_one(self, block: AnyBlock) -> dict[str, float]:
        """Predicts one block, as soon as possible.

        Args:
            block: A block, or its machine code as bytes or in hex.

        Returns:
            Clock cycles per iteration, by task.

        Raises:
            DataError: The machine code is none, or the model cannot predict the block; says why.
        """
        (prediction,) = self.predict_stream([block], max_blocks_in_batch=1)
        if prediction.reason:
            raise DataError(f"the model cannot predict this block: {prediction.reason}", "use a model that knows it")
        return prediction.cycles_per_iteration

    def predict(self, blocks: Iterable[AnyBlock], max_blocks_in_batch: int = 1000) -> NDArray[np.float32]:
        """Predicts blocks.

        Args:
            blocks: Blocks, or machine code as bytes or in hex.
            max_blocks_in_batch: How many are worked on at a time; changes nothing but time and memory.

        Returns:
            float32 [B, K], clock cycles per iteration, in the order of the blocks and of the tasks. NaN in the rows of
            blocks that the model cannot predict; `predict_stream` tells why.

        Raises:
            DataError: The machine code of a block is none.
        """
        rows = [
            prediction.cycles_per_iteration.values() or [np.nan] * len(self.task_names)
            for prediction in self.predict_stream(blocks, max_blocks_in_batch)
        ]
        return np.array([list(row) for row in rows], dtype=np.float32).reshape(len(rows), len(self.task_names))

    def predict_stream(self, blocks: Iterable[AnyBlock], max_blocks_in_batch: int = 1000) -> Iterator[Prediction]:
        """Predicts blocks as they come, with one batch in memory.

        Args:
            blocks: As for `predict`; read once.
            max_blocks_in_batch: How many are waited for before any is answered.

        Yields:
            One prediction for each block, in order.

        Raises:
            DataError: The machine code of a block is none.
        """
        decoded = (block if isinstance(block, BasicBlock) else _decoded(block) for block in blocks)
        for _, answer in self._predictor.answers(decoded, max_blocks_in_batch):
            yield self._prediction(answer)

    def _prediction(self, answer: Answer) -> Prediction:
        tasks = self.task_names
        return Prediction(
            dict(zip(tasks, answer.cycles_per_iteration)),
            {
                task: tuple(prefix[0] for prefix in throughput.prefix_inverse_throughput_cycles)
                for task, throughput in zip(tasks, answer.throughputs)
                if throughput.prefix_inverse_throughput_cycles
            },
            answer.reason,
        )


def load_model(place: str | Path) -> Model:
    """Loads a trained model.

    Args:
        place: Folder of a model's bundle, or its s3:// URI as `upload-model` reports it; the endpoint and the keys come
            from the usual AWS variables.

    Returns:
        The model. Its first answer takes a second longer than later ones.

    Raises:
        ArtifactError: There is no whole bundle, or a file of it is not the one that was written.
        ServiceError: The object store does not answer.
    """
    from gematria_ops.inference.predictor import Predictor
    from gematria_ops.remote_inputs import local_bundle

    with local_bundle(str(place)) as folder:
        return Model(Predictor.from_bundle(folder))


def block_from_hex(text: str) -> BasicBlock:
    """Decodes machine code in hex to a block: white space does not matter.

    Raises:
        DataError: It is no hex, or no x86-64 machine code; says from which byte on.
    """
    try:
        machine_code = bytes.fromhex(text)
    except ValueError:
        raise DataError(f"{text[:80]!r} is not machine code in hex", "give two hex digits for each byte") from None
    return _decoded(machine_code)


def _decoded(code: str | bytes) -> BasicBlock:
    if isinstance(code, str):
        return block_from_hex(code)
    from gematria_ops.blocks.decoding import decode_block

    return BasicBlock(tuple(decoded.instruction for decoded in decode_block(code)))
