"""Which bytes a training has learned from: the sample file of each of its updates, in one small file.

`tmp/samples-read.json` of the pipeline's folder. It is written with each checkpoint, before anybody is told that a
file is done with, and says of the updates in that checkpoint which file each was read from, with its digest. So the
accounts of a training (`make sample_accounts`) rest on what was read, not on what was meant to be.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ops_common.artifacts import read_json, write_json
from ops_common.errors import ArtifactError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """Updates one after the other that were read from one file.

    Args:
        first_update: The update after so many.
        end_update: The first one that is not of them.
        file_name: Name of the file.
        sha256: Its digest, which was compared with its bytes.
    """

    first_update: int
    end_update: int
    file_name: str
    sha256: str


class ReadingRecord:
    """Notes what is read, and writes it down; safe to use from several threads.

    Args:
        path: The file; what stands in it is taken up.
        data_steps: How many steps there are files for; a longer training reads them again.

    Raises:
        ArtifactError: The file is none of ours.
    """

    def __init__(self, path: Path, data_steps: int) -> None:
        self._path, self._data_steps = path, data_steps
        self._lock = threading.Lock()
        before = read_readings(path) if path.exists() else None
        self._readings = before.readings if before and before.data_steps == data_steps else []

    def read(self, update: int, file_name: str, sha256: str) -> None:
        """An update was read, with whatever comes behind it yet to be: a training that is resumed reads it again."""
        with self._lock:
            if self._readings and self._readings[-1].end_update > update:
                self._readings = list(_cut(self._readings, update))
            last = self._readings[-1] if self._readings else None
            if last and (last.end_update, last.file_name, last.sha256) == (update, file_name, sha256):
                self._readings[-1] = replace(last, end_update=update + 1)
            else:
                self._readings.append(Reading(update, update + 1, file_name, sha256))

    def saved(self, num_updates: int) -> None:
        """A checkpoint holds so many updates: write down where these came from."""
        with self._lock:
            safe = [asdict(one) for one in _cut(self._readings, num_updates)]
        values = {"schema_version": SCHEMA_VERSION, "data_steps": self._data_steps, "num_updates": num_updates}
        write_json(self._path, {**values, "readings": safe})


@dataclass(frozen=True, slots=True)
class Readings:
    """What a record says.

    Args:
        data_steps: How many steps there are files for.
        num_updates: How many updates the newest checkpoint holds.
        readings: Where those came from; updates that are in none were not read from files.
    """

    data_steps: int
    num_updates: int
    readings: list[Reading]

    def times_read(self) -> Iterator[tuple[int, int, str, str]]:
        """Give for each update that was read from a file: epoch, data step, name of the file, digest."""
        for one in self.readings:
            for update in range(one.first_update, one.end_update):
                yield *divmod(update, self.data_steps), one.file_name, one.sha256


def read_readings(path: Path) -> Readings:
    """Read a record.

    Raises:
        ArtifactError: It is missing, or none of ours.
    """
    values: Any = read_json(path)
    try:
        if values["schema_version"] != SCHEMA_VERSION:
            raise ValueError
        readings = [Reading(**one) for one in values["readings"]]
        found = Readings(int(values["data_steps"]), int(values["num_updates"]), readings)
        is_ascending = all(one.end_update <= two.first_update for one, two in itertools.pairwise(readings))
        is_sound = found.data_steps > 0 and is_ascending and all(one.first_update < one.end_update for one in readings)
    except (KeyError, TypeError, ValueError):
        is_sound = False
    if not is_sound:
        raise ArtifactError(f"{path} is not the record of what a training has read", "remove it")
    return found


def _cut(readings: list[Reading], end: int) -> Iterator[Reading]:
    """Leave out every update from `end` on."""
    for one in readings:
        if one.first_update < end:
            yield replace(one, end_update=min(one.end_update, end))
