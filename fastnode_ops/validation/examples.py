"""Examples: a buffer, a cursor behind a dot, what was really there, and what each provider completed.

The format is that of specification 14.5. A collection is a folder with one file per example
(`example-0001-of-1000.json`), or one file that holds several objects one after the other, without commas. What is read
comes from outside and is bounded; an example that cannot be used is named and counted, and the others still are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ops_common.artifacts import atomic_folder, write_text
from ops_common.errors import ArtifactError, DataError

LEGACY_CURSOR = "$$$"
MAX_BUFFER_CHARACTERS = 1_000_000
MAX_FILE_BYTES = 256 << 20
MAX_EXAMPLES = 100_000
MAX_COMPLETIONS = 10_000
MAX_PROVIDERS = 50

Name = Annotated[str, Field(max_length=1_000)]
Text = Annotated[str, Field(max_length=MAX_BUFFER_CHARACTERS)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ExampleCompletion(_Part):
    """One completion of a provider.

    `MixCompletion` is the reference product's own record of a completion and is null here.
    """

    Identifier: Name
    Score: float
    MixCompletion: dict[str, Any] | None = None
    Duplicate: bool = False


class ProviderOutput(_Part):
    """What a provider completed, best first, and the text that it saw."""

    Completions: Annotated[list[ExampleCompletion], Field(max_length=MAX_COMPLETIONS)]
    MungedBuffer: Text = ""


class Example(_Part):
    """One example.

    Args:
        Buffer: The whole file.
        Cursor: BYTE offset into its UTF-8 form, just after the dot.
        Symbol: Symbol of the base expression.
        Expected: The identifier that was really there.
        Provided: What each provider completed; None before any was asked.
    """

    Buffer: Text
    Cursor: Annotated[int, Field(ge=0)]
    Symbol: Name
    Expected: Name
    Provided: Annotated[dict[Name, ProviderOutput], Field(max_length=MAX_PROVIDERS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _reads_the_legacy_cursor(cls, values: Any) -> Any:
        """Take `$$$` out of the buffer when it stands for the cursor."""
        if not isinstance(values, dict) or values.get("Cursor") != 0 or not isinstance(values.get("Buffer"), str):
            return values
        before, mark, after = values["Buffer"].partition(LEGACY_CURSOR)
        if not mark:
            return values
        if LEGACY_CURSOR in after:
            raise ValueError("Buffer: marks the cursor with $$$ more than once")
        return {**values, "Buffer": before + after, "Cursor": len(before.encode("utf-8", "replace"))}

    @model_validator(mode="after")
    def _has_its_cursor_inside(self) -> Self:
        try:
            source = self.Buffer.encode()
        except UnicodeEncodeError:
            raise ValueError("Buffer: holds half of a surrogate pair, which is no text") from None
        if self.Cursor > len(source):
            raise ValueError(f"Cursor: must be at most {len(source)}, the length of the buffer in bytes")
        if source[self.Cursor : self.Cursor + 1] and source[self.Cursor] & 0xC0 == 0x80:
            raise ValueError(f"Cursor: byte {self.Cursor} of the buffer is inside of a character")
        return self

    @property
    def source(self) -> bytes:
        """The buffer as the analysis takes it: UTF-8."""
        return self.Buffer.encode()

    def rank(self, provider: str) -> int | None:
        """Return the index of the expected identifier among a provider's completions: -1 not found, None absent."""
        output = (self.Provided or {}).get(provider)
        if output is None:
            return None
        return next((i for i, one in enumerate(output.Completions) if one.Identifier == self.Expected), -1)

    def to_json(self) -> str:
        """Return the example as the reference writes it, indented by 4 blanks."""
        return json.dumps(self.model_dump(), indent=4, ensure_ascii=False) + "\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an example stands: bytes `start` to `end` of a file."""

    path: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Problem:
    """An example that cannot be used.

    Args:
        name: Name of the file; with the number of the object in it when it holds several.
        reason: What is wrong with it.
    """

    name: str
    reason: str


def walk_collection(path: Path) -> Iterator[tuple[Place, Example] | Problem]:
    """Yield the examples of a collection in order: the files of a folder sorted by name, the objects as they stand.

    Args:
        path: A file, or a folder whose `*.json` files are read.

    Raises:
        ArtifactError: There is no such file or folder.
        DataError: It holds more than `MAX_EXAMPLES` examples.
    """
    path = Path(path)
    if not path.exists():
        raise ArtifactError(f"{path} does not exist", "give a file of examples, or a folder with one file per example")
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    number = 0
    for file in files:
        for found in _walk_file(file):
            number += 1
            if number > MAX_EXAMPLES:
                raise DataError(f"{path} holds more than {MAX_EXAMPLES:,d} examples", "split it into several folders")
            yield found


def read_collection(path: Path) -> tuple[list[Example], list[Problem]]:
    """Read all examples of a collection, and what cannot be used of it.

    Raises:
        ArtifactError: There is no such file or folder.
        DataError: It holds no example that can be used; the message names the first problem.
    """
    examples: list[Example] = []
    problems: list[Problem] = []
    for found in walk_collection(path):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            examples.append(found[1])
    check_not_empty(path, len(examples), problems)
    return examples, problems


def check_not_empty(path: Path, num_examples: int, problems: Sequence[Problem]) -> None:
    """Raise DataError, naming the first problem, when a collection has no example."""
    if num_examples:
        return
    why = f": {problems[0].name}: {problems[0].reason}" if problems else ""
    raise DataError(f"{path} holds no example{why}", "write examples with validate-attributes --examples-dir")


def read_example(place: Place) -> Example:
    """Read one example again.

    Raises:
        DataError: What stands there is no example any more.
    """
    try:
        with place.path.open("rb") as file:
            file.seek(place.start)
            content = file.read(place.end - place.start)
        return _example(orjson.loads(content))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{place.path.name} has changed since it was read: {error}", "start the viewer again"
        ) from error


def write_examples(folder: Path, examples: Sequence[Example]) -> None:
    """Write a folder with one file per example, replacing what was there as a whole."""
    with atomic_folder(folder, replace=True) as temporary:
        for number, example in enumerate(examples, start=1):
            (temporary / example_name(number, len(examples))).write_text(example.to_json(), encoding="utf-8")


def example_name(number: int, total: int) -> str:
    """Return the name of an example's file, numbers from 1; names sort like their numbers."""
    width = max(4, len(str(total)))
    return f"example-{number:0{width}d}-of-{total:0{width}d}.json"


def write_example_file(path: Path, examples: Iterable[Example]) -> None:
    """Write one file that holds the examples one after the other."""
    write_text(path, "".join(example.to_json() for example in examples))


def _walk_file(path: Path) -> Iterator[tuple[Place, Example] | Problem]:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            yield Problem(path.name, f"has {size:,d} bytes, allowed are {MAX_FILE_BYTES:,d}")
            return
        content = path.read_bytes()
    except OSError as error:
        yield Problem(path.name, f"cannot be read: {error.strerror}")
        return
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        yield from _walk_objects(path, content)
        return
    yield _checked(Place(path, 0, len(content)), value, path.name)


def _walk_objects(path: Path, content: bytes) -> Iterator[tuple[Place, Example] | Problem]:
    """Yield the objects of a file that holds not exactly one."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        yield Problem(path.name, f"is not UTF-8 text (byte {error.start})")
        return
    decoder = json.JSONDecoder()
    position, byte, number = _skip_blanks(text, 0), 0, 0
    byte = position  # blanks of JSON are one byte each
    while position < len(text):
        number += 1
        name = f"{path.name} object {number}"
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            reason = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
            yield Problem(name, f"{reason}; what follows is not read")
            return
        size = len(text[position:end].encode())
        yield _checked(Place(path, byte, byte + size), value, name)
        position = _skip_blanks(text, end)
        byte += size + position - end


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _checked(place: Place, value: Any, name: str) -> tuple[Place, Example] | Problem:
    try:
        return place, _example(value)
    except ValueError as error:
        return Problem(name, str(error))


def _example(value: Any) -> Example:
    """Check one value; ValueError with the first thing that is wrong in one line."""
    try:
        return Example.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {message}" if where else message) from None
