"""Blocks read by a child process are those that are read here; its errors come over, and it never stays behind."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.config import RunnerConfig
from gematria_ops.encode.encoded_blocks import EncodedBlocks
from gematria_ops.encode.loading import BlockLoader, load_encoded_blocks, load_vocabulary
from ops_common.errors import DataError, OpsError
from tests.gematria.small_blocks import write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"), 40)


def settings(data: tuple[Path, Path], *overrides: str) -> RunnerConfig:
    return RunnerConfig.from_toml(None, [f"input.files={data[0]}", f"tokens.file={data[1]}", *overrides])


def arrays(encoded: EncodedBlocks) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(encoded).items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ['input.source_filters=["test: one", "test: two"]', "input.throughput_selection=RANDOM"],
        ["model.seq2seq=true", "input.scaling=0.5"],
    ],
)
def test_the_child_answers_what_this_process_would(overrides: list[str], data: tuple[Path, Path]) -> None:
    config = settings(data, *overrides)
    here = load_encoded_blocks(config, config.input.files, load_vocabulary(config))
    with BlockLoader(config, min_bytes=0) as loader:
        there = loader.load()
    assert arrays(here).keys() == arrays(there).keys()
    assert all(np.array_equal(arrays(here)[name], arrays(there)[name]) for name in arrays(here))
    assert (there.vocabulary, there.num_tasks, there.dropped) == (here.vocabulary, here.num_tasks, here.dropped)


@pytest.mark.parametrize("min_bytes", [0, 1 << 30])
def test_errors_are_those_of_the_reading(
    min_bytes: int, data: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with BlockLoader(settings(data, "input.source_filters=none"), min_bytes) as loader:
        with pytest.raises(DataError, match="matches no source") as caught:
            loader.load()
    assert "test: one" in caught.value.hint


@pytest.mark.parametrize("min_bytes", [0, 1 << 30])
def test_what_is_dropped_is_told(
    min_bytes: int, data: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(data[1].read_text().replace("DIV\n", ""))
    config = settings(
        (data[0], tokens), 'tokens.out_of_vocabulary_replacement_token=""', "input.drop_invalid_blocks=true"
    )
    with caplog.at_level(logging.INFO), BlockLoader(config, min_bytes) as loader:
        encoded = loader.load()
    assert encoded.dropped["unknown token"] == 40 - encoded.num_blocks > 0
    assert f"{encoded.dropped['unknown token']} blocks dropped: unknown token" in caplog.text
    assert f"{encoded.num_blocks} blocks, " in caplog.text


def test_small_files_are_read_here(data: tuple[Path, Path]) -> None:
    with BlockLoader(settings(data)) as loader:
        assert loader._child is None
        assert loader.load().num_blocks == 40


def test_a_missing_file_is_named_when_it_is_read(data: tuple[Path, Path], tmp_path: Path) -> None:
    with BlockLoader(settings((tmp_path / "none.tfrecord", data[1])), min_bytes=0) as loader:
        with pytest.raises(DataError, match=r"none\.tfrecord does not exist"):
            loader.load()


def test_a_child_that_is_killed_is_told(data: tuple[Path, Path]) -> None:
    with BlockLoader(settings(data), min_bytes=0) as loader:
        assert loader._child is not None
        loader._child.kill()
        with pytest.raises(OpsError, match="ended with exit code -9"):
            loader.load()


def test_a_child_that_nobody_asks_is_ended(data: tuple[Path, Path]) -> None:
    with pytest.raises(KeyboardInterrupt):
        with BlockLoader(settings(data), min_bytes=0) as loader:
            child = loader._child
            raise KeyboardInterrupt
    assert child is not None
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_reading_needs_no_tensorflow() -> None:
    program = "import sys, gematria_ops.encode.loading; print('tensorflow' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"
