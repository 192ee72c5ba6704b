"""Samples made ahead of the training, part of `tasks.py`: on this machine, or one of many that do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnode_ops.datagen.generate import GenerateSummary

Result = dict[str, str | int | float | bool]


def generate_samples(
    *,
    metainfo_file: str,
    corpus_dir: str,
    out_dir: str,
    data_steps: int = 0,
    samples_per_file: int = 500,
    ranges: str = "",
    share: str = "",
    server: str = "",
    num_workers: int = 0,
    max_bytes: int = 20_000_000_000,
    patience_seconds: float = 0.0,
    config_file: str = "",
    overrides: list[str] | None = None,
    held_out: bool = False,
) -> Result:
    """Write training batches to files; goes on where it was interrupted, and makes nothing twice.

    Args:
        metainfo_file: What to draw from; `build-metainfo` writes it.
        corpus_dir: Folder of the corpus.
        out_dir: Where the files go; one such command works there at a time.
        data_steps: Number of batches, all ranges of all machines together; 0 with held_out: those of a validation.
        samples_per_file: Batches per file; range k is those from k times this on.
        ranges: Numbers of the ranges to make, such as 0-3,7,9; empty: all.
        share: The part of these to make, such as 2-of-3; each part has a folder of its own. Empty: all.
        server: Base URL of a graph data server; empty, or when none answers on this machine: a private one is started.
        num_workers: Processes of the private server that make samples; 0: one per core.
        max_bytes: Pause while the finished files are larger than this together; whoever fetches them makes room.
        patience_seconds: Fail when nobody has fetched any for as long as this; 0: wait however long it takes.
        config_file: Settings (TOML); empty: the defaults.
        overrides: Settings that replace those of the file, as section.key=value.
        held_out: Draw from the files kept for validation; a training looks for these in `<its data>/validation`.
    """
    from fastnode_ops.config import ExpressionConfig, Split
    from fastnode_ops.datagen.generate import generate
    from fastnode_ops.datagen.sample_set import SampleSet
    from fastnode_ops.samples.metainfo import read_metainfo
    from ops_common.config import load_config

    config = load_config(ExpressionConfig, Path(config_file) if config_file else None, overrides or [])
    data_steps = data_steps or (config.train.num_validation_batches if held_out else 0)
    split: Split = "validation" if held_out else "train"
    sample_set = SampleSet(read_metainfo(Path(metainfo_file)), config, data_steps, samples_per_file, split)
    summary = generate(
        sample_set,
        _work_list(sample_set.numbers, ranges, share),
        Path(out_dir),
        Path(corpus_dir),
        server=server,
        num_workers=num_workers,
        max_bytes=max_bytes,
        patience_seconds=patience_seconds or math.inf,
    )
    return {"out_dir": out_dir, **_told(summary)}


def _work_list(all_of_them: Sequence[int], ranges: str, share: str) -> Sequence[int]:
    """Numbers of the ranges to make."""
    from fastnode_ops.datagen.ranges import parse_ranges
    from fastnode_ops.datagen.sharing import ranges_of_share

    numbers = parse_ranges(ranges) if ranges else all_of_them
    return ranges_of_share(numbers, share) if share else numbers


def _told(summary: GenerateSummary) -> Result:
    """What was made, as a result."""
    return {
        "num_ranges": summary.num_ranges,
        "num_files_made": summary.num_files,
        "num_batches_made": summary.num_batches,
        "batches_per_second": round(summary.batches_per_second, 3),
    }
