"""What a model answered, situation by situation: what a paired comparison of two models needs of a validation.

It stands beside the report as `attributes-ranks.json`, and is uploaded with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fastnode_ops.validation.ranking import NOT_FOUND
from ops_common.artifacts import read_json, write_text
from ops_common.errors import DataError

RANKS_NAME = "attributes-ranks.json"
TOP_1, TOP_5, RECIPROCAL = "top_1_share", "top_5_share", "mean_reciprocal_rank"
FloatArray = npt.NDArray[np.float64]


class SituationRanks(BaseModel):
    """The ranks of one model. S situations, in the order of the validation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    situations_digest: str = Field(description="SHA-256 of what was asked; those of two models compare when equal")
    files: list[str] = Field(description="ids of the files, each once")
    file_index: list[int] = Field(description="S indices into files")
    ranks: list[int] = Field(description="S ranks of the right identifier from 0; -1: not in the list, or no list")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if len(self.file_index) != len(self.ranks):
            raise ValueError(f"{len(self.file_index)} files for {len(self.ranks)} ranks")
        if any(not 0 <= index < len(self.files) for index in self.file_index):
            raise ValueError("file_index points beyond the files")
        if any(rank < NOT_FOUND for rank in self.ranks):
            raise ValueError("a rank lies below -1")
        return self

    @classmethod
    def of(cls, situations_digest: str, files: Sequence[str], ranks: Sequence[int]) -> Self:
        """The ranks of some situations.

        Args:
            situations_digest: SHA-256 of what was asked.
            files: S ids of the files of the situations.
            ranks: S ranks.
        """
        rows = {name: row for row, name in enumerate(dict.fromkeys(files))}
        return cls(
            situations_digest=situations_digest,
            files=list(rows),
            file_index=[rows[name] for name in files],
            ranks=list(ranks),
        )

    def figures(self) -> dict[str, FloatArray]:
        """What every situation adds to each figure, float64 [S]: 0 or 1, or the reciprocal rank."""
        ranks = np.array(self.ranks, np.int64)
        found = ranks >= 0
        return {
            TOP_1: (ranks == 0).astype(np.float64),
            TOP_5: (found & (ranks < 5)).astype(np.float64),
            RECIPROCAL: np.where(found, 1.0 / (1 + np.maximum(ranks, 0)), 0.0),
        }


def write_ranks(path: Path, ranks: SituationRanks) -> None:
    """Write the ranks."""
    write_text(path, ranks.model_dump_json() + "\n")


def read_ranks(path: Path) -> SituationRanks:
    """Read ranks.

    Raises:
        ArtifactError: The file is missing or is not JSON.
        DataError: It has another form; the message names the first wrong entry.
    """
    values = read_json(path)
    try:
        return SituationRanks.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise DataError(f"{path}: {where}: {first['msg']}", "run validate-attributes again") from None
