"""What a person may ask of predictions, and what follows from it; as `requests.py` does for trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gematria_ops.requests import S3_PLACE, SAMPLE_FILE, Plan
from ops_common.config import Section, build_config
from ops_common.errors import ConfigError, DataError

_S3 = "s3://"
_CSV_ENDINGS, _RECORD_ENDINGS = (".csv", ".csv.gz"), (".tfrecord", ".tfrecords")
_UPLOAD_RESULT = "results/upload_model.json"


class PredictRequest(Section):
    """Which blocks to predict, with which model, and where the predictions go."""

    input_file: str = Field(
        SAMPLE_FILE.format("hsw"),
        min_length=1,
        description="Blocks: a CSV file (.csv, .csv.gz: machine code in hex, then a label or none) or a TFRecord file "
        "(.tfrecord), from the checkout's root or at s3://.",
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="A run of gematria_train whose model is uploaded, or the s3:// URI of a model. Empty: the released "
        "one, or the newest where none is released.",
    )
    throughput_scaling: float = Field(
        0.01,
        ge=1e-9,
        le=1_000_000,
        description="Multiplies the labels of a CSV file; 0.01 turns cycles per 100 iterations into cycles.",
    )
    output_format: Literal["csv", "tfrecord"] = Field("csv", description="Form of the predictions.")
    destination: str | None = Field(
        None,
        pattern=S3_PLACE,
        description="Where the predictions are uploaded, s3://bucket/prefix. Empty: beside the deployment's models.",
    )
    num_workers: int = Field(2, ge=1, le=256, description="Processes that decode.")


def plan_prediction(
    values: Mapping[str, Any], *, project_root: Path, models_root: Path, run_dir: Path, destination: str
) -> Plan:
    """Check a request for predictions and make every choice that it leaves open.

    Args:
        values: The request's fields; a model that is no URI is the name of a run's folder.
        project_root: A relative input file is meant from here.
        models_root: Folder of the runs that train models.
        run_dir: Folder of this run.
        destination: Where models are published.

    Returns:
        `run_dir, bundle_dir, released_at, csv_file, tfrecord_file, throughput_scaling, num_workers, output_file,
        destination`.

    Raises:
        ConfigError: A field is unknown or out of range, or the input's ending says neither CSV nor TFRecord.
        DataError: There is no such model or no such file.
    """
    request = build_config(PredictRequest, values, where="conf")
    name = request.input_file
    if not name.endswith((*_CSV_ENDINGS, *_RECORD_ENDINGS)):
        raise ConfigError(
            f"conf: input_file: {name} ends with none of {', '.join((*_CSV_ENDINGS, *_RECORD_ENDINGS))}",
            "the ending tells what is in the file",
        )
    if not name.startswith(_S3):
        name = str(project_root / name)
        if not Path(name).is_file():
            raise DataError(
                f"conf: input_file: {name} does not exist", "paths start at the checkout's root, or are absolute"
            )
    is_csv = name.endswith(_CSV_ENDINGS)
    return {
        "run_dir": str(run_dir),
        "bundle_dir": find_model(models_root, request.model),
        "released_at": "" if request.model else destination,
        "csv_file": name if is_csv else None,
        "tfrecord_file": None if is_csv else name,
        "throughput_scaling": request.throughput_scaling,
        "num_workers": request.num_workers,
        "output_file": str(run_dir / f"predictions.{request.output_format}"),
        "destination": request.destination or f"{destination.rstrip('/')}-predictions",
    }


def find_model(models_root: Path, name: str | None) -> str:
    """The URI of an uploaded model: as given, of a run, or of the newest run that has uploaded one.

    Raises:
        DataError: The run has uploaded no model, or no run has.
    """
    if name and name.startswith(_S3):
        return name
    if name:
        uri = _uploaded_bundle(models_root / name)
        if uri is None:
            raise DataError(
                f"conf: model: there is no run {name} in {models_root} that has uploaded a model",
                "give the id of a successful run of gematria_train, or the s3:// URI of a model",
            )
        return uri
    for folder in sorted(models_root.glob("*"), key=_uploaded_at, reverse=True):
        uri = _uploaded_bundle(folder)
        if uri is not None:
            return uri
    raise DataError(
        f"conf: model: no run in {models_root} has uploaded a model yet", "run the DAG gematria_train first"
    )


def _uploaded_bundle(run_dir: Path) -> str | None:
    """The URI that a run's upload has told; None where it has not ended."""
    try:
        return str(json.loads((run_dir / _UPLOAD_RESULT).read_bytes())["bundle_uri"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _uploaded_at(run_dir: Path) -> float:
    path = run_dir / _UPLOAD_RESULT
    return path.stat().st_mtime if path.is_file() else 0.0
