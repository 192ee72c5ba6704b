"""What may be asked of the workflows: limits, contradictions, and the plans that follow."""

import os
from pathlib import Path
from typing import Any

import pytest

from gematria_ops.requests import (
    ImportRequest,
    NoDatasetYet,
    TrainRequest,
    find_dataset,
    plan_import,
    plan_training,
)
from ops_common.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with a CSV file, an experiment, and two data sets, of which `newer` is the newer one."""
    (tmp_path / "blocks.csv").write_text("90,100\n")
    (tmp_path / "ithemal.toml").write_text("num_steps = 500\n[batch]\nmax_blocks = 100\n")
    for index, name in enumerate(("older", "newer")):
        folder = make_dataset(tmp_path / "data" / name)
        os.utime(folder / "tokens.txt", (1000 + index, 1000 + index))
    unfinished = make_dataset(tmp_path / "data" / "unfinished")
    (unfinished / "manifest.json").write_text('{"files": {"train.tfrecord": {}}}')
    return tmp_path


def make_dataset(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"files": {"train.tfrecord": {}, "tokens.txt": {}}}')
    (folder / "tokens.txt").write_text("ADD\n")
    return folder


def importing(root: Path, **values: Any) -> dict[str, Any]:
    values = {"csv_files": ["blocks.csv"], "source_names": ["bhive: hsw"], **values}
    return plan_import(values, project_root=root, data_root=root / "data", run_name="run-7")


def training(root: Path, **values: Any) -> dict[str, Any]:
    values = {"config_file": "ithemal.toml", **values}
    return plan_training(
        values, project_root=root, data_root=root / "data", run_dir=root / "runs/7", destination="s3://models/gematria"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"validation_percent": -1},
            "conf: validation_percent: Input should be greater than or equal to 0 (given: -1)",
        ),
        ({"test_percent": 51}, "conf: test_percent: Input should be less than or equal to 50 (given: 51)"),
        (
            {"throughput_scaling": 0},
            "conf: throughput_scaling: Input should be greater than or equal to 0.000000001 (given: 0)",
        ),
        (
            {"throughput_scaling": float("nan")},
            "conf: throughput_scaling: Input should be a finite number (given: nan)",
        ),
        ({"max_rejected_share": 2}, "conf: max_rejected_share: Input should be less than or equal to 1 (given: 2)"),
        ({"num_workers": 0}, "conf: num_workers: Input should be greater than or equal to 1 (given: 0)"),
        ({"csv_files": []}, "conf: csv_files: List should have at least 1 item"),
        ({"csv_files": "blocks.csv"}, "conf: csv_files: Input should be a valid list (given: 'blocks.csv')"),
        ({"dataset": "../elsewhere"}, "conf: dataset: String should match pattern"),
        ({"dataset": "a/b"}, "conf: dataset: String should match pattern"),
        ({"csv_file": ["x"]}, "conf: unknown setting 'csv_file'\n  hint: did you mean 'csv_files'?"),
        (
            {"source_names": ["a", "b"]},
            "conf: csv_files and source_names go together, one name for each file: 1 files, 2 names",
        ),
        (
            {"csv_files": ["blocks.csv"] * 2, "source_names": ["a", "a"]},
            "conf: source_names: each name once, repeated: a",
        ),
        ({"train_conf": {"training_steps": 0}}, "conf: train_conf: training_steps: Input should be greater than or"),
        ({"train_conf": {"steps": 9}}, "conf: train_conf: unknown setting 'steps'"),
        ({"train_conf": []}, "conf: train_conf: Input should be a valid dictionary (given: [])"),
    ],
)
def test_wrong_import_requests_name_the_field_and_what_is_allowed(
    root: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        importing(root, **values)
    assert message in str(caught.value)


def test_a_csv_file_that_does_not_exist_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"conf: csv_files: .*/absent\.csv does not exist"):
        importing(root, csv_files=["absent.csv"])


def test_an_import_plan_leaves_nothing_open(root: Path) -> None:
    plan = importing(root, train_conf={"training_steps": 5})
    assert plan["csv_files"] == [str(root / "blocks.csv")]
    assert plan["dataset_dir"] == str(root / "data/run-7")
    assert plan["train_conf"] == {"training_steps": 5}
    assert importing(root, dataset="mine")["dataset_dir"] == str(root / "data/mine")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training_steps": 0}, "conf: training_steps: Input should be greater than or equal to 1 (given: 0)"),
        ({"training_steps": 2.5}, "conf: training_steps: Input should be a valid integer"),
        ({"max_minutes": 0}, "conf: max_minutes: Input should be greater than or equal to 0.05 (given: 0)"),
        (
            {"learning_rate": -0.1},
            "conf: learning_rate: Input should be greater than or equal to 0.00000001 (given: -0.1)",
        ),
        ({"max_blocks_in_batch": 0}, "conf: max_blocks_in_batch: Input should be greater than or equal to 1"),
        ({"block_embedding_size": 33}, "conf: block_embedding_size: Input should be a multiple of 2 (given: 33)"),
        ({"random_seed": -2}, "conf: random_seed: Input should be greater than or equal to -1 (given: -2)"),
        ({"max_mape_percent": 0}, "conf: max_mape_percent: Input should be greater than or equal to 0.01 (given: 0)"),
        ({"evaluation_split": "train"}, "conf: evaluation_split: Input should be 'validation' or 'test'"),
        ({"destination": "/tmp/models"}, "conf: destination: String should match pattern"),
        ({"destination": "s3://Models"}, "conf: destination: String should match pattern"),
        ({"overrides": ["optimizer.decay_rate"]}, "'optimizer.decay_rate' is not section.key=value"),
        ({"overrides": ["optimizer.lerning_rate=1"]}, "unknown setting 'optimizer.lerning_rate'"),
        ({"overrides": ["batch.max_blocks=-1"]}, "batch.max_blocks: Input should be greater than or equal to 0"),
        ({"config_file": "absent.toml"}, "absent.toml"),
        ({"trainning_steps": 3}, "conf: unknown setting 'trainning_steps'\n  hint: did you mean 'training_steps'?"),
    ],
)
def test_wrong_training_requests_name_the_field_and_what_is_allowed(
    root: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        training(root, **values)
    assert message in str(caught.value)


def test_a_training_plan_leaves_nothing_open(root: Path) -> None:
    assert training(root) == {
        "dataset_dir": str(root / "data/newer"),
        "run_dir": str(root / "runs/7"),
        "config_file": str(root / "ithemal.toml"),
        "overrides": [],
        "split": "validation",
        "max_mape_percent": 25.0,
        "require_better_than_baselines": True,
        "compare_with_released": True,
        "max_mape_increase_points": 2.0,
        "confidence": 0.95,
        "num_resamples": 1000,
        "comparison_seed": 0,
        "require_approval": False,
        "approval_hours": 12.0,
        "release": True,
        "destination": "s3://models/gematria",
        "pod": {},
    }


def test_a_pod_that_cannot_be_had_is_named(root: Path) -> None:
    assert training(root, pod={"gpus": 1})["pod"] == {"gpus": 1}
    with pytest.raises(ConfigError, match=r"pod: .*gpu"):
        training(root, pod={"gpu": 1})


def test_fields_become_settings_and_free_overrides_come_last(root: Path) -> None:
    plan = training(
        root,
        training_steps=7,
        max_minutes=0.5,
        learning_rate=1e-4,
        token_embedding_size=8,
        random_seed=-1,
        overrides=["num_steps=9"],
        destination="s3://elsewhere/models",
    )
    assert plan["overrides"] == [
        "num_steps=7",
        "max_seconds=30.0",
        "random_seed=-1",
        "optimizer.learning_rate=0.0001",
        "model.token_embedding_size=8",
        "num_steps=9",
    ]
    assert plan["destination"] == "s3://elsewhere/models"


def test_a_data_set_is_found_by_name_by_path_or_as_the_newest(root: Path) -> None:
    data = root / "data"
    assert find_dataset(data, "older") == data / "older"
    assert find_dataset(data, str(data / "older")) == data / "older"
    assert find_dataset(data, None) == data / "newer"


def test_an_unfinished_data_set_is_not_taken(root: Path) -> None:
    with pytest.raises(DataError, match="unfinished is not a finished data set") as caught:
        find_dataset(root / "data", "unfinished")
    assert "newer, older" in caught.value.hint


def test_no_data_set_at_all_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(NoDatasetYet, match=r"there is no data set in .*/data yet"):
        find_dataset(tmp_path / "data", None)


@pytest.mark.parametrize("request_model", [ImportRequest, TrainRequest])
def test_every_field_has_a_default_and_says_what_it_is(request_model: type[TrainRequest] | type[ImportRequest]) -> None:
    for name, field in request_model.model_fields.items():
        assert not field.is_required(), name
        assert field.description and field.description.endswith("."), name
    assert request_model()  # the defaults are allowed values
