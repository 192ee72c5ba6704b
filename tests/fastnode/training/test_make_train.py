"""Where `make train` takes its samples from, by what `make -n` would run."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", *(path.name for path in ROOT.glob("*.mk")), "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in (".ci", "config"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def commands(checkout: Path, *arguments: str) -> dict[str, str]:
    """The commands of the library that would run, by name."""
    command = ["make", "-n", "DRY_RUN=1", "MODEL_NAME=m", "DATA_DIR=/d a", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    lines = done.stdout.replace("\\\n", " ").splitlines()
    found = [line.partition(" -m fastnode_ops ")[2] for line in lines if " -m fastnode_ops " in line]
    return {line.split()[0]: line for line in found}


def test_samples_come_from_the_server_or_from_files(checkout: Path) -> None:
    assert "--data" not in commands(checkout, "train")["train-model"]
    synced = commands(checkout, "train", "SYNC_DATA=1")["train-model"]
    assert "--data-dir '/d a' --syncer http://localhost:3087 --data-steps 10 " in synced
    local = commands(checkout, "train", "DATA_GEN_LOCAL=1", "DATA_STEPS=5")["train-model"]
    assert "--data-dir '/d a'" in local
    assert "--data-steps 5 " in local
    assert "--syncer" not in local


def test_a_continuation_reads_the_set_of_its_training(checkout: Path) -> None:
    assert "--data-steps 0 " in commands(checkout, "continue", "SYNC_DATA=1")["continue-training"]
    assert "--data-steps 7 " in commands(checkout, "continue", "SYNC_DATA=1", "DATA_STEPS=7")["continue-training"]


def test_a_machine_without_a_corpus_keeps_the_metainfo_that_was_brought(checkout: Path) -> None:
    (checkout / "out").mkdir()
    (checkout / "out" / "metainfo.json").write_text("{}")
    assert commands(checkout, "train", "SYNC_DATA=1").keys() == {"train-model"}
    assert commands(checkout, "train").keys() == {"build-corpus", "build-metainfo", "train-model"}


def test_another_source_runs_the_training_again(checkout: Path) -> None:
    texts = set()
    for arguments in ((), ("SYNC_DATA=1",), ("DATA_GEN_LOCAL=1",), ("DATA_GEN_LOCAL=1", "DATA_STEPS=5")):
        subprocess.run(
            ["make", "DRY_RUN=1", "tmp/params/train.txt", *arguments], cwd=checkout, capture_output=True, check=True
        )
        texts.add((checkout / "tmp" / "params" / "train.txt").read_text())
    assert len(texts) == 4
