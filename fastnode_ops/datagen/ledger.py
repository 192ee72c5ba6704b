"""What a folder's generator has made: kept beside the files, because these are deleted once they have been fetched.

<out dir>/.datagen/made.json     which ranges were made, and of what
                  /status.json   how it goes
                  /lock          held by the one generator that works in the folder
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastnode_ops.datagen.ranges import steps_of
from fastnode_ops.datagen.sample_set import SampleSet
from ops_common.artifacts import read_json, write_json
from ops_common.errors import ArtifactError, DataError
from ops_common.rundir import first_difference

STATE_FOLDER = ".datagen"
LEDGER_NAME = "made.json"
SCHEMA_VERSION = 1


class Ledger:
    """The ranges that were made in a folder.

    Args:
        out_dir: The folder of the sample files.
        sample_set: What they are files of.

    Raises:
        DataError: The folder holds files of something else.
        ArtifactError: The ledger cannot be read.
    """

    def __init__(self, out_dir: Path, sample_set: SampleSet) -> None:
        self._out_dir = out_dir
        self._path = out_dir / STATE_FOLDER / LEDGER_NAME
        self._sample_set = sample_set
        self._made = self._read() if self._path.exists() else set()

    def is_made(self, number: int) -> bool:
        """Whether a range is finished, or was and has been fetched."""
        if number not in self._made:
            return False
        name = self._sample_set.header(number).name
        # entered, but killed before the index was written
        is_torn = (self._out_dir / name.file_name).exists() and not (self._out_dir / name.index_name).exists()
        return not is_torn

    def add(self, number: int) -> None:
        """Enter a range, after its file was written and before its index is.

        In this order nobody can fetch and delete a file that is not entered.
        """
        made = self._made | {number}
        values = {"schema_version": SCHEMA_VERSION, "data_steps": self._sample_set.data_steps, "ranges": sorted(made)}
        write_json(self._path, values | {"of": self._sample_set.identity})
        self._made = made

    def _read(self) -> set[int]:
        values = read_json(self._path)
        if not _is_ledger(values):
            raise ArtifactError(f"{self._path} is no ledger", f"empty {self._out_dir}, with what is hidden in it")
        difference = first_difference(values["of"], self._sample_set.identity)
        if difference:
            raise DataError(
                f"{self._out_dir} holds samples of something else: {difference}",
                "use another folder, or empty this one, with what is hidden in it",
            )
        return {number for number in values["ranges"] if self._is_as_long(number, values["data_steps"])}

    def _is_as_long(self, number: int, data_steps: int) -> bool:
        """Whether a range has the steps that it had: the last one is longer when more steps are wanted."""
        now, size = self._sample_set.data_steps, self._sample_set.samples_per_file
        return steps_of(number, now, size) == steps_of(number, data_steps, size)


def _is_ledger(values: Any) -> bool:
    if not isinstance(values, dict) or values.get("schema_version") != SCHEMA_VERSION:
        return False
    numbers = values.get("ranges")
    is_list = isinstance(numbers, list) and all(type(number) is int for number in numbers)
    return is_list and type(values.get("data_steps")) is int and isinstance(values.get("of"), dict)
