"""The completion model through the real services: from code to a pinned and packed model, and further training."""

import json
from pathlib import Path
from typing import Any

import pytest
from ops_platform.embedded.results import s3_client
from ops_platform.run_folders import run_dir

from tests.e2e.embedded_platform import Platform, read_json

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.slow]

STANDALONE, CONTINUE, BACK = "pythonexpr_standalone", "pythonexpr_continue", "release_rollback"
REGISTRY = "fastnode-go/lang/python/pythonmodels/models.json"
PASSES = {
    "num_validate_samples": 6,
    "max_recall_drop": 1,
    "min_margin_over_popularity": -1,
    "min_situations": 1,
    "min_answered_share": 0,
}
SMALL = {
    "model_name": "tiny",
    "steps": 4,
    "corpus": "tiny-python",
    "sources": ["stdlib"],
    "max_files": 100,
    "config_file": "config/fastnode/smoke.toml",
    "codebook_max_epochs": 2,
    **PASSES,
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("product")


@pytest.fixture(scope="module")
def finished(platform: Platform, product: Path) -> str:
    run = platform.trigger(STANDALONE, **SMALL, checkout=str(product))
    state = platform.wait(STANDALONE, run, 500)
    assert state == "success", platform.api.task_states(STANDALONE, run)
    return run


def manifest_of(platform: Platform, uploaded: dict[str, Any]) -> dict[str, Any]:
    (uri,) = [str(value) for value in uploaded.values() if str(value).endswith("/MANIFEST.json")]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body = s3_client(platform.layout, platform.instance).get_object(Bucket=bucket, Key=key)["Body"].read()
    manifest: dict[str, Any] = json.loads(body)
    return manifest


def test_code_becomes_a_pinned_and_packed_model(platform: Platform, finished: str, product: Path) -> None:
    folder = run_dir(platform.layout.config.runs_root, STANDALONE, finished)
    states = platform.api.task_states(STANDALONE, finished)
    assert states["stop_server"] == "success"
    assert states["pin_model"] == states["rebuild_datadeps"] == "success"
    assert not (folder / "tmp/server.json").exists()  # the server of the run is gone
    assert (folder / "DONE").is_file() and "The run ended well." in (folder / "reports/run.html").read_text()
    trained = platform.api.xcom(STANDALONE, finished, "train_model")
    assert trained == read_json(folder / "results/train_model.json")
    assert trained["global_step"] == 4
    manifest = manifest_of(platform, platform.api.xcom(STANDALONE, finished, "upload_model"))
    assert "serve/expr_model.frozen.pb" in json.dumps(manifest)
    packed = read_json(product / "datadeps/manifest.json")
    assert (product / "datadeps/data.bin").stat().st_size > 0
    assert "expr_model.frozen.pb" in json.dumps(packed)


def test_a_finished_run_is_trained_further(platform: Platform, finished: str) -> None:
    run = platform.trigger(CONTINUE, run=finished, steps=3, pin=False, **PASSES)
    assert platform.wait(CONTINUE, run, 400) == "success", platform.api.task_states(CONTINUE, run)
    assert platform.api.xcom(CONTINUE, run, "continue_training")["global_step"] == 7
    states = platform.api.task_states(CONTINUE, run)
    assert (states["release_model"], states["pin_model"]) == ("success", "skipped")


@pytest.mark.long
def test_a_completion_model_is_rolled_back_and_pinned_again(platform: Platform, finished: str, product: Path) -> None:
    first = platform.api.xcom(STANDALONE, finished, "upload_model")["model_uri"]
    compared = {**PASSES, "max_recall_drop": 0.99}
    again = platform.trigger(CONTINUE, run=finished, steps=1, checkout=str(product), **compared)
    assert platform.wait(CONTINUE, again, 400) == "success", platform.api.task_states(CONTINUE, again)
    checked = platform.api.xcom(CONTINUE, again, "check_release")
    assert checked["compared_with"].startswith("s3://models/python-ggnn-expr-completion/")
    assert checked["top_1_share_low"] <= checked["top_1_share"] <= checked["top_1_share_high"]
    assert first not in (product / REGISTRY).read_text()
    back = platform.trigger(BACK, family="pythonexpr", to=first, checkout=str(product), why="names")
    assert platform.wait(BACK, back) == "success", platform.api.task_states(BACK, back)
    states = platform.api.task_states(BACK, back)
    assert (states["gematria.roll_back_model"], states["pythonexpr.rebuild_datadeps"]) == ("skipped", "success")
    assert f"{first}/serve" in (product / REGISTRY).read_text()
    assert first in json.dumps(read_json(product / "datadeps/manifest.json"))
    folder = run_dir(platform.layout.config.runs_root, CONTINUE, again)
    assert read_json(folder / "release.json")["decision"] == "rolled_back"
