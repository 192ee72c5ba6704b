"""Sample files of a small training, and that training as a program that can be killed."""

import os
import signal
import sys
from pathlib import Path

from fastnode_ops.config import ExpressionConfig, Split
from fastnode_ops.sample_files.header import SampleFileHeader, request_digest
from fastnode_ops.sample_files.writing import write_sample_file
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import session_request
from fastnode_ops.training.sample_file_feed import SampleFileFeed
from tests.fastnode.batches import make_batch, make_batches
from tests.fastnode.training.programs import METAINFO, SIZES, small_config

BATCHES = make_batches(12, SIZES)


def make_file(
    folder: Path,
    first_step: int,
    num_batches: int,
    *,
    config: ExpressionConfig | None = None,
    metainfo: MetaInfo = METAINFO,
    split: Split = "train",
) -> Path:
    """Write the file of some steps; a step has the same batch in every file: `BATCHES[step]`."""
    config = config or small_config()
    header = SampleFileHeader(
        metainfo_digest=metainfo.digest,
        request_digest=request_digest(session_request(metainfo, config, num_batches=1, split=split)),
        seed=config.train.seed,
        split=split,
        first_step=first_step,
        num_batches=num_batches,
    )
    batches = [make_batch(step, SIZES) for step in range(first_step, first_step + num_batches)]
    return write_sample_file(folder, header, batches)


class DeadlyFeed(SampleFileFeed):
    """Kills its process when it is asked for the batch of a step, as a machine that fails would."""

    deadly_step = -1

    def batch(self, step: int) -> TrainingBatch:
        if step == self.deadly_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().batch(step)


def main() -> None:
    """`<folder> <steps> <data folder> <data steps> <syncer, or empty> <step whose batch kills, or -1>`."""
    from fastnode_ops.training.train import train

    folder, num_steps, data_dir, data_steps, syncer, deadly_step = sys.argv[1:]
    feed = DeadlyFeed(
        Path(data_dir),
        METAINFO,
        small_config(),
        data_steps=int(data_steps),
        syncer_url=syncer,
        patience_seconds=120,
        poll_seconds=0.02,
    )
    feed.deadly_step = int(deadly_step)
    with feed:
        train(small_config(), METAINFO, feed, BATCHES[:2], Path(folder), int(num_steps), model_name="small")


if __name__ == "__main__":
    main()
