"""What a person may ask of the workflow that collects code: the fields of its form, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from fastnode_ops.requests import STANDARD_LIBRARY, Name, Plan, StandaloneRequest, source_path
from ops_common.config import Section, build_config
from ops_common.errors import ConfigError

_OF_THE_CORPUS = ("corpus", "sources", "max_files", "num_workers")
"""What the training that follows takes from here, so that it finds the corpus finished."""


class CorpusRequest(Section):
    """Which code to collect, and how the training that follows is set."""

    corpus: Name | None = Field(None, description="Name of the corpus to make. Empty: named after the run.")
    sources: list[str] = Field(
        [STANDARD_LIBRARY],
        min_length=1,
        max_length=1_000,
        description="Folders and archives of code, from the checkout's root, or `stdlib`, `site-packages`.",
    )
    max_files: int = Field(0, ge=0, le=10_000_000, description="Most files of the corpus; 0: all.")
    num_workers: int = Field(2, ge=1, le=256, description="Processes that build the corpus.")
    train_conf: dict[str, Any] | None = Field(
        None,
        description="Settings for the training that follows, as pythonexpr_standalone takes them. Empty: as at night.",
    )

    @model_validator(mode="after")
    def _check_training(self) -> CorpusRequest:
        given = sorted({*_OF_THE_CORPUS} & {*(self.train_conf or {})})
        if given:
            raise ValueError(f"train_conf: {', '.join(given)} is said by the import itself: leave it out there")
        try:
            build_config(StandaloneRequest, self.train_conf or {}, where="train_conf")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self


def plan_corpus(values: Mapping[str, Any], *, project_root: Path, data_root: Path, run_name: str) -> Plan:
    """Check a request for a corpus and make every choice that it leaves open.

    Args:
        values: The request's fields.
        project_root: Relative files are meant from here.
        data_root: Folder of all corpora.
        run_name: Name of the run, for a corpus without one.

    Returns:
        The arguments of `tasks.build_corpus`; `training`, what the training that follows takes from here;
        `train_conf`.

    Raises:
        ConfigError: A field is unknown or out of range.
        DataError: A source does not exist.
    """
    request = build_config(CorpusRequest, values, where="conf")
    name = request.corpus or run_name
    sources = [str(source_path(source, project_root)) for source in request.sources]
    shared = {"max_files": request.max_files, "num_workers": request.num_workers, "sources": sources}
    return {
        **shared,
        "corpus_dir": str(data_root / name),
        "training": {**shared, "corpus": name},
        "train_conf": request.train_conf or {},
    }
