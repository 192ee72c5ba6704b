"""A released model that was evaluated on other blocks is fetched, checked, and evaluated on the candidate's."""

from pathlib import Path

import pytest

from gematria_ops.inference.evaluation_report import read_report_json
from gematria_ops.tasks import (
    build_vocabulary,
    check_release,
    evaluate_model,
    import_bhive,
    release_model,
    train_model,
    upload_model,
)
from ops_common.errors import ArtifactError
from ops_common.object_store import ObjectStore
from ops_common.release_record import ReleaseRecord, read_release
from ops_common.releases import read_released
from tests.local_s3 import IMPATIENT, destination, shared_s3  # noqa: F401 - fixtures

# ruff: noqa: F811 - a fixture's name is an argument's name

pytestmark = [pytest.mark.slow, pytest.mark.tf]

ROOT = Path(__file__).parents[2]
TINY = [
    "num_steps=4",
    "model.token_embedding_size=4",
    "model.instruction_embedding_size=4",
    "model.block_embedding_size=4",
    "model.task_output_layers=[4]",
]


def evaluated_run(folder: Path, num_blocks: int) -> Path:
    """A run on the first blocks of a sample: its data set is `<folder>-data`."""
    csv_file, dataset_dir = folder.with_suffix(".csv"), f"{folder}-data"
    lines = (ROOT / "tests/data/bhive/sample_hsw.csv").read_text().splitlines()[:num_blocks]
    csv_file.write_text("\n".join(lines) + "\n")
    import_bhive(csv_files=[str(csv_file)], source_names=["llvm-mca: hsw"], dataset_dir=dataset_dir, num_workers=1)
    build_vocabulary(dataset_dir=dataset_dir)
    smoke = str(ROOT / "config/gematria/smoke.toml")
    train_model(dataset_dir=dataset_dir, run_dir=str(folder), config_file=smoke, overrides=TINY)
    evaluate_model(run_dir=str(folder), dataset_dir=dataset_dir)
    return folder


def gate(run: Path, destination: str) -> ReleaseRecord:
    check_release(
        run_dir=str(run),
        max_mape_percent=1000,
        require_better_than_baselines=False,
        max_mape_increase_points=1000,
        destination=destination,
        dataset_dir=f"{run}-data",
    )
    record = read_release(run)
    assert record is not None
    return record


def test_the_released_model_is_evaluated_on_the_blocks_of_the_candidate(tmp_path: Path, destination: str) -> None:
    first = evaluated_run(tmp_path / "first", 150)
    assert gate(first, destination).compared_with == ""
    uploaded = upload_model(run_dir=str(first), destination=destination)
    done = release_model(run_dir=str(first), destination=destination, model_uri=str(uploaded["manifest_uri"]))
    released = read_released(destination)
    assert released is not None and released.model_uri == done["model_uri"]

    second = evaluated_run(tmp_path / "second", 250)
    record = gate(second, destination)
    assert record.compared_with == done["model_uri"]
    assert record.notes == (f"{done['model_uri']} was evaluated again, on the held-out blocks of the candidate",)
    (interval,) = record.intervals
    mine = read_report_json(second / "reports/evaluation.json")
    again = read_report_json(second / "released/evaluation.json")
    assert again.dataset.sha256 == mine.dataset.sha256
    assert again.model.sha256 == read_report_json(first / "reports/evaluation.json").model.sha256
    errors = [report.tasks[0].model.mape_percent for report in (mine, again)]
    assert errors[0] is not None and errors[1] is not None
    assert interval.difference == pytest.approx(errors[0] - errors[1], abs=0.01)

    weights = next(key for key in released_keys(destination) if "bundle/" in key and "weights" in key)
    ObjectStore.from_uri(destination, policy=IMPATIENT).put_bytes(b"damaged", weights)
    (second / "release.json").unlink()
    with pytest.raises(ArtifactError, match="has SHA-256"):
        gate(second, destination)
    assert read_release(second) is None  # a damaged model decides nothing about the candidate


def released_keys(destination: str) -> list[str]:
    return [info.key for info in ObjectStore.from_uri(destination, policy=IMPATIENT).list_objects()]
