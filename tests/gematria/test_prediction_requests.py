"""What may be asked of gematria_predict: the model that is chosen, the input, and the plan that follows."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gematria_ops.prediction_requests import PredictRequest, find_model, plan_prediction
from ops_common.errors import ConfigError, DataError


def upload(run_dir: Path, time: int) -> str:
    """What upload_model leaves of itself in a run's folder."""
    path = run_dir / "results" / "upload_model.json"
    path.parent.mkdir(parents=True)
    uri = f"s3://models/gematria/{run_dir.name}/bundle"
    path.write_text(json.dumps({"bundle_uri": uri}))
    os.utime(path, (time, time))
    return uri


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with input files and three runs: a newer and an older with a model, the newest without."""
    for name in ("blocks.csv", "blocks.csv.gz", "blocks.tfrecord", "blocks.txt"):
        (tmp_path / name).write_text("90,100\n")
    upload(tmp_path / "runs" / "newer", 2000)
    upload(tmp_path / "runs" / "older", 1000)
    failed = tmp_path / "runs" / "failed" / "results"
    failed.mkdir(parents=True)
    (failed / "train_model.json").write_text("{}")
    return tmp_path


def predicting(root: Path, **values: Any) -> dict[str, Any]:
    return plan_prediction(
        {"input_file": "blocks.csv", **values},
        project_root=root,
        models_root=root / "runs",
        run_dir=root / "predictions/7",
        destination="s3://models/gematria/",
    )


def test_the_defaults_take_the_newest_model(root: Path) -> None:
    assert predicting(root) == {
        "run_dir": str(root / "predictions/7"),
        "bundle_dir": "s3://models/gematria/newer/bundle",
        "released_at": "s3://models/gematria/",
        "csv_file": str(root / "blocks.csv"),
        "tfrecord_file": None,
        "throughput_scaling": 0.01,
        "num_workers": 2,
        "output_file": str(root / "predictions/7/predictions.csv"),
        "destination": "s3://models/gematria-predictions",
    }


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("blocks.csv.gz", "csv_file"),
        ("blocks.tfrecord", "tfrecord_file"),
        ("s3://inputs/x.csv", "csv_file"),
        ("s3://inputs/x.tfrecords", "tfrecord_file"),
    ],
)
def test_the_ending_tells_what_is_in_the_file(root: Path, name: str, field: str) -> None:
    plan = predicting(root, input_file=name)
    found = {key: plan[key] for key in ("csv_file", "tfrecord_file")}
    expected = name if name.startswith("s3://") else str(root / name)
    assert found == {**dict.fromkeys(found), field: expected}


def test_everything_may_be_chosen(root: Path) -> None:
    plan = predicting(
        root,
        model="older",
        output_format="tfrecord",
        destination="s3://elsewhere/x",
        throughput_scaling=1,
        num_workers=3,
    )
    assert plan["bundle_dir"] == "s3://models/gematria/older/bundle"
    assert plan["output_file"].endswith("/predictions.tfrecord")
    assert (plan["destination"], plan["throughput_scaling"], plan["num_workers"]) == ("s3://elsewhere/x", 1, 3)
    assert predicting(root, model="s3://other/m/bundle")["bundle_dir"] == "s3://other/m/bundle"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"input_file": "no.csv"}, DataError, "conf: input_file: {root}/no.csv does not exist\n  hint: paths start at"),
        (
            {"input_file": "blocks.txt"},
            ConfigError,
            "conf: input_file: blocks.txt ends with none of .csv, .csv.gz, .tfrecord, .tfrecords",
        ),
        ({"input_file": ""}, ConfigError, "conf: input_file: String should have at least 1 character"),
        (
            {"model": "failed"},
            DataError,
            "conf: model: there is no run failed in {root}/runs that has uploaded a model\n"
            "  hint: give the id of a successful run of gematria_train, or the s3:// URI of a model",
        ),
        ({"throughput_scaling": 0}, ConfigError, "conf: throughput_scaling: Input should be greater than or equal to"),
        ({"output_format": "json"}, ConfigError, "conf: output_format: Input should be 'csv' or 'tfrecord'"),
        ({"destination": "/tmp/x"}, ConfigError, "conf: destination: String should match pattern"),
        ({"num_workers": 0}, ConfigError, "conf: num_workers: Input should be greater than or equal to 1"),
        ({"modell": "x"}, ConfigError, "conf: unknown setting 'modell'\n  hint: did you mean 'model'?"),
    ],
)
def test_refused(root: Path, values: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        predicting(root, **values)
    assert str(raised.value).startswith(message.format(root=root))


def test_without_any_model(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        find_model(tmp_path / "none", None)
    assert str(raised.value) == (
        f"conf: model: no run in {tmp_path}/none has uploaded a model yet\n  hint: run the DAG gematria_train first"
    )


def test_a_torn_result_is_no_model(root: Path) -> None:
    for content in ("{", "[]", "{}", "null"):
        (root / "runs/newer/results/upload_model.json").write_text(content)
        assert find_model(root / "runs", None) == "s3://models/gematria/older/bundle"


def test_the_default_input_is_in_the_checkout() -> None:
    assert (Path(__file__).parents[2] / PredictRequest().input_file).is_file()


def test_a_model_that_is_named_is_taken_whatever_is_released(root: Path) -> None:
    assert predicting(root)["released_at"] == "s3://models/gematria/"
    assert predicting(root, model="s3://models/gematria/older")["released_at"] == ""
