"""Training from sample files: the weights of a training from a server, whatever comes late, stops or is killed."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fastnode_ops.config import TASKS, ExpressionConfig
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.sample_files.header import SampleFileHeader, request_digest
from fastnode_ops.sample_files.names import parse_name
from fastnode_ops.sample_files.writing import write_sample_file
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import session_request
from fastnode_ops.server.client import SessionClient
from fastnode_ops.server.local import serving
from fastnode_ops.training.feeds import Feed, ListFeed
from fastnode_ops.training.file_steps import is_covered
from fastnode_ops.training.pipeline import continue_in, train_in
from fastnode_ops.training.sample_file_feed import SampleFileFeed
from fastnode_ops.training.sources import SampleFiles, SampleSource, ServedSamples
from fastnode_ops.training.train import train
from ops_common.config import load_config
from ops_common.learning.checkpoints import latest_checkpoint
from ops_common.processes import wait_until
from tests.fastnode.training.file_programs import BATCHES, make_file
from tests.fastnode.training.programs import METAINFO, small_config
from tests.fastnode.training.small_syncer import SmallSyncer

pytestmark = pytest.mark.tf

ROOT = Path(__file__).parents[3]


def weights(folder: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(latest_checkpoint(folder / "tmp", "ckpt")))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same(first: Path, second: Path) -> None:
    one, other = weights(first), weights(second)
    assert one.keys() == other.keys()
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


def train_with(feed: Feed, folder: Path, num_steps: int) -> None:
    train(small_config(), METAINFO, feed, BATCHES[:2], folder, num_steps, model_name="small")


def open_feed(folder: Path, data_steps: int) -> SampleFileFeed:
    return SampleFileFeed(
        folder, METAINFO, small_config(), data_steps=data_steps, patience_seconds=120, poll_seconds=0.02
    )


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two epochs over twelve batches that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    train_with(ListFeed(BATCHES, METAINFO.digest), folder, 24)
    return folder


def test_files_that_arrive_while_it_trains_give_two_epochs_of_the_same(two_epochs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_file(data, 0, 3)
    place = PipelineDir(tmp_path)

    def arrive() -> None:
        # the first checkpoint is that of step 3: the training has begun with one file
        wait_until(lambda: latest_checkpoint(place.tmp, "ckpt") is not None, 120, "the first checkpoint")
        make_file(data, 6, 6)
        make_file(data, 3, 3)

    thread = threading.Thread(target=arrive)
    thread.start()
    with open_feed(data, 12) as feed:
        train_with(feed, tmp_path, 24)
    thread.join()
    assert_same(two_epochs, tmp_path)


@pytest.mark.slow
def test_killed_while_the_syncer_goes_on_it_ends_the_same(two_epochs: Path, tmp_path: Path) -> None:
    for first_step in range(0, 12, 2):
        make_file(tmp_path / "remote", first_step, 2)
    with SmallSyncer(tmp_path / "remote", tmp_path / "data", max_files=4).running() as syncer:
        for deadly_step in (7, 20, -1):
            arguments = [str(tmp_path), "24", str(tmp_path / "data"), "12", syncer.url, str(deadly_step)]
            command = [sys.executable, "-m", "tests.fastnode.training.file_programs", *arguments]
            environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == (0 if deadly_step < 0 else -signal.SIGKILL), done.stderr
            saved_step = int(weights(tmp_path)["global_step"])
            uncovered = [name for name in syncer.used if not is_covered(parse_name(name), 12, saved_step)]
            assert uncovered == []
    assert set(syncer.used) == {path.name for path in (tmp_path / "remote").glob("*.samples")}
    assert_same(two_epochs, tmp_path)


def make_real_files(folder: Path, url: str, metainfo: MetaInfo, config: ExpressionConfig) -> None:
    """Steps 0 to 3 in two files, and the held-out step, as the server makes them."""
    for split, place, ranges in (("train", folder, ((0, 2), (2, 2))), ("validation", folder / "validation", ((0, 1),))):
        request = session_request(metainfo, config, num_batches=2, split=split)
        with SessionClient(url, request) as session:
            for first_step, num_batches in ranges:
                header = SampleFileHeader(
                    metainfo_digest=metainfo.digest,
                    request_digest=request_digest(request),
                    seed=config.train.seed,
                    split=split,
                    first_step=first_step,
                    num_batches=num_batches,
                )
                steps = range(first_step, first_step + num_batches)
                write_sample_file(place, header, map(session.batch, steps))


@pytest.mark.slow
def test_files_and_the_live_server_give_the_same_weights(metainfo: MetaInfo, corpus_dir: Path, tmp_path: Path) -> None:
    # a corpus this small has held-out files for attributes, hardly for more
    others = [f"samples.{task}_proportion=0" for task in TASKS if task != "attr"]
    config = load_config(ExpressionConfig, ROOT / "config" / "fastnode" / "smoke.toml", others)

    def run(name: str, source: SampleSource) -> Path:
        place = PipelineDir(tmp_path / name)
        metainfo.write(place.metainfo)
        assert train_in(place, source, config, steps=4, model_name="small").global_step == 4
        return place.path

    with serving("", corpus_dir, num_workers=1) as url:
        served = run("served", ServedSamples(corpus_dir, url))
        make_real_files(tmp_path / "data", url, metainfo, config)
    filed = run("filed", SampleFiles(tmp_path / "data"))  # no corpus and no server any more
    assert_same(served, filed)
    held_out = [(path / "tmp" / "held-out-batches.json").read_bytes() for path in (served, filed)]
    assert held_out[0] == held_out[1]
    # the set of the training, once more
    assert continue_in(
        PipelineDir(filed), SampleFiles(tmp_path / "data"), config, steps=2, model_name="small"
    ).num_steps
    # with more steps than data the batches of the first four are the same: it goes on
    assert train_in(PipelineDir(served), SampleFiles(tmp_path / "data", 4), config, steps=6, model_name="small")
    assert not (served / "tmp" / "replaced").exists()
    assert train_in(PipelineDir(served), SampleFiles(tmp_path / "data", 2), config, steps=6, model_name="small")
    assert (served / "tmp" / "replaced" / "ckpt-5.index").exists()
