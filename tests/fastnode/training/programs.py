"""A small training as a program of its own, so that it can be killed: `python -m tests.fastnode.training.programs`."""

import os
import signal
import sys
from pathlib import Path

from fastnode_ops.config import ExpressionConfig, ModelConfig, TrainConfig
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo, Production, ProductionIndex
from fastnode_ops.training.feeds import ListFeed
from tests.fastnode.batches import Sizes, make_batches

SIZES = Sizes()
METAINFO = MetaInfo(
    name_subtoken_index={f"s{row}": row for row in range(SIZES.num_subtokens)},
    type_subtoken_index={f"t{row}": row for row in range(SIZES.num_types)},
    production_index=ProductionIndex(
        indices={str(row): row for row in range(SIZES.num_productions)},
        productions={"1": Production(id=1)},
    ),
)
BATCHES = make_batches(7, SIZES)


def small_config(**train: object) -> ExpressionConfig:
    settings = {"learning_rate": 0.003, "summary_steps": 4, "validation_steps": 5, "checkpoint_steps": 3, **train}
    return ExpressionConfig(model=ModelConfig(type_depth=6, subtoken_depth=6), train=TrainConfig(**settings))


class DeadlyFeed(ListFeed):
    """A feed that kills its process when it is asked for the batch of a step, as a machine that fails would."""

    def __init__(self, deadly_step: int) -> None:
        super().__init__(BATCHES, METAINFO.digest)
        self._deadly_step = deadly_step

    def batch(self, step: int) -> TrainingBatch:
        if step == self._deadly_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step)


def main() -> None:
    """`<train | continue_training> <folder> <steps> <step whose batch kills, or -1>`."""
    from fastnode_ops.training import train

    what, folder, num_steps, deadly_step = sys.argv[1:]
    function = getattr(train, what)
    feed = DeadlyFeed(int(deadly_step))
    function(small_config(), METAINFO, feed, BATCHES[:2], Path(folder), int(num_steps), model_name="small")


if __name__ == "__main__":
    main()
