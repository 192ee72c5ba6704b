"""The predictions and labels of every held-out block on disk, which a comparison of two models needs.

One file of NumPy's compressed format, without pickled objects. Texts of any length are stored as one run of bytes with
offsets, since NumPy's own text arrays take four bytes times the longest for each.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gematria_ops.inference.metrics import BoolArray, FloatArray
from gematria_ops.inference.slicing import Cut
from ops_common.artifacts import atomic_path
from ops_common.errors import ArtifactError

PREDICTIONS_NAME = "evaluation_predictions.npz"

# Unpacked; some thirty times what all of BHive needs.
MAX_BYTES = 1 << 30

_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class BlockPredictions:
    """The predictions of one model on the blocks of one split.

    Attributes:
        predictions: float64 [B, K], cycles per iteration; NaN where the model gave none.
        labels: float64 [B, K], cycles per iteration.
        mask: bool [B, K], True where there is a label.
        fingerprints: B digests of the machine code.
        task_names: K names.
        sources: K source strings of the labels; empty when the file does not hold them, as are the next two.
        machine_codes: B strings of lower-case hex.
        token_sequence_ids: B numbers, equal where the token sequences are.
        cuts: Ways to cut the blocks into parts.
    """

    predictions: FloatArray
    labels: FloatArray
    mask: BoolArray
    fingerprints: Sequence[str]
    task_names: tuple[str, ...]
    sources: tuple[str, ...] = ()
    machine_codes: Sequence[str] = ()
    token_sequence_ids: Sequence[int] = ()
    cuts: Sequence[Cut] = ()


def write_predictions(path: Path, blocks: BlockPredictions) -> Path:
    """Writes the file, under a temporary name first; predictions and labels as float32."""
    arrays: dict[str, Any] = {
        "predictions": blocks.predictions.astype(np.float32),
        "labels": blocks.labels.astype(np.float32),
        "mask": blocks.mask,
        "fingerprints": np.array(blocks.fingerprints, dtype=np.str_),
        "task_names": np.array(blocks.task_names, dtype=np.str_),
        "sources": np.array(blocks.sources, dtype=np.str_),
        "machine_code_bytes": np.frombuffer(bytes.fromhex("".join(blocks.machine_codes)), dtype=np.uint8),
        "machine_code_sizes": np.array([len(code) // 2 for code in blocks.machine_codes], dtype=np.int64),
        "token_sequence_ids": np.array(blocks.token_sequence_ids, dtype=np.int64),
    }
    for index, cut in enumerate(blocks.cuts):
        texts = (cut.id, cut.title, cut.explanation, "overlapping" if cut.is_overlapping else "", *cut.names)
        arrays[f"cut_{index}_texts"] = np.frombuffer(_SEPARATOR.join(texts).encode("utf-8"), dtype=np.uint8)
        arrays[f"cut_{index}_members"] = cut.members
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def read_predictions(path: Path) -> BlockPredictions:
    """Reads what `write_predictions` wrote, or an older file without the optional parts.

    Raises:
        ArtifactError: The file is missing, torn, too large, or not of this form.
    """
    hint = "evaluate the model again (evaluate-model)"
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise ArtifactError(f"{path}: unpacks to {size:,d} bytes, more than the {MAX_BYTES:,d} allowed")
        with np.load(path, allow_pickle=False) as arrays:
            blocks = _from_arrays({name: arrays[name] for name in arrays.files})
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist", hint) from None
    except KeyError as error:
        raise ArtifactError(f"{path}: has no array {error}", hint) from error
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path}: is not a file of predictions: {error}", hint) from error
    _check(blocks, path, hint)
    return blocks


def _from_arrays(arrays: dict[str, npt.NDArray[Any]]) -> BlockPredictions:
    code = arrays.get("machine_code_bytes", np.zeros(0, dtype=np.uint8)).tobytes().hex()
    ends = 2 * np.cumsum(arrays.get("machine_code_sizes", np.zeros(0, dtype=np.int64)))
    starts = [0, *ends.tolist()]
    return BlockPredictions(
        predictions=arrays["predictions"].astype(np.float64),
        labels=arrays["labels"].astype(np.float64),
        mask=arrays["mask"].astype(np.bool_),
        fingerprints=arrays["fingerprints"].tolist(),
        task_names=tuple(arrays["task_names"].tolist()),
        sources=tuple(arrays["sources"].tolist()) if "sources" in arrays else (),
        machine_codes=[code[start:end] for start, end in pairwise(starts)],
        token_sequence_ids=arrays["token_sequence_ids"].tolist() if "token_sequence_ids" in arrays else (),
        cuts=tuple(_cut(arrays, index) for index in range(len(arrays)) if f"cut_{index}_texts" in arrays),
    )


def _cut(arrays: dict[str, npt.NDArray[Any]], index: int) -> Cut:
    texts = arrays[f"cut_{index}_texts"].tobytes().decode("utf-8").split(_SEPARATOR)
    if len(texts) < 4:
        raise ValueError(f"cut {index} has {len(texts)} texts")
    cut_id, title, explanation, overlapping, *names = texts
    members = arrays[f"cut_{index}_members"].astype(np.bool_)
    return Cut(cut_id, title, explanation, tuple(names), members, is_overlapping=bool(overlapping))


def _check(blocks: BlockPredictions, path: Path, hint: str) -> None:
    num_blocks, num_tasks = len(blocks.fingerprints), len(blocks.task_names)
    shapes = {
        "predictions": (blocks.predictions.shape, (num_blocks, num_tasks)),
        "labels": (blocks.labels.shape, (num_blocks, num_tasks)),
        "mask": (blocks.mask.shape, (num_blocks, num_tasks)),
        "sources": ((len(blocks.sources) or num_tasks,), (num_tasks,)),
        "machine codes": ((len(blocks.machine_codes) or num_blocks,), (num_blocks,)),
        "token sequences": ((len(blocks.token_sequence_ids) or num_blocks,), (num_blocks,)),
        **{f"cut {cut.id}": (cut.members.shape, (num_blocks, len(cut.names))) for cut in blocks.cuts},
    }
    for name, (found, expected) in shapes.items():
        if found != expected:
            raise ArtifactError(f"{path}: {name} must have shape {expected}, not {found}", hint)
