"""The result of an attribute validation: `attributes.json`. The page for people is made from it, see `report.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fastnode_ops.validation.fallback import FallbackRow
from fastnode_ops.validation.ranking import ProviderFigures, SymbolFigures
from ops_common.artifacts import read_json, write_text
from ops_common.errors import DataError


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Provenance(_Record):
    """What was validated on what, so that a report can be made again.

    Args:
        created_at: Time, ISO 8601 in UTC.
        seconds: How long it took.
        digests: SHA-256 by what it is of: the model's files, the corpus, the situations.
        settings: The arguments.
        versions: Of the packages that decide the figures.
    """

    created_at: str
    seconds: float
    digests: dict[str, str]
    settings: dict[str, str | int | float | bool]
    versions: dict[str, str]


class AttributeReport(_Record):
    """All figures of an attribute validation.

    Args:
        model: Name of the model.
        split: Which files the situations are from.
        num_files: Files with at least one situation.
        num_situations: Situations; every provider was asked for each.
        dropped: Places and files that were left out, by reason.
        providers: Figures of every provider.
        symbols: Recall of every provider per symbol.
        fallback: Popularity against the model, per symbol.
        provenance: How it was made.
    """

    schema_version: Literal[1] = 1
    model: str
    split: str
    num_files: int
    num_situations: int
    dropped: dict[str, int]
    providers: dict[str, ProviderFigures]
    symbols: list[SymbolFigures]
    fallback: list[FallbackRow]
    provenance: Provenance

    @property
    def situations_digest(self) -> str:
        """SHA-256 of what was asked: reports compare when theirs are equal."""
        return self.provenance.digests.get("situations", "")


def write_report_json(path: Path, report: AttributeReport) -> None:
    """Write the report."""
    write_text(path, report.model_dump_json(indent=2) + "\n")


def read_report_json(path: Path) -> AttributeReport:
    """Read a report.

    Raises:
        ArtifactError: The file is missing or is not JSON.
        DataError: It is no report, or one of another version; the message names the first wrong entry.
    """
    values = read_json(path)
    try:
        return AttributeReport.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}", "run validate-attributes again") from None
