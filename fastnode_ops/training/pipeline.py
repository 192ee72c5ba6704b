"""The steps `train` and `continue` of a pipeline's folder: where the batches come from, what a changed request means.

`train` goes on where it was interrupted when it is asked for the same again, or for more steps. When settings or
metainfo have changed it begins anew; what the old training left in `tmp/` is kept aside in `tmp/replaced/`.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import orjson

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo, read_metainfo
from fastnode_ops.server.local import serving
from fastnode_ops.training.files import CHECKPOINT_NAME
from fastnode_ops.training.session_feed import SessionFeed, held_out_batches
from fastnode_ops.training.train import TrainSummary, continue_training, train
from ops_common.artifacts import read_json, write_bytes, write_json
from ops_common.learning.checkpoints import latest_checkpoint, read_global_step
from ops_common.rundir import first_difference

logger = logging.getLogger(__name__)

RECORD_NAME = "train.json"
REPLACED_NAME = "replaced"


def train_in(
    place: PipelineDir, corpus_dir: Path, server: str, config: ExpressionConfig, *, steps: int, model_name: str
) -> TrainSummary:
    """Train the folder's model until `steps` updates are done; see `training.train.train`."""
    metainfo = read_metainfo(place.metainfo)
    _prepare(place, config, metainfo, steps)
    with serving(server, corpus_dir) as url, _feed(url, metainfo, config, place) as feed:
        held_out = _held_out(url, metainfo, config, place)
        return train(config, metainfo, feed, held_out, place.path, steps, model_name=model_name)


def continue_in(
    place: PipelineDir, corpus_dir: Path, server: str, config: ExpressionConfig, *, steps: int, model_name: str
) -> TrainSummary:
    """Train the folder's model for `steps` further updates; see `training.train.continue_training`."""
    metainfo = read_metainfo(place.metainfo)
    with serving(server, corpus_dir) as url, _feed(url, metainfo, config, place) as feed:
        held_out = _held_out(url, metainfo, config, place)
        return continue_training(config, metainfo, feed, held_out, place.path, steps, model_name=model_name)


def read_held_out(place: PipelineDir) -> list[TrainingBatch]:
    """Return the held-out batches that the folder's model was validated with; none when there are none."""
    path = place.held_out_batches
    return [TrainingBatch.from_json(value) for value in read_json(path)] if path.exists() else []


def _held_out(url: str, metainfo: MetaInfo, config: ExpressionConfig, place: PipelineDir) -> list[TrainingBatch]:
    """Fetch the held-out batches, and keep them for the comparison that compression makes."""
    batches = held_out_batches(url, metainfo, config)
    text = orjson.dumps([batch.to_json() for batch in batches], option=orjson.OPT_SERIALIZE_NUMPY)
    write_bytes(place.held_out_batches, text)
    return batches


def _feed(url: str, metainfo: MetaInfo, config: ExpressionConfig, place: PipelineDir) -> SessionFeed:
    return SessionFeed(url, metainfo, config, _num_steps_done(place))


def _num_steps_done(place: PipelineDir) -> int:
    newest = latest_checkpoint(place.tmp, CHECKPOINT_NAME)
    return read_global_step(newest) if newest is not None else 0


def _prepare(place: PipelineDir, config: ExpressionConfig, metainfo: MetaInfo, steps: int) -> None:
    """Begin anew when the training in the folder is not the one that is asked for."""
    record = place.tmp / RECORD_NAME
    settings = config.model_dump(mode="json", include={"graph", "samples", "model", "train"})
    wanted: dict[str, Any] = {"metainfo": metainfo.digest, **settings}
    before = read_json(record) if record.exists() else None
    difference = first_difference(before, wanted) if isinstance(before, dict) else ""
    if place.continuation.exists():
        difference = difference or "it was continued"
    elif _num_steps_done(place) > steps:
        difference = difference or "it has done more steps than that"
    if difference:
        logger.warning("training begins anew: %s; the old one is kept in %s", difference, place.tmp / REPLACED_NAME)
        _set_aside(place)
    write_json(record, wanted)


def _set_aside(place: PipelineDir) -> None:
    replaced = place.tmp / REPLACED_NAME
    shutil.rmtree(replaced, ignore_errors=True)
    replaced.mkdir(parents=True)
    prefix = place.checkpoint_prefix
    files = [*place.tmp.glob(f"{prefix.name}-*"), place.tmp / "checkpoint", place.continuation, place.metrics]
    for path in files:
        if path.exists():
            path.replace(replaced / path.name)
