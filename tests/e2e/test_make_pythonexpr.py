"""The Makefile's path of the completion model, in a folder with the checkout's names and its own files."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.embedded_platform import ROOT

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.timeout(1_800)]

MADE_HERE = {".git", ".ops", "out", "tmp", "bin", "tensorboard", "corpus", "run-db"}
SMALL = {"DRY_RUN": "1", "CORPUS_MAX_FILES": "120", "NUM_VALIDATE_SAMPLES": "15", "MODEL_NAME": "smoke", "STEPS": "6"}
FILES = (  # specification 2.2
    "out/metainfo.json",
    "out/serve/metainfo-inference.json",
    "tmp/ckpt-5.index",
    "tmp/checkpoint",
    "out/saved_model/saved_model.pb",
    "out/expr_model.uncompressed.frozen.pb",
    "out/serve/expr_model.frozen.pb",
    "tmp/attr-fallback-pipeline.txt",
    "out/serve/attr-fallback.txt",
    "out/curated-examples/attr.json",
    "out/tensorboard/smoke",
    "tensorboard/smoke/train_summary",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pythonexpr") / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in MADE_HERE:
            (folder / entry.name).symlink_to(entry)
    return folder


def make(folder: Path, *targets: str, **variables: str) -> str:
    """Run make; return what it printed. The variables come from the environment, as a person gives them."""
    environment: Mapping[str, str] = {**os.environ, **SMALL, "SERVER": "http://127.0.0.1:9", **variables}
    command = ["make", "--no-print-directory", *targets]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=590
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def steps(printed: str) -> list[str]:
    """The commands of ours that make has run."""
    words = (line.split() for line in printed.splitlines() if " -m fastnode_ops " in line)
    return [line[line.index("fastnode_ops") + 1] for line in words]


def test_the_whole_path(checkout: Path) -> None:
    assert steps(make(checkout)) == [
        "build-corpus",
        "build-metainfo",
        "train-model",
        "compress-model",
        "convert-metainfo",
        "validate-attributes",
        "rebuild-curated-examples",
    ]
    assert not [name for name in FILES if not (checkout / name).exists()]
    assert list((checkout / "tmp/uncurated-examples/attr").glob("example-*.json"))
    curated = json.loads((checkout / "out/curated-examples/attr.json").read_text().split("\n}\n")[0] + "\n}")
    assert curated["Provided"]


def test_nothing_runs_again(checkout: Path) -> None:
    assert steps(make(checkout)) == []


def test_a_changed_variable_runs_what_depends_on_it(checkout: Path) -> None:
    assert steps(make(checkout, NUM_VALIDATE_SAMPLES="12")) == ["validate-attributes", "rebuild-curated-examples"]
    again = steps(make(checkout, NUM_VALIDATE_SAMPLES="12", CODEBOOK_MAX_EPOCHS="4"))
    assert again == ["compress-model", "validate-attributes", "rebuild-curated-examples"]


def test_continue_goes_on_and_the_curves_join(checkout: Path) -> None:
    assert steps(make(checkout, "continue", STEPS="3")) == ["continue-training"]
    assert (checkout / "tmp/ckpt-8.index").exists()
    assert (checkout / "tensorboard/smoke_continue/train_summary").is_dir()
    assert (checkout / "tensorboard/smoke/train_summary").is_dir()
    rest = {"NUM_VALIDATE_SAMPLES": "12", "CODEBOOK_MAX_EPOCHS": "4"}
    assert steps(make(checkout, **rest)) == ["compress-model", "validate-attributes", "rebuild-curated-examples"]


@pytest.mark.long
def test_the_training_and_its_continuation_are_repeated_identically(checkout: Path, tmp_path: Path) -> None:
    if not (checkout / "tmp/ckpt-8.index").exists():  # the tests before this one were not asked for
        make(checkout)
        make(checkout, "continue", STEPS="3")
        make(checkout)
    printed = make(checkout, "repeat", RUN=".", OPS_HOME=str(tmp_path))
    assert "differ" not in printed.replace("first difference", ""), printed
    (folder,) = (tmp_path / "repeats").iterdir()
    compared = json.loads((folder / "comparison.json").read_text())["files"]
    outcomes = {entry["name"]: entry["outcome"] for entry in compared}
    for name in ("out/expr_model.weights.npz", "out/serve/expr_model.frozen.pb", "out/serve/metainfo-inference.json"):
        assert outcomes[name] == "identical"


def test_upload_goes_to_a_folder_of_the_time(checkout: Path, tmp_path: Path) -> None:
    assert steps(make(checkout, "upload", UPLOAD_ROOT=str(tmp_path))) == ["upload-model"]
    (uploaded,) = tmp_path.iterdir()
    manifest = json.loads((uploaded / "MANIFEST.json").read_text())
    assert len(uploaded.name) == len("20240131T235959Z")
    assert "serve/expr_model.frozen.pb" in json.dumps(manifest)


def test_clean_leaves_the_continuation_and_the_corpus(checkout: Path) -> None:
    make(checkout, "clean")
    assert not [name for name in ("out", "tmp", "tensorboard/smoke") if (checkout / name).exists()]
    assert (checkout / "tensorboard/smoke_continue").is_dir()
    assert (checkout / "corpus/dry-run/manifest.json").exists()
