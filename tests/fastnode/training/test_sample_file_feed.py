"""The feed of sample files: what it waits for, refuses, and says to the syncer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastnode_ops.config import TrainConfig
from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.training.sample_file_feed import SampleFileFeed
from fastnode_ops.training.sources import SampleFiles
from fastnode_ops.training.syncer_client import SyncerClient, SyncerRefusal
from ops_common.errors import ArtifactError, ConfigError, DataError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.training.file_programs import BATCHES, make_file
from tests.fastnode.training.programs import METAINFO, small_config
from tests.fastnode.training.small_syncer import SmallSyncer


def open_feed(folder: Path, data_steps: int = 12, patience: float = 0.2, syncer: str = "") -> SampleFileFeed:
    return SampleFileFeed(
        folder,
        METAINFO,
        small_config(),
        data_steps=data_steps,
        syncer_url=syncer,
        patience_seconds=patience,
        poll_seconds=0.02,
    )


def same(batch: TrainingBatch, step: int) -> bool:
    return batch.to_json_text() == BATCHES[step].to_json_text()


@contextmanager
def synced(tmp_path: Path, max_files: int = 1_000) -> Iterator[SmallSyncer]:
    """Twelve steps in four files on the host."""
    for first_step in range(0, 12, 3):
        make_file(tmp_path / "remote", first_step, 3)
    with SmallSyncer(tmp_path / "remote", tmp_path / "data", max_files).running() as syncer:
        yield syncer


def test_batches_are_those_of_the_steps_epoch_after_epoch(tmp_path: Path) -> None:
    make_file(tmp_path, 4, 3)
    make_file(tmp_path, 0, 4)
    with open_feed(tmp_path, 7) as feed:
        assert all(same(feed.batch(step), step % 7) for step in (0, 1, 2, 3, 4, 5, 6, 7, 13, 20, 2))
        assert feed.metainfo_digest == METAINFO.digest


def test_a_file_longer_than_the_set_ends_with_it(tmp_path: Path) -> None:
    make_file(tmp_path, 0, 6)
    with open_feed(tmp_path, 5) as feed:
        assert same(feed.batch(5), 0)


def test_it_waits_for_a_file_and_never_reads_one_without_its_index(tmp_path: Path) -> None:
    whole = make_file(tmp_path / "elsewhere", 0, 3)
    with open_feed(tmp_path, patience=60) as feed:
        got: list[TrainingBatch] = []
        reader = threading.Thread(target=lambda: got.append(feed.batch(1)))
        reader.start()
        half = tmp_path / whole.name
        half.write_bytes(whole.read_bytes()[:100])
        reader.join(0.3)
        assert reader.is_alive()
        assert not got
        half.write_bytes(whole.read_bytes())
        (tmp_path / whole.with_suffix(".idx").name).write_bytes(whole.with_suffix(".idx").read_bytes())
        reader.join(30)
        assert same(got[0], 1)


def test_a_range_that_does_not_come_is_named(tmp_path: Path) -> None:
    make_file(tmp_path, 0, 3)
    make_file(tmp_path, 8, 4)
    with open_feed(tmp_path) as feed, pytest.raises(DataError) as caught:
        feed.batch(12 + 3)
    assert caught.value.message == (
        f"steps 3 to 7 are in none of the 2 files in {tmp_path}, and none came in 0 s; step 3 is the next"
    )
    assert "DATA_STEPS" in caught.value.hint


def test_files_of_another_metainfo_or_request_are_refused(tmp_path: Path) -> None:
    header = METAINFO.header.model_copy(update={"corpus_digest": "c3" * 32})
    other = type(METAINFO).model_validate(METAINFO.model_copy(update={"header": header}).model_dump())
    name = make_file(tmp_path / "metainfo", 0, 3, metainfo=other).name
    message = f"{name} is of another metainfo \\({other.digest[:12]}, not {METAINFO.digest[:12]}\\)"
    with open_feed(tmp_path / "metainfo") as feed, pytest.raises(DataError, match=message):
        feed.batch(0)
    make_file(tmp_path / "seed", 0, 3, config=small_config(seed=5))
    with open_feed(tmp_path / "seed") as feed, pytest.raises(DataError, match="is of another request"):
        feed.batch(0)
    make_file(tmp_path / "seed", 0, 3)
    with open_feed(tmp_path / "seed") as feed:
        assert same(feed.batch(0), 0)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path, 0, 3)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with open_feed(tmp_path) as feed, pytest.raises(ArtifactError, match=path.name):
        feed.batch(0)


def test_stopping_ends_the_waiting(tmp_path: Path) -> None:
    with open_feed(tmp_path, patience=600) as feed:
        timer = threading.Timer(0.1, feed.stop)
        timer.start()
        with pytest.raises(ServiceError, match="was stopped"):
            feed.batch(0)
        timer.join()


def test_a_file_is_reported_when_a_checkpoint_covers_it_and_no_later_epoch_reads_it(tmp_path: Path) -> None:
    with synced(tmp_path) as syncer, open_feed(tmp_path / "data", patience=30, syncer=syncer.url) as feed:
        assert same(feed.batch(11), 11)
        feed.saved(5, 12)
        assert syncer.used == ["000000000-3-243.samples"]
        wait_until(lambda: not (tmp_path / "data" / syncer.used[0]).exists(), 10, "the deletion")
        syncer.used.clear()
        feed.saved(10, 24)
        assert syncer.used == []
        assert syncer.num_resets == 0


def test_a_second_epoch_fetches_again_what_was_used(tmp_path: Path) -> None:
    with synced(tmp_path) as syncer, open_feed(tmp_path / "data", patience=30, syncer=syncer.url) as feed:
        assert same(feed.batch(11), 11)
        feed.saved(12, 12)
        wait_until(lambda: not list((tmp_path / "data").glob("*.samples")), 10, "the deletion")
        assert same(feed.batch(12), 0)
        assert syncer.num_resets == 1


def test_marks_of_an_earlier_training_do_not_starve_a_new_one(tmp_path: Path) -> None:
    with synced(tmp_path) as syncer, open_feed(tmp_path / "data", patience=30, syncer=syncer.url) as feed:
        SyncerClient(syncer.url).report_used(["000000000-3-243.samples"])
        wait_until(lambda: not (tmp_path / "data" / syncer.used[0]).exists(), 10, "the deletion")
        assert same(feed.batch(0), 0)
        assert syncer.num_resets == 1


def test_what_is_gone_for_good_is_said_at_once(tmp_path: Path) -> None:
    with synced(tmp_path) as syncer, open_feed(tmp_path / "data", patience=600, syncer=syncer.url) as feed:
        syncer.can_reset = False
        feed.batch(11)
        feed.saved(12, 12)
        wait_until(lambda: not list((tmp_path / "data").glob("*.samples")), 10, "the deletion")
        with pytest.raises(SyncerRefusal, match="status 409"):
            feed.batch(12)


def test_epochs_go_through_a_disk_that_is_smaller_than_the_set(tmp_path: Path) -> None:
    with synced(tmp_path, max_files=2) as syncer:
        with open_feed(tmp_path / "data", patience=30, syncer=syncer.url) as feed:
            for step in range(36):
                feed.saved(step, 36)  # as a training that saves after each step
                assert same(feed.batch(step), step % 12)
            feed.saved(36, 36)
        wait_until(lambda: not list((tmp_path / "data").glob("*.samples")), 10, "the deletion")


def test_a_full_disk_whose_files_are_not_safe_yet_is_named(tmp_path: Path) -> None:
    with synced(tmp_path, max_files=2) as syncer, open_feed(tmp_path / "data", 12, 1, syncer.url) as feed:
        feed.batch(5)
        with pytest.raises(DataError, match=r"steps 6 to 11 .* its disk budget is used up"):
            feed.batch(6)
        assert syncer.used == []


def test_a_syncer_that_does_not_answer_stops_nothing(tmp_path: Path) -> None:
    make_file(tmp_path, 0, 3)
    with open_feed(tmp_path, syncer="http://127.0.0.1:9") as feed:
        assert same(feed.batch(0), 0)
        feed.saved(3, 3)
        with pytest.raises(DataError, match=r"step 3 is the next; http://127\.0\.0\.1:9/state: "):
            feed.batch(3)


@pytest.mark.parametrize("url", ["localhost:3087", "ftp://host", "http://", "http://[::"])
def test_what_is_no_url_of_a_syncer_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not the URL of a syncer"):
        open_feed(tmp_path, syncer=url)


def test_held_out_batches_come_from_files_of_their_split(tmp_path: Path) -> None:
    config = small_config(num_validation_batches=2)
    source = SampleFiles(tmp_path, 12)
    with pytest.raises(ConfigError, match="there are no held-out batches"), source.opened(METAINFO, config, 0):
        pass
    make_file(tmp_path / "validation", 0, 2, config=config)
    with pytest.raises(DataError, match="of another request"), source.opened(METAINFO, config, 0):
        pass
    make_file(tmp_path / "validation", 0, 2, config=config, split="validation")
    with source.opened(METAINFO, config, 0) as (_, held_out):
        assert [same(batch, step) for step, batch in enumerate(held_out)] == [True, True]
    more = config.model_copy(update={"train": TrainConfig(num_validation_batches=3)})
    with pytest.raises(DataError, match="held-out step 2 is in no sample file"), source.opened(METAINFO, more, 0):
        pass
    without = small_config(validation_steps=0)
    with SampleFiles(tmp_path / "none", 12).opened(METAINFO, without, 0) as (_, held_out):
        assert held_out == []
