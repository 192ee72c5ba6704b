"""Whether two runs made the same: file by file, and where they first differ.

Files are compared byte by byte. JSON that differs is compared again without what tells when and how fast something
was done, and where it stands: two runs of one training have the same figures, not the same duration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_common.artifacts import sha256_file

SAME, SAME_BUT_TIMES, DIFFERENT = "identical", "identical but for times and places", "differs"

_TIMING_WORDS = frozenset({"second", "seconds", "ms", "at", "time", "date", "latency"})
"""A key with one of these words tells when, or how fast: `wall_seconds`, `steps_per_second`, `started_at`."""

_MAX_JSON_BYTES = 256_000_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One file of two runs.

    Attributes:
        name: Its path in both folders.
        outcome: `SAME`, `SAME_BUT_TIMES` or `DIFFERENT`.
        difference: Where it first differs, in words; empty when it does not.
    """

    name: str
    outcome: str
    difference: str = ""


def compare_runs(
    recorded: Mapping[str, str], source: Path, repeated: Mapping[str, str], folder: Path
) -> list[Comparison]:
    """Compare what two runs have made.

    Args:
        recorded: SHA-256 of what the first has made, by path in its folder.
        source: That folder; files that have changed since are not looked into.
        repeated: The same of the second.
        folder: Its folder.

    Returns:
        One comparison for each file of the first, in the order of their names. Pages and texts of the reports are left
        out: they show what the JSON beside them holds.
    """
    return [
        _compare(name, digest, source, repeated.get(name), folder)
        for name, digest in sorted(recorded.items())
        if not name.endswith((".html", ".svg", ".png")) and not (name.endswith(".md") and "reports/" in name)
    ]


def _compare(name: str, digest: str, source: Path, repeated: str | None, folder: Path) -> Comparison:
    if repeated is None:
        return Comparison(name, DIFFERENT, "the repetition has not made it")
    if repeated == digest:
        return Comparison(name, SAME)
    before, now = source / name, folder / name
    if not before.is_file() or sha256_file(before) != digest:
        return Comparison(name, DIFFERENT, f"the file of the run has changed since; in {source}")
    is_text = name.endswith((".json", ".jsonl", ".toml", ".md"))
    if is_text and max(path.stat().st_size for path in (before, now)) < _MAX_JSON_BYTES:
        return _compare_texts(name, before, now, {str(source): "", str(folder): ""})
    return Comparison(name, DIFFERENT, first_different_byte(before, now))


def _compare_texts(name: str, before: Path, now: Path, places: Mapping[str, str]) -> Comparison:
    parts = [_parts(path, places) for path in (before, now)]
    difference = _first_difference(parts[0], parts[1], "")
    return Comparison(name, DIFFERENT if difference else SAME_BUT_TIMES, difference)


def _parts(path: Path, places: Mapping[str, str]) -> Any:
    text = path.read_text(encoding="utf-8")
    for place in sorted(places, key=len, reverse=True):  # one may be the beginning of the other
        text = text.replace(place, places[place])
    if path.suffix == ".json":
        return json.loads(text)
    return [json.loads(line) if path.suffix == ".jsonl" else line for line in text.splitlines()]


def _first_difference(before: Any, now: Any, where: str) -> str:
    """Say where two values of JSON first differ; empty when they do not, apart from times."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys: Iterable[str] = (key for key in dict.fromkeys([*before, *now]) if not _TIMING_WORDS & {*key.split("_")})
        absent = "not there"
        found = (_first_difference(before.get(key, absent), now.get(key, absent), f"{where}.{key}") for key in keys)
        return next(filter(None, found), "")
    if isinstance(before, list) and isinstance(now, list):
        if len(before) != len(now):
            return f"{where.lstrip('.') or 'top'} had {len(before)} entries, now {len(now)}"
        found = (_first_difference(one, two, f"{where}[{at}]") for at, (one, two) in enumerate(zip(before, now)))
        return next(filter(None, found), "")
    return "" if before == now else f"{where.lstrip('.') or 'content'} was {_short(before)}, now {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def first_different_byte(before: Path, now: Path, block_bytes: int = 1 << 20) -> str:
    """Say in words where two files first differ; empty when they are equal."""
    position = 0
    with before.open("rb") as one, now.open("rb") as two:
        while True:
            first, second = one.read(block_bytes), two.read(block_bytes)
            if first != second:
                same = next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))
                sizes = f"{before.stat().st_size} and {now.stat().st_size} bytes"
                return f"from byte {position + same} on ({sizes})"
            if not first:
                return ""
            position += len(first)
