"""The settings of a training that follow from its data set and the folder of its run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ops_common.errors import ConfigError
from ops_common.rundir import RunDir

TOKENS_NAME = "tokens.txt"


def dataset_settings(dataset_dir: Path, run: RunDir) -> list[str]:
    """What follows from the data set and the run folder: files, one task for each source, folders."""
    from gematria_ops.data.dataset import split_file

    sources = dataset_sources(dataset_dir)
    values = {
        "input.files": [str(split_file(dataset_dir, "train"))],
        "validation.files": [str(split_file(dataset_dir, "validation"))],
        "tokens.file": str(dataset_dir / TOKENS_NAME),
        "input.source_filters": [f"{re.escape(source)}$" for source in sources],
        "input.task_names": task_names_of(sources),
        "checkpoint.directory": str(run.checkpoints_dir),
        "summary.directory": str(run.summaries_dir),
    }
    # A JSON string or list of strings is TOML too.
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def dataset_sources(dataset_dir: Path) -> list[str]:
    """The throughput sources of a data set, in the order of its import.

    Raises:
        ConfigError: The folder holds no data set of ours.
    """
    from gematria_ops.data.merging import REPORT_NAME
    from ops_common.artifacts import read_json

    report = read_json(dataset_dir / REPORT_NAME)
    sources = [entry["source"] for entry in report.get("sources", ())] if isinstance(report, dict) else []
    if not sources:
        raise ConfigError(f"{dataset_dir} does not say which sources it holds", "give a folder that import-bhive wrote")
    return [str(source) for source in sources]


def task_names_of(sources: list[str]) -> list[str]:
    """Short names of the tasks that learn the sources: `bhive: hsw` gives `hsw`, unless two sources would share it."""
    short = [re.sub(r"[^A-Za-z0-9_.=-]+", "_", source.rpartition(": ")[2]).strip("_") for source in sources]
    is_usable = len(set(short)) == len(short) and all(short)
    return short if is_usable else [f"task_{number}" for number in range(1, len(sources) + 1)]
