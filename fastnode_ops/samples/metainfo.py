"""`metainfo.json`: the distributions samples are drawn from, and every index of the model (specification 4.9).

The step `traindata` writes it; the server, the trainer and, in a shorter form, the completions read it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ops_common.artifacts import write_bytes
from ops_common.errors import ArtifactError, DataError

SCHEMA_VERSION = 1

Row = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ignored_types=(cached_property,))


class Entry(_Part):
    """A symbol that samples are drawn for.

    Args:
        symbol: Its path.
        canonicalize: Whether its files are those of its canonical path, in the canonical index.
        weight: Its share of the draws is this over the sum of all weights.
    """

    symbol: str
    canonicalize: bool
    weight: Annotated[float, Field(ge=0)]


Distribution = dict[str, Entry]


class AttrInfo(_Part):
    """Attributes: what to draw, and which symbol is a member of which."""

    CanonToSyms: dict[str, list[str]] = {}
    dist: Distribution = {}
    parents: dict[str, str] = {}

    @model_validator(mode="after")
    def _same_symbols(self) -> Self:
        if self.dist.keys() != self.parents.keys():
            different = sorted(self.dist.keys() ^ self.parents.keys())
            raise ValueError(f"attr.dist and attr.parents must name the same symbols; only one has {different[:3]}")
        return self


class FunctionInfo(_Part):
    """What is known of a function that calls are drawn for."""

    kwarg_names: list[str] = []


class CallInfo(_Part):
    """Functions: what to draw, and their keywords."""

    infos: dict[str, FunctionInfo] = {}
    dist: Distribution = {}


class AttrBaseInfo(_Part):
    """Modules and types that attributes are taken of."""

    dist: Distribution = {}


class Production(_Part):
    """An id and what it can expand to."""

    id: Annotated[int, Field(ge=0, lt=1 << 64)]
    children: list[Annotated[int, Field(ge=0, lt=1 << 64)]] = []


class ProductionIndex(_Part):
    """Rows of the production table, by id as a decimal text; and the flat grammar."""

    indices: dict[str, Row] = {}
    productions: dict[str, Production] = {}

    def row(self, id_string: str) -> int | None:
        """Return the row of an id string such as `choose_kwarg:json.dumps:indent`; None when it has none."""
        return self.indices.get(str(production_id(id_string)))


class Header(_Part):
    """What made the file; part of its digest but for the time."""

    schema_version: int = SCHEMA_VERSION
    created_at: str = ""
    corpus_digest: str = ""
    packages_digest: str = ""
    thresholds: dict[str, float] = {}


class MetaInfo(_Part):
    """The whole file; the serving form has empty distributions and productions."""

    header: Header = Header()
    attr: AttrInfo = AttrInfo()
    call: CallInfo = CallInfo()
    attr_base: AttrBaseInfo = AttrBaseInfo()
    name_subtoken_index: dict[str, Row]
    type_subtoken_index: dict[str, Row]
    production_index: ProductionIndex = ProductionIndex()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content without the time of its making: samples carry it, and a model is tied to it."""
        values = self.model_dump()
        values["header"].pop("created_at")
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Write the file, keys sorted."""
        write_bytes(path, orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def read_metainfo(path: Path) -> MetaInfo:
    """Read `metainfo.json`, or its serving form.

    Raises:
        ArtifactError: There is no such file.
        DataError: It is not JSON, or a field is missing, unknown or out of its range; the message names it.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", "`make traindata` writes it") from None
    return parse_metainfo(text, str(path))


def parse_metainfo(text: bytes, where: str) -> MetaInfo:
    """Read the content of `metainfo.json`; `where` begins the error messages."""
    try:
        values: Any = orjson.loads(text)
        return MetaInfo.model_validate(values)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{where} is not JSON: {error}", "make it again with `make traindata`") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{where}: {key}: {first['msg']}", "make it again with `make traindata`") from None


def production_id(id_string: str) -> int:
    """Return the 64-bit id of a production or a symbol path: XXH3 of the UTF-8 text, unsigned."""
    return xxhash.xxh3_64_intdigest(id_string.encode())
