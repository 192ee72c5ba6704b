"""The steps `train` and `continue` of a pipeline's folder: where the batches come from, what a changed request means.

`train` goes on where it was interrupted when it is asked for the same again, or for more steps. When settings or
metainfo have changed it begins anew; what the old training left in `tmp/` is kept aside in `tmp/replaced/`.
"""

from __future__ import annotations

import logging
import shutil
from typing import Any

import orjson

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo, read_metainfo
from fastnode_ops.training.files import CHECKPOINT_NAME
from fastnode_ops.training.sources import SampleSource
from fastnode_ops.training.train import TrainSummary, continue_training, train
from ops_common.artifacts import read_json, write_bytes, write_json
from ops_common.errors import NothingHeldOutError
from ops_common.learning.checkpoints import latest_checkpoint, read_global_step
from ops_common.rundir import first_difference

logger = logging.getLogger(__name__)

RECORD_NAME = "train.json"
DATA_STEPS = "data_steps"
REPLACED_NAME = "replaced"


def train_in(
    place: PipelineDir,
    source: SampleSource,
    config: ExpressionConfig,
    *,
    steps: int,
    model_name: str,
    is_held_out_needed: bool = False,
) -> TrainSummary:
    """Train the folder's model until `steps` updates are done; see `training.train.train`.

    Files are taken to be there for as many steps, when the source does not say for how many.

    Raises:
        NothingHeldOutError: There are no held-out batches though they are needed; nothing has been trained.
    """
    metainfo = read_metainfo(place.metainfo)
    source = source.with_data_steps(steps)
    _prepare(place, config, metainfo, steps, source.data_steps)
    with source.opened(metainfo, config, _num_steps_done(place)) as (feed, held_out):
        if is_held_out_needed and not held_out:
            raise NothingHeldOutError("there are no held-out batches to judge a training by", "take a larger corpus")
        _keep_held_out(place, held_out)
        summary = train(config, metainfo, feed, held_out, place.path, steps, model_name=model_name)
    _write_limits(place, config)
    return summary


def continue_in(
    place: PipelineDir, source: SampleSource, config: ExpressionConfig, *, steps: int, model_name: str
) -> TrainSummary:
    """Train the folder's model for `steps` further updates; see `training.train.continue_training`.

    Files are taken to be those of the training, when the source does not say for how many steps there are any.
    """
    metainfo = read_metainfo(place.metainfo)
    source = source.with_data_steps(_recorded_data_steps(place))
    with source.opened(metainfo, config, _num_steps_done(place)) as (feed, held_out):
        _keep_held_out(place, held_out)
        summary = continue_training(config, metainfo, feed, held_out, place.path, steps, model_name=model_name)
    _write_limits(place, config)
    return summary


def _write_limits(place: PipelineDir, config: ExpressionConfig) -> None:
    """Keep with the model how much of a file it was trained to see."""
    write_json(place.serving_graph_config, config.graph.model_dump())


def read_held_out(place: PipelineDir) -> list[TrainingBatch]:
    """Return the held-out batches that the folder's model was validated with; none when there are none."""
    path = place.held_out_batches
    return [TrainingBatch.from_json(value) for value in read_json(path)] if path.exists() else []


def _keep_held_out(place: PipelineDir, batches: list[TrainingBatch]) -> None:
    """Keep the held-out batches for the comparison that compression makes."""
    text = orjson.dumps([batch.to_json() for batch in batches], option=orjson.OPT_SERIALIZE_NUMPY)
    write_bytes(place.held_out_batches, text)


def _num_steps_done(place: PipelineDir) -> int:
    newest = latest_checkpoint(place.tmp, CHECKPOINT_NAME)
    return read_global_step(newest) if newest is not None else 0


def _recorded_data_steps(place: PipelineDir) -> int:
    """For how many steps the folder's training had samples of their own; 0: for each, or that is not known."""
    record = place.tmp / RECORD_NAME
    before = read_json(record) if record.exists() else None
    return int(before.get(DATA_STEPS, 0)) if isinstance(before, dict) else 0


def _prepare(place: PipelineDir, config: ExpressionConfig, metainfo: MetaInfo, steps: int, data_steps: int) -> None:
    """Begin anew when the training in the folder is not the one that is asked for."""
    record = place.tmp / RECORD_NAME
    other_data_steps = _recorded_data_steps(place)
    settings = config.model_dump(mode="json", include={"graph", "draws", "samples", "model", "train"})
    wanted: dict[str, Any] = {"metainfo": metainfo.digest, **settings}
    before = read_json(record) if record.exists() else None
    difference = ""
    if isinstance(before, dict):
        before.pop(DATA_STEPS, None)
        difference = first_difference(before, wanted) or _repeats_otherwise(place, other_data_steps, data_steps)
    if place.continuation.exists():
        difference = difference or "it was continued"
    elif _num_steps_done(place) > steps:
        difference = difference or "it has done more steps than that"
    if difference:
        logger.warning("training begins anew: %s; the old one is kept in %s", difference, place.tmp / REPLACED_NAME)
        _set_aside(place)
    write_json(record, {**wanted, DATA_STEPS: data_steps})


def _repeats_otherwise(place: PipelineDir, before: int, now: int) -> str:
    """Say so when the steps that are done had other batches than they would have now; where none came again, none did.

    Args:
        place: The pipeline's folder.
        before: How many steps had batches of their own; 0: every one.
        now: How many have.
    """
    if before == now:
        return ""
    fewest = min(number for number in (before, now) if number)
    done = _num_steps_done(place)
    return f"its batches came again after {before or 'no'} steps, not {now or 'none'}" if done > fewest else ""


def _set_aside(place: PipelineDir) -> None:
    replaced = place.tmp / REPLACED_NAME
    shutil.rmtree(replaced, ignore_errors=True)
    replaced.mkdir(parents=True)
    prefix = place.checkpoint_prefix
    files = [*place.tmp.glob(f"{prefix.name}-*"), place.tmp / "checkpoint", place.continuation, place.metrics]
    files.append(place.samples_read)
    for path in files:
        if path.exists():
            path.replace(replaced / path.name)
