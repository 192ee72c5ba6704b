"""Training curves on disk: one JSON object a line, appended.

A line is `{"step": 200, "loss": 0.31, ...}`. A value that is not a finite number is written as null, which every
JSON reader takes, and read back as NaN.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops_common.artifacts import write_bytes
from ops_common.errors import ArtifactError


def append_metrics(path: Path, step: int, values: Mapping[str, float]) -> None:
    """Appends the values measured at a step.

    A half line that a killed writer left at the end is dropped first. There may be one writer at a time.

    Args:
        path: The metrics file; made when missing.
        step: The global step the values belong to.
        values: Name to value. Names are free, except "step".
    """
    if "step" in values:
        raise ValueError("'step' is the record's own field")
    record = {"step": int(step)} | {name: _finite_or_none(value) for name, value in values.items()}
    line = json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        _drop_torn_tail(file.fileno())
        file.write(line.encode("utf-8"))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads the records of a metrics file in the order of the file.

    Returns:
        One dict a record: "step" (int) and the values (float, NaN where none was finite). Empty when the file does
        not exist. A last line without its line end is being written or was torn by a kill, and is left out.

    Raises:
        ArtifactError: Another line is not a record; the message names the file and the line.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    whole = content[: content.rfind(b"\n") + 1]
    return [_parse(line, f"{path}, line {index}") for index, line in enumerate(whole.splitlines(), 1)]


def drop_metrics_after(path: Path, step: int) -> int:
    """Removes the records of later steps, so that a run resumed from a checkpoint does not write them twice.

    Args:
        path: The metrics file; a missing one is fine.
        step: The step of the checkpoint that the run continues from; its own records stay.

    Returns:
        How many records were removed.
    """
    records = read_metrics(path)
    kept = [record for record in records if record["step"] <= step]
    if len(kept) < len(records):
        lines = [json.dumps({k: _finite_or_none(v) for k, v in r.items()}, ensure_ascii=False) + "\n" for r in kept]
        write_bytes(path, "".join(lines).encode("utf-8"))
    return len(records) - len(kept)


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ArtifactError(f"{where}: not JSON", "remove the line") from error
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        raise ArtifactError(f"{where}: not a metrics record (it has no whole 'step')", "remove the line")
    return {name: math.nan if value is None else value for name, value in record.items()}


def _finite_or_none(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _drop_torn_tail(descriptor: int, block_bytes: int = 4096) -> None:
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - block_bytes)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
