"""The models that a product loads, in its checkout: read, checked, and changed by one command.

    <...>/pythonmodels/models.json     our list: [{"ModelPath": "s3://.../serve", "Packages": ["numpy", ...]}, ...]
    <...>/pythonmodels/models.go       where there is one: the path of the expression model, a string literal
    <...>/pythonexpr/shards.json       where there is one: a list of the same form

`pin_model` looks at the upload first, works out every change before it writes the first, and writes each file in one
step; a pin that was cut off is finished by running it again (specification 16.2, D58).
"""

from __future__ import annotations

import difflib
import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fastnode_ops.publish.go_source import string_literals
from fastnode_ops.publish.upload import MODEL_FOLDER
from fastnode_ops.publish.uploaded import Uploaded, find_upload
from ops_common.artifacts import atomic_path, make_folder
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.object_store import RetryPolicy

T = TypeVar("T")

LOG = logging.getLogger(__name__)

REGISTRY_FOLDERS = ("fastnode-go/lang/python/pythonmodels", "pythonmodels")
"""Where a checkout may keep its list of models; the first is made when there is none."""

REGISTRY_FILE, GO_FILE, SHARDS_FILE = "models.json", "models.go", "pythonexpr/shards.json"
NEEDED = ("expr_model.frozen.pb", "metainfo-inference.json")
"""What a product loads from a model's folder, at the least."""

_MAX_BYTES = 10_000_000
_MODEL_PATH = re.compile(r"[A-Za-z0-9._:/~+=@%-]+")  # nothing that a literal of Go or JSON would have to escape


class Shard(BaseModel):
    """One model, and the packages that it answers for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    ModelPath: Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00-\x20]+$")]
    Packages: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]] = Field(max_length=100_000)


_SHARDS = TypeAdapter(list[Shard])


@dataclass(frozen=True, slots=True)
class PinReport:
    """What a pin changed.

    Attributes:
        model_path: What is pinned now.
        replaced: What was pinned before; empty for the first model.
        changed: The files that were written.
        diff: The change of all of them, as a unified diff.
    """

    model_path: str
    replaced: str
    changed: tuple[Path, ...]
    diff: str


def find_registry(checkout: Path) -> Path:
    """The folder of a checkout's list of models, which need not exist yet.

    Raises:
        ConfigError: There is no checkout, or it has several such folders.
    """
    if not Path(checkout).is_dir():
        raise ConfigError(f"{checkout} is not a folder, so no checkout of a product", "check the path of the checkout")
    found = [folder for folder in (Path(checkout) / name for name in REGISTRY_FOLDERS) if folder.is_dir()]
    if len(found) > 1:
        names = " and ".join(str(folder) for folder in found)
        raise ConfigError(f"{checkout} has two lists of models: {names}", "keep the one that the product reads")
    return found[0] if found else Path(checkout) / REGISTRY_FOLDERS[0]


def read_shards(path: Path) -> list[Shard]:
    """Read a list of models; an empty one when there is no such file.

    Raises:
        DataError: It is too large, not JSON, or not such a list; names the entry and the field.
    """
    return _parse_shards(read_limited(path), path) if path.exists() else []


def pinned_path(shards: Sequence[Shard], packages: Sequence[str], where: Path) -> str:
    """The path of the model that a new one for some packages stands in for; empty when there is none.

    Raises:
        DataError: There are several models, and none of them is for just these packages.
    """
    index = _position(shards, packages, where)
    return shards[index].ModelPath if index < len(shards) else ""


def pin_model(
    checkout: Path, model_path: str, packages: Sequence[str], *, policy: RetryPolicy | None = None
) -> PinReport:
    """Let a product load an uploaded model instead of the one that it loads now.

    Args:
        checkout: The product's checkout.
        model_path: The folder to load: `<upload>/serve`.
        packages: The packages that the model answers for.
        policy: How patient to be with S3.

    Raises:
        ConfigError: There is no checkout, the path cannot be written into it, or another pin is running.
        ArtifactError: The upload is not finished, or is damaged.
        DataError: A list of the product is damaged, or does not say which model to replace.
    """
    if not _MODEL_PATH.fullmatch(model_path):
        raise ConfigError(f"{model_path!r} cannot be written into a source", "use letters, digits and ._:/~+=@%-")
    folder = find_registry(checkout)
    upload = find_upload(model_path if "://" in model_path else str(Path(model_path).absolute()), policy=policy)
    _check_upload(upload)
    make_folder(folder)
    shard = _parse_shards(json.dumps([{"ModelPath": upload.uri, "Packages": sorted(set(packages))}]), "the model")[0]
    with alone_in(folder):
        registry = folder / REGISTRY_FILE
        replaced = pinned_path(read_shards(registry), shard.Packages, registry)
        changes = _changes(folder, shard, upload)
        for path, (_, text) in changes.items():
            _write(path, text)
    return PinReport(shard.ModelPath, replaced, tuple(changes), _diff(changes, Path(checkout)))


def _check_upload(upload: Uploaded) -> None:
    """Compare what the product will load with the upload's manifest, byte for byte, and the rest by size."""
    for name in NEEDED:
        if f"{upload.prefix}/{name}".lstrip("/") not in upload.files:
            raise ArtifactError(f"{upload.uri} has no {name}", "give the folder `serve` of an upload")
    present = {info.key: info.size_bytes for info in upload.store.list_objects()}
    for key, entry in upload.manifest["files"].items():
        if present.get(key) != entry["size_bytes"]:
            what = f"has {present[key]} bytes, not {entry['size_bytes']}" if key in present else "is missing"
            raise ArtifactError(f"{upload.store.uri(key)} {what}", "upload the model again")
    for key, entry in upload.files.items():
        if upload.store.measure(key).sha256 != entry["sha256"]:
            raise ArtifactError(
                f"{upload.store.uri(key)} is not what its manifest says (SHA-256)", "upload the model again"
            )


def _changes(folder: Path, shard: Shard, upload: Uploaded) -> dict[Path, tuple[str, str]]:
    """Every file that changes, with its text before and after; nothing is written yet."""
    changes: dict[Path, tuple[str, str]] = {}
    registry, shards, source = folder / REGISTRY_FILE, folder.parent / SHARDS_FILE, folder / GO_FILE
    for path in (shards, registry):
        if path == registry or path.exists():
            before = read_limited(path) if path.exists() else ""
            changes[path] = before, _with_shard(before, shard, path)
    if source.exists():
        before = read_limited(source)
        changes[source] = before, _with_path(before, upload, source, may_be_missing=shards.exists())
    return {path: texts for path, texts in changes.items() if texts[0] != texts[1]}


def _with_shard(text: str, shard: Shard, path: Path) -> str:
    shards = _parse_shards(text, path) if text else []
    index = _position(shards, shard.Packages, path)
    if index < len(shards) and set(shards[index].Packages) == set(shard.Packages):
        # only the path changes: everything else stays as somebody wrote it
        old, new = json.dumps(shards[index].ModelPath), json.dumps(shard.ModelPath)
        if text.count(old) == 1:
            return text.replace(old, new)
    shards[index : index + 1] = [shard]
    return json.dumps([item.model_dump() for item in shards], indent=2) + "\n"


def _position(shards: Sequence[Shard], packages: Sequence[str], where: Path) -> int:
    """Which entry a model for some packages replaces; the length of the list when it is a new one."""
    if len(shards) <= 1:
        return 0
    same = [index for index, item in enumerate(shards) if set(item.Packages) == set(packages)]
    if len(same) != 1:
        raise DataError(
            f"{where} lists {len(shards)} models, {len(same) or 'none'} of them for just these packages "
            f"({len(packages)})",
            "say which one is meant: train with its packages, or change the list by hand",
        )
    return same[0]


def _with_path(text: str, upload: Uploaded, path: Path, *, may_be_missing: bool) -> str:
    """A Go file with the path of the new model instead of the old one, and not another byte changed."""
    found = [item for item in string_literals(text, str(path)) if MODEL_FOLDER in item.text.split("/")]
    if not found and may_be_missing:
        return text  # this product reads the list of shards
    if len(found) != 1:
        lines = f": lines {', '.join(str(item.line) for item in found)}" if found else ""
        raise DataError(
            f"{path} has {len(found)} strings with a path in {MODEL_FOLDER}, not one{lines}",
            "change the path of the expression model by hand, once; after that this command finds it",
        )
    # The old path may name the upload, its folder `serve`, or a file in it; so does the new one.
    parts = found[0].text.split("/")
    rest = parts[parts.index(MODEL_FOLDER) + 2 :]
    root = upload.uri.removesuffix(f"/{upload.prefix}") if upload.prefix else upload.uri
    inner = "/".join(part for part in rest if part)
    if inner and not any(key == inner or key.startswith(f"{inner}/") for key in upload.manifest["files"]):
        raise DataError(
            f"{path}, line {found[0].line} names {inner} of the old model, which {root} does not have",
            "upload a model that has it, or change the path by hand",
        )
    start, end = found[0].start, found[0].end
    if "//" in text[end : text.find("\n", end)]:
        LOG.warning("%s, line %d: the comment behind the path may need `gofmt -w`", path, found[0].line)
    return text[:start] + "/".join((root, *rest)) + text[end:]


def read_limited(path: Path) -> str:
    """Read a text file of a checkout, line ends as they are.

    Raises:
        DataError: It is too large, or not UTF-8.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{path} has more than {_MAX_BYTES:,} bytes", "is this the right file?")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", "is this the right file?") from None


def parse_list(form: TypeAdapter[list[T]], text: str, where: Path | str, example: str) -> list[T]:
    """Parse a list in JSON.

    Raises:
        DataError: It is not JSON, or has another form; names the entry and the field.
    """
    try:
        return form.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        place = f"{where}: {key}" if key else str(where)
        raise DataError(f"{place}: {first['msg']}", f"its form: {example}") from None


def _parse_shards(text: str, where: Path | str) -> list[Shard]:
    return parse_list(_SHARDS, text, where, '[{"ModelPath": text, "Packages": [text, ...]}, ...]')


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
        if path.exists():
            shutil.copymode(path, temporary)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, so that nobody pins or packs there meanwhile; the system lets go of it however we end.

    Raises:
        ConfigError: Somebody else holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"another pin or rebuild is running in {folder}", "wait, then run this again") from None
        yield
    finally:
        os.close(descriptor)


def _diff(changes: Mapping[Path, tuple[str, str]], checkout: Path) -> str:
    lines: list[Any] = []
    for path, (before, after) in sorted(changes.items()):
        name = path.relative_to(checkout).as_posix()
        old = f"a/{name}" if before else "/dev/null"
        lines += difflib.unified_diff(before.splitlines(), after.splitlines(), old, f"b/{name}", lineterm="")
    return "\n".join(lines)
