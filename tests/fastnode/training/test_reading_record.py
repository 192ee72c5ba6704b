"""Which file each update was read from."""

import json
from pathlib import Path

import pytest

from fastnode_ops.training.reading_record import Reading, ReadingRecord, Readings, read_readings
from ops_common.errors import ArtifactError


def test_only_what_a_checkpoint_holds_is_written(tmp_path: Path) -> None:
    path = tmp_path / "tmp/read.json"
    record = ReadingRecord(path, data_steps=4)
    for update in range(7):  # the reading is ahead of the training
        record.read(update, "one" if update % 4 < 2 else "two", "a" * 64)
    record.saved(5)
    expected = [Reading(0, 2, "one", "a" * 64), Reading(2, 4, "two", "a" * 64), Reading(4, 5, "one", "a" * 64)]
    assert read_readings(path) == Readings(4, 5, expected)
    assert [(epoch, step) for epoch, step, _, _ in read_readings(path).times_read()] == [
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 0),
    ]  # fmt: skip
    record.saved(7)
    assert read_readings(path).readings[2:] == [Reading(4, 6, "one", "a" * 64), Reading(6, 7, "two", "a" * 64)]


def test_a_training_that_goes_on_reads_again_what_no_checkpoint_had(tmp_path: Path) -> None:
    record = ReadingRecord(tmp_path / "read.json", data_steps=10)
    for update in range(6):
        record.read(update, "one", "a" * 64)
    record.saved(4)
    resumed = ReadingRecord(tmp_path / "read.json", data_steps=10)
    for update in range(4, 8):
        resumed.read(update, "one", "a" * 64)
    resumed.saved(8)
    assert read_readings(tmp_path / "read.json").readings == [Reading(0, 8, "one", "a" * 64)]
    anew = ReadingRecord(tmp_path / "read.json", data_steps=10)  # its checkpoints were deleted
    anew.read(0, "one", "a" * 64)
    anew.saved(1)
    assert read_readings(tmp_path / "read.json").readings == [Reading(0, 1, "one", "a" * 64)]


def test_another_number_of_data_steps_is_another_record(tmp_path: Path) -> None:
    record = ReadingRecord(tmp_path / "read.json", data_steps=10)
    record.read(0, "one", "a" * 64)
    record.saved(1)
    other = ReadingRecord(tmp_path / "read.json", data_steps=20)
    other.saved(1)
    assert read_readings(tmp_path / "read.json") == Readings(20, 1, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"data_steps": 0},
        {"readings": [{}]},
        {"readings": [{"first_update": 3, "end_update": 3, "file_name": "a", "sha256": ""}]},
        {"readings": 5},
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    path = tmp_path / "read.json"
    path.write_text(json.dumps({"schema_version": 1, "data_steps": 1, "num_updates": 0, "readings": [], **changes}))
    with pytest.raises(ArtifactError, match="not the record"):
        read_readings(path)
