"""What is to be deployed for a metainfo and its settings, and what of it exists already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.datagen.bundle import make_bundle
from fastnode_ops.datagen.deploy import Work
from fastnode_ops.datagen.sample_set import SampleSet
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.sample_files.names import SampleFileName, parse_name
from fastnode_ops.sample_files.reading import finished_files
from fastnode_ops.samples.metainfo import read_metainfo
from ops_common.errors import DataError, ServiceError

_ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Limits:
    """What a host may use.

    Args:
        num_workers: Processes that make samples; 0: one per core.
        max_bytes: Bytes of finished files at which it pauses until they are fetched.
        min_free_bytes: Room that it must have beyond what is copied there.
    """

    num_workers: int
    max_bytes: int
    min_free_bytes: int


def plan_work(
    place: PipelineDir,
    corpus_dir: Path,
    config: ExpressionConfig,
    *,
    data_steps: int,
    samples_per_file: int,
    finished: Iterable[SampleFileName],
    limits: Limits,
) -> Work:
    """Make the bundle, and say what is to be made.

    Args:
        place: The pipeline's folder.
        corpus_dir: The corpus.
        config: All settings.
        data_steps: Training batches, all hosts together.
        samples_per_file: Training batches in a range.
        finished: Sample files that need not be made.
        limits: What a host may use.

    Raises:
        ConfigError: A number is out of its limits.
        DataError: There is no metainfo.
    """
    sample_set = SampleSet(read_metainfo(place.metainfo), config, data_steps, samples_per_file)
    numbers, names = sample_set.numbers, set(finished)
    parameters = {**sample_set.identity, "data_steps": data_steps, "samples_per_file": samples_per_file}
    bundle = make_bundle(place.path, metainfo_path=place.metainfo, config=config, parameters=parameters)

    options = {
        "metainfo-file": "{code}/metainfo.json",
        "config-file": "{code}/config.toml",
        "corpus-dir": "{corpus}",
        "out-dir": "{samples}",
        "data-steps": data_steps,
        "samples-per-file": samples_per_file,
        "ranges": "{ranges}",
        "num-workers": limits.num_workers,
        "max-bytes": limits.max_bytes,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    identity = json.dumps(sample_set.identity, sort_keys=True)
    return Work(
        bundle=bundle,
        corpus_dir=corpus_dir,
        identity=hashlib.sha256(identity.encode()).hexdigest(),
        ranges=numbers,
        data_steps=data_steps,
        samples_per_file=samples_per_file,
        finished={number for number in numbers if sample_set.header(number).name in names},
        command=["{python}", "-m", "fastnode_ops", "generate-samples", *words],
        min_free_bytes=limits.min_free_bytes,
    )


def finished_names(data_dir: Path | None, syncer: str) -> Collection[SampleFileName]:
    """Return the sample files that need not be made: those in our folder, and those that a syncer has or had.

    Args:
        data_dir: Our folder; None: there is none.
        syncer: Base URL of the syncer that fetches them; empty: there is none.

    Raises:
        ServiceError: The syncer does not answer. Without it, what was fetched and used would be made again.
    """
    names = set(finished_files(data_dir)) if data_dir else set()
    return names | _names_of_syncer(syncer) if syncer else names


def _names_of_syncer(syncer: str) -> set[SampleFileName]:
    """What the syncer verified: files that are ready, and files that were used in this epoch."""
    try:
        answer = httpx.get(f"{syncer.rstrip('/')}/verified", timeout=_ANSWER_SECONDS, trust_env=False)
        answer.raise_for_status()
        return {parse_name(name) for name in answer.json()}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, AttributeError, DataError) as error:
        raise ServiceError(
            f"the syncer at {syncer} does not say what it has: {str(error) or type(error).__name__}",
            "make sync, or leave SYNCER empty: then what was fetched and used is made again",
        ) from None
