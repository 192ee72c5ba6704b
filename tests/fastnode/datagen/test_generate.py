"""Sample files from a real server over a real corpus: complete, the live session's, whatever happens on the way."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fastnode_ops.config import TASKS, ExpressionConfig, SampleConfig, TrainConfig
from fastnode_ops.datagen import generate as module
from fastnode_ops.datagen.generate import GenerateSummary, generate
from fastnode_ops.datagen.ledger import Ledger
from fastnode_ops.datagen.ranges import share_out
from fastnode_ops.datagen.sample_set import SampleSet
from fastnode_ops.sample_files.header import request_digest
from fastnode_ops.sample_files.reading import SampleFile, check_sample_file, finished_files
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import session_request
from fastnode_ops.server.client import SessionClient
from fastnode_ops.server.local import serving
from fastnode_ops.training.sample_folder import SampleFolder
from fastnode_ops.training.session_feed import held_out_batches
from ops_common.errors import ArtifactError, ConfigError, DataError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.server.servers import toy_server

ROOT = Path(__file__).parents[3]
NUM_STEPS, PER_FILE = 11, 4
NAMES = ["000000000-4-3.samples", "000000004-4-3.samples", "000000008-3-3.samples"]
CONFIG = ExpressionConfig(samples=SampleConfig(max_samples=8), train=TrainConfig(seed=3))


@pytest.fixture(scope="module")
def url(corpus_dir: Path) -> Iterator[str]:
    with serving("", corpus_dir, num_workers=1) as found:
        yield found


@pytest.fixture(scope="module")
def sample_set(metainfo: MetaInfo) -> SampleSet:
    return SampleSet(metainfo, CONFIG, NUM_STEPS, PER_FILE)


class Commands:
    """Runs the command as a person does."""

    def __init__(self, metainfo_file: Path, corpus_dir: Path) -> None:
        self._metainfo_file, self._corpus_dir = metainfo_file, corpus_dir

    def start(self, out_dir: Path, *options: str, **more: Any) -> "subprocess.Popen[str]":
        places = ["--metainfo-file", str(self._metainfo_file), "--corpus-dir", str(self._corpus_dir)]
        numbers = ["--data-steps", str(NUM_STEPS), "--samples-per-file", str(PER_FILE)]
        settings = ["--overrides", "samples.max_samples=8", "--overrides", "train.seed=3"]
        command = [sys.executable, "-m", "fastnode_ops", "generate-samples", "--out-dir", str(out_dir)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*command, *places, *numbers, *settings, *options], env=environment, **pipes, **more)

    def run(self, out_dir: Path, *options: str) -> dict[str, Any]:
        process = self.start(out_dir, *options)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def commands(metainfo: MetaInfo, corpus_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    path = tmp_path_factory.mktemp("metainfo") / "metainfo.json"
    metainfo.write(path)
    return Commands(path, corpus_dir)


@pytest.fixture(scope="module")
def whole(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files, by a command that nothing happened to, from a server of its own."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    told = commands.run(folder, "--num-workers", "1")
    assert told.pop("batches_per_second") > 0
    assert told == {"out_dir": str(folder), "num_ranges": 3, "num_files_made": 3, "num_batches_made": 11}
    return folder


def run(sample_set: SampleSet, out_dir: Path, url: str, corpus_dir: Path, **options: Any) -> GenerateSummary:
    values = {"numbers": sample_set.numbers, "poll_seconds": 0.05} | options
    return generate(sample_set, values.pop("numbers"), out_dir, corpus_dir, server=url, **values)


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but the generator's own."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".datagen"}


def status(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / ".datagen" / "status.json").read_text())
    except FileNotFoundError:
        return {"state": "not there"}


def state_of(folder: Path) -> tuple[str, int]:
    now = status(folder)
    return now["state"], now.get("num_ranges_made", 0)


def test_the_files_are_those_of_the_session(whole: Path, sample_set: SampleSet, url: str) -> None:
    request = session_request(sample_set.metainfo, CONFIG, num_batches=NUM_STEPS)
    wanted = {"metainfo_digest": sample_set.metainfo.digest, "request_digest": request_digest(request)}
    assert [name.file_name for name in finished_files(whole)] == NAMES
    assert sorted(files(whole)) == sorted(stem + end for stem in _stems() for end in (".samples", ".idx"))
    texts = []
    for name in finished_files(whole):
        header = check_sample_file(whole / name.file_name, **wanted)
        assert header.corpus_digest == sample_set.metainfo.header.corpus_digest
        with SampleFile(whole / name.file_name) as file:
            texts += [file.json_text(step) for step in range(name.first_step, name.end_step)]
    # the bytes of one answer with all steps
    answer = httpx.post(f"{url}/session", content=request.model_dump_json(), timeout=300).content
    expected = b"[" + b",".join(b'{"data":{"expr":' + text + b"}}" for text in texts) + b"]}"
    assert answer.partition(b'"samples":')[2] == expected
    # and what a training reads from the server, step by step
    with SessionClient(url, request.model_copy(update={"num_batches": 2})) as session:
        assert [session.batch(step).to_json_text() for step in range(NUM_STEPS)] == texts


def test_the_status_at_the_end(whole: Path) -> None:
    told = status(whole)
    assert {key: told[key] for key in ("state", "num_ranges_made", "num_ranges_left", "num_batches", "last_error")} == {
        "state": "done",
        "num_ranges_made": 3,
        "num_ranges_left": 0,
        "num_batches": 11,
        "last_error": "",
    }
    assert told["finished_bytes"] == sum(map(len, files(whole).values()))
    assert told["updated_at"].endswith("+00:00")
    assert json.loads((whole / ".datagen" / "made.json").read_text())["ranges"] == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_in_the_middle_and_started_again_it_makes_the_same_files(
    commands: Commands, whole: Path, tmp_path: Path, url: str, number: signal.Signals
) -> None:
    process = commands.start(tmp_path, "--server", url)
    try:
        wait_until((tmp_path / NAMES[0]).with_suffix(".idx").exists, 60, "the first file", process=process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    done = [name.file_name for name in finished_files(tmp_path)]
    assert done == NAMES[: len(done)]
    assert len(done) < len(NAMES)
    if number == signal.SIGTERM:
        assert process.returncode == 143, err
        assert status(tmp_path)["state"] == "stopped"
        assert sorted(files(tmp_path)) == sorted(name for one in done for name in (one, one[:-8] + ".idx"))
    told = commands.run(tmp_path, "--server", url)
    assert told["num_files_made"] >= len(NAMES) - len(done)
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize("place", ["add", "write_index"])
def test_killed_at_the_worst_moments_nothing_is_lost(
    sample_set: SampleSet,
    corpus_dir: Path,
    whole: Path,
    tmp_path: Path,
    url: str,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before the file is entered into the ledger, and between that and its index."""

    def die(*args: object) -> None:
        raise SystemError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(*((Ledger, "add") if place == "add" else (module, "write_index")), die)
        with pytest.raises(SystemError, match="killed here"):
            run(sample_set, tmp_path, url, corpus_dir)
    assert (tmp_path / NAMES[0]).exists()
    assert finished_files(tmp_path) == []
    assert status(tmp_path)["state"] == "failed"
    assert run(sample_set, tmp_path, url, corpus_dir).num_files == 3
    assert files(tmp_path) == files(whole)


def test_held_out_batches_are_those_that_a_training_asks_for(
    commands: Commands, metainfo: MetaInfo, url: str, tmp_path: Path
) -> None:
    # a corpus this small has held-out files for attributes, hardly for more
    others = {f"{task}_proportion": 0 for task in TASKS if task != "attr"}
    weights = [word for name in others for word in ("--overrides", f"samples.{name}=0")]
    told = commands.run(tmp_path / "validation", "--held-out", "--data-steps", "0", "--server", url, *weights)
    config = CONFIG.model_copy(update={"samples": CONFIG.samples.model_copy(update=others)})
    wanted = held_out_batches(url, metainfo, config)
    assert told["num_batches_made"] == config.train.num_validation_batches == len(wanted)
    folder = SampleFolder(tmp_path / "validation", metainfo, config, "validation")
    for step, batch in enumerate(wanted):
        file = folder.open(step)
        assert file is not None
        assert file.header.split == "validation"
        assert file.json_text(step) == batch.to_json_text()
    folder.close()
    with pytest.raises(DataError, match="is of another request"):
        SampleFolder(tmp_path / "validation", metainfo, config, "train").open(0)


def test_it_pauses_until_files_are_fetched_and_makes_none_again(
    sample_set: SampleSet, corpus_dir: Path, whole: Path, tmp_path: Path, url: str
) -> None:
    out, fetched = tmp_path / "out", tmp_path / "fetched"
    fetched.mkdir()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, sample_set, out, url, corpus_dir, max_bytes=1)
        try:
            for position, name in enumerate(NAMES):
                expected = ("done" if name == NAMES[-1] else "paused", position + 1)
                wait_until(lambda: state_of(out) == expected, 60, f"state {expected}")  # noqa: B023
                assert [each.file_name for each in finished_files(out)] == [name]
                for path in (out / name, (out / name).with_suffix(".idx")):
                    shutil.copy(path, fetched)
                    path.unlink()
        except BaseException:
            shutil.rmtree(out)  # a generator that waits for room would wait for ever
            raise
        assert running.result().num_files == 3
    assert files(fetched) == files(whole)
    again = run(sample_set, out, url, corpus_dir)
    assert (again.num_ranges, again.num_files, again.num_batches) == (3, 0, 0)
    assert files(out) == {}


def test_when_nobody_fetches_anything_for_long_it_fails(
    sample_set: SampleSet, corpus_dir: Path, whole: Path, tmp_path: Path, url: str
) -> None:
    with pytest.raises(ServiceError, match=r"for 0 s nobody has fetched any of the [0-9,]+ bytes in"):
        run(sample_set, tmp_path, url, corpus_dir, max_bytes=1, patience_seconds=0.05)
    assert [name.file_name for name in finished_files(tmp_path)] == NAMES[:1]
    assert status(tmp_path)["state"] == "failed"
    run(sample_set, tmp_path, url, corpus_dir)  # what is there stays
    assert files(tmp_path) == files(whole)


def test_on_a_full_disk_it_waits(commands: Commands, whole: Path, tmp_path: Path, url: str) -> None:
    """A limit of the size of files stands for the disk: it is there from the start, and then lifted."""

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))

    process = commands.start(tmp_path, "--server", url, preexec_fn=small_disk)
    try:
        wait_until(lambda: status(tmp_path)["state"] == "paused", 60, "the pause", process=process)
        told = status(tmp_path)
        assert told["last_error"] == f"{tmp_path / NAMES[0]} cannot be written: File too large"
        assert (told["num_ranges_made"], told["num_batches"]) == (0, 4)
        assert finished_files(tmp_path) == []
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert err.count("paused: ") == 1
    assert files(tmp_path) == files(whole)


def test_two_hosts_make_the_whole_between_them(
    sample_set: SampleSet, corpus_dir: Path, whole: Path, tmp_path: Path, url: str
) -> None:
    shares = share_out(sample_set.numbers, ["a", "b"])
    for host, numbers in shares.items():
        run(sample_set, tmp_path / host, url, corpus_dir, numbers=numbers)
    first, second = files(tmp_path / "a"), files(tmp_path / "b")
    assert not first.keys() & second.keys()
    assert first | second == files(whole)


def test_a_host_takes_over_ranges_of_another(
    sample_set: SampleSet, corpus_dir: Path, whole: Path, tmp_path: Path, url: str
) -> None:
    assert run(sample_set, tmp_path, url, corpus_dir, numbers=[1]).num_files == 1
    assert run(sample_set, tmp_path, url, corpus_dir, numbers=[0, 1, 2]).num_files == 2
    assert files(tmp_path) == files(whole)


def test_more_steps_lengthen_the_last_file(
    sample_set: SampleSet, corpus_dir: Path, whole: Path, tmp_path: Path, url: str
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    assert run(replace(sample_set, data_steps=12), tmp_path, url, corpus_dir).num_batches == 4
    assert [name.file_name for name in finished_files(tmp_path)] == [*NAMES, "000000008-4-3.samples"]


def test_a_folder_with_samples_of_something_else_is_refused(
    sample_set: SampleSet, corpus_dir: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    before = files(tmp_path)
    others = [
        (replace(sample_set, samples_per_file=5), "samples_per_file was 4, now 5"),
        (replace(sample_set, config=CONFIG.model_copy(update={"train": TrainConfig(seed=4)})), "request_digest was "),
        (replace(sample_set, metainfo=_other_metainfo(sample_set.metainfo)), "metainfo_digest was "),
    ]
    for other, difference in others:
        with pytest.raises(DataError) as caught:
            run(other, tmp_path, "", corpus_dir)
        assert caught.value.message.startswith(f"{tmp_path} holds samples of something else: {difference}")
    assert files(tmp_path) == before


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema_version": 1, "data_steps": 11, "of": {}, "ranges": ["0"]}'])
def test_a_ledger_that_is_none_is_refused(sample_set: SampleSet, corpus_dir: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / ".datagen").mkdir()
    (tmp_path / ".datagen" / "made.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"made\.json is no ledger"):
        run(sample_set, tmp_path, "", corpus_dir)


def test_two_generators_in_one_folder_are_refused(
    sample_set: SampleSet, corpus_dir: Path, tmp_path: Path, url: str
) -> None:
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(run, sample_set, tmp_path, url, corpus_dir, max_bytes=1)
        wait_until(lambda: status(tmp_path)["state"] == "paused", 60, "the pause")
        with pytest.raises(ConfigError) as caught:
            run(sample_set, tmp_path, url, corpus_dir)
        assert caught.value.message == f"another generator works in {tmp_path} (process {os.getpid()})"
        wait_until(lambda: _is_emptied(tmp_path) and running.done(), 60, "the end")


def test_a_server_of_another_corpus_is_refused(sample_set: SampleSet, corpus_dir: Path, tmp_path: Path) -> None:
    with toy_server(tmp_path / "server") as server, pytest.raises(DataError, match="serves the corpus c0ffee"):
        run(sample_set, tmp_path / "out", server.url, corpus_dir)
    told = status(tmp_path / "out")
    assert told["state"] == "failed"
    assert told["last_error"].startswith(f"the server at {server.url} serves the corpus c0ffee")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": [0, 3]}, "there is no range 3: 11 steps make 3 files"),
        ({"max_bytes": 0}, "max_bytes must be at least 1, not 0"),
    ],
)
def test_settings_out_of_their_limits_are_refused(
    sample_set: SampleSet, corpus_dir: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(sample_set, tmp_path, "", corpus_dir, **options)
    assert caught.value.message == message
    assert list(tmp_path.iterdir()) == []


def _stems() -> list[str]:
    return [name.removesuffix(".samples") for name in NAMES]


def _other_metainfo(metainfo: MetaInfo) -> MetaInfo:
    header = metainfo.header.model_copy(update={"packages_digest": "other"})
    return MetaInfo.model_validate(metainfo.model_copy(update={"header": header}).model_dump())


def _is_emptied(folder: Path) -> bool:
    for name in finished_files(folder):
        for each in (name.file_name, name.index_name):
            (folder / each).unlink()
    return True
