"""What a sample file says about itself: its header, and the index beside it."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal, Self

import zstandard
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastnode_ops.config import Split
from fastnode_ops.sample_files.names import MAX_BATCHES, MAX_STEPS, SampleFileName
from fastnode_ops.samples.request import SessionRequest

SCHEMA_VERSION: Literal[1] = 1

COMPRESSION_LEVEL = 3

TOOL_VERSION = f"fastnode_ops 1, zstd {'.'.join(map(str, zstandard.ZSTD_VERSION))} level {COMPRESSION_LEVEL}"
"""What the bytes of a file depend on beside its batches; hosts that share out the work must have the same."""

MAX_FILE_BYTES = 1 << 50

Offset = Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleFileHeader(_Part):
    """What the batches of a file were made from; the file's first record.

    Args:
        metainfo_digest: Digest of the metainfo.
        corpus_digest: Digest of the corpus; empty when the metainfo does not say.
        request_digest: What was asked for; see `request_digest`.
        seed: Seed of the request.
        split: Which files of the corpus were drawn from.
        first_step: The step of the first batch.
        num_batches: How many steps follow each other.
        tool_version: What wrote the file.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    metainfo_digest: Sha256
    corpus_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    request_digest: Sha256
    seed: Annotated[int, Field(ge=0, lt=1 << 63)]
    split: Split = "train"
    first_step: Annotated[int, Field(ge=0, lt=MAX_STEPS)]
    num_batches: Annotated[int, Field(ge=1, le=MAX_BATCHES)]
    tool_version: Annotated[str, Field(max_length=200)] = TOOL_VERSION

    @model_validator(mode="after")
    def _has_a_name(self) -> Self:
        if self.first_step + self.num_batches > MAX_STEPS:
            raise ValueError(f"steps must be below {MAX_STEPS}")
        return self

    @property
    def name(self) -> SampleFileName:
        """The name that a file with this header has."""
        return SampleFileName(self.first_step, self.num_batches, self.seed)


class SampleFileIndex(_Part):
    """The content of the `.idx` file, by which a sample file is known to be whole.

    Args:
        sha256: Digest of the sample file.
        num_bytes: Its size.
        header: Its first record.
        offsets: Where its records begin, in bytes: the header, then each batch.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    sha256: Sha256
    num_bytes: Offset
    header: SampleFileHeader
    offsets: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]], Field(min_length=2, max_length=MAX_BATCHES + 1)
    ]


def request_digest(request: SessionRequest) -> str:
    """Return the SHA-256 of all that decides what a step's batch is, so without the steps that are asked for."""
    values = request.model_dump(mode="json", exclude={"start_step", "num_batches"})
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
