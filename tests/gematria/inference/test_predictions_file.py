"""Predictions on disk: a round trip, older files, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from gematria_ops.inference import predictions_file
from gematria_ops.inference.predictions_file import BlockPredictions, read_predictions, write_predictions
from gematria_ops.inference.slicing import Cut
from ops_common.errors import ArtifactError

BLOCKS = BlockPredictions(
    predictions=np.array([[1.5, np.nan], [2.0, 3.0], [4.0, 5.0]]),
    labels=np.array([[1.0, -1.0], [2.5, 3.5], [4.0, 6.0]]),
    mask=np.array([[True, False], [True, True], [True, True]]),
    fingerprints=["aa", "bbb", "c"],
    task_names=("hsw", "skl"),
    sources=("bhive: hsw", "bhive: skl"),
    machine_codes=["90", "", "4889d8"],
    token_sequence_ids=[0, 1, 0],
    cuts=(
        Cut("length", "By length", "Instructions.", ("1", "2–3"), np.array([[True, False], [False, True]] * 2)[:3]),
        Cut("kind", "By kind", "Kinds.", ("SSE",), np.array([[True], [False], [True]]), is_overlapping=True),
    ),
)
OLD = {
    "predictions": np.zeros((2, 1), dtype=np.float32),
    "labels": np.ones((2, 1), dtype=np.float32),
    "mask": np.ones((2, 1), dtype=bool),
    "fingerprints": np.array(["a", "b"]),
    "task_names": np.array(["hsw"]),
}


def saved(folder: Path, **arrays: object) -> Path:
    path = folder / "file.npz"
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def test_round_trip(tmp_path: Path) -> None:
    found = read_predictions(write_predictions(tmp_path / "p.npz", BLOCKS))
    np.testing.assert_array_equal(found.predictions, BLOCKS.predictions)
    np.testing.assert_array_equal(found.labels, BLOCKS.labels)
    np.testing.assert_array_equal(found.mask, BLOCKS.mask)
    for name in ("fingerprints", "task_names", "sources", "machine_codes", "token_sequence_ids"):
        assert getattr(found, name) == getattr(BLOCKS, name), name
    for cut, expected in zip(found.cuts, BLOCKS.cuts, strict=True):
        np.testing.assert_array_equal(cut.members, expected.members)
        for name in ("id", "title", "explanation", "names", "is_overlapping"):
            assert getattr(cut, name) == getattr(expected, name), name


def test_a_file_without_the_optional_parts_is_read(tmp_path: Path) -> None:
    found = read_predictions(saved(tmp_path, **OLD))
    assert (found.fingerprints, found.task_names) == (["a", "b"], ("hsw",))
    assert (list(found.machine_codes), list(found.cuts), list(found.token_sequence_ids)) == ([], [], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": None}, "has no array 'mask'"),
        ({"mask": np.ones((2, 2), dtype=bool)}, r"mask must have shape \(2, 1\), not \(2, 2\)"),
        ({"labels": np.ones(2)}, r"labels must have shape \(2, 1\), not \(2,\)"),
        ({"fingerprints": np.array(["a"])}, r"predictions must have shape \(1, 1\), not \(2, 1\)"),
        ({"predictions": np.array([["x"], ["y"]])}, "is not a file of predictions: could not convert string"),
        ({"predictions": np.array([[{}], [{}]])}, "is not a file of predictions: Object arrays cannot be loaded"),
        ({"token_sequence_ids": np.array([1])}, r"token sequences must have shape \(2,\), not \(1,\)"),
        ({"machine_code_sizes": np.array([0])}, r"machine codes must have shape \(2,\), not \(1,\)"),
        ({"cut_0_texts": np.frombuffer(b"only one", dtype=np.uint8)}, "cut 0 has 1 texts"),
        ({"cut_0_texts": np.frombuffer(b"a\x1fb\x1fc\x1f\x1fd", dtype=np.uint8)}, "has no array 'cut_0_members'"),
    ],
)
def test_another_form_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    arrays = {name: value for name, value in (OLD | changes).items() if value is not None}
    with pytest.raises(ArtifactError, match=message):
        read_predictions(saved(tmp_path, **arrays))


def test_a_missing_and_a_torn_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere\.npz does not exist"):
        read_predictions(tmp_path / "nowhere.npz")
    path = saved(tmp_path, **OLD)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ArtifactError, match=r"file\.npz: is not a file of predictions: File is not a zip file"):
        read_predictions(path)


def test_a_file_that_would_unpack_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, **OLD, filler=np.zeros(1 << 20, dtype=np.uint8))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(predictions_file, "MAX_BYTES", 1 << 19)
    with pytest.raises(ArtifactError, match=r"unpacks to 1,0\d\d,\d\d\d bytes, more than the 524,288 allowed"):
        read_predictions(path)
