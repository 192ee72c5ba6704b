"""Graph samples per second and core: steps of one session over files of the standard library, made in one process.

Seconds are those of the processor, since the machine may be shared. A sample takes the analysis of a file (unless it is
kept from another sample), the choice of a site, the analysis of the edited text, and the graphs around the site. The
target is 60 graph samples a second on one core. "split" says what each part takes of a sample, nested parts left out.
The corpus is small, so most files are kept; "nothing_kept" has each file analysed for each draw, as with many files.
"""

from __future__ import annotations

import gc
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import psutil

from benchmarks.harness import told_by_command_line, write_result
from benchmarks.train_step import run_child

NUM_FILES = 250
NUM_STEPS = {"kept": 20, "nothing_kept": 5, "split": 10}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_samples_per_cpu_second": 60}
    with TemporaryDirectory() as folder:
        build(Path(folder))
        for which in NUM_STEPS:
            values[which] = run_child("benchmarks.sample_rate", {"folder": folder, "which": which})
    write_result("sample_rate", values, output)
    return values


def build(folder: Path) -> None:
    """Build a corpus of files of the standard library, and its metainfo."""
    from fastnode_ops.corpus.sources import STANDARD_LIBRARY
    from fastnode_ops.statistics.corpus_building import build_corpus
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.traindata.building import build_metainfo

    build_corpus(folder, [STANDARD_LIBRARY], NUM_FILES, psutil.cpu_count() or 1)
    build_metainfo(open_resources(folder)).write(folder / "metainfo.json")


def measure(folder: str, which: str) -> dict[str, Any]:
    """Make the steps of a session; runs in a child process."""
    from fastnode_ops.server.workers import GC_THRESHOLDS

    maker, originals = open_maker(Path(folder), which)
    maker.make(0)  # fills the caches of words and symbols
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # as in a worker
    clock = start_clock() if which == "split" else None
    started_at, resident, cpu_seconds = time.time(), [], 0.0
    digest, drops, num_samples = hashlib.sha256(), Counter[str](), 0
    for step in range(1, 1 + NUM_STEPS[which]):
        started = time.process_time()
        made = maker.make(step)
        cpu_seconds += time.process_time() - started
        num_samples += made.batch.num_samples
        drops.update(made.drops)
        digest.update(orjson.dumps(made.batch.to_json(), option=orjson.OPT_SERIALIZE_NUMPY))
        resident.append(psutil.Process().memory_info().rss / 2**20)
    measured = {
        "graph_samples": num_samples,
        "samples_per_cpu_second": round(num_samples / cpu_seconds, 1),
        "first_result_at": started_at,
    }
    if clock is not None:
        seconds = {**clock.seconds, "other": cpu_seconds - sum(clock.seconds.values())}
        return measured | {
            "milliseconds_per_sample": {name: round(1000 * value / num_samples, 2) for name, value in seconds.items()}
        }
    return measured | {
        "share_of_files_kept": round(1 - originals.num_parsed / originals.num_asked, 3),
        "drops_per_sample": {name: round(count / num_samples, 3) for name, count in drops.most_common(12)},
        "resident_mebibytes": [round(resident[0]), round(resident[-1])],
        "sha256": digest.hexdigest(),
    }


def open_maker(folder: Path, which: str) -> tuple[Any, Any]:
    """Return the maker of a session with default proportions, and its files, which are counted."""
    from fastnode_ops.config import SampleConfig
    from fastnode_ops.samples.maker import SampleMaker
    from fastnode_ops.samples.metainfo import read_metainfo
    from fastnode_ops.samples.originals import MAX_CACHED_BYTES, Originals
    from fastnode_ops.samples.request import session_request
    from fastnode_ops.statistics.resources import open_resources

    class Counted(Originals):
        """Counts how often a file is asked for, and parsed."""

        num_asked = num_parsed = 0

        def analysis(self, *arguments: Any) -> Any:
            """Count, and return the analysis."""
            self.num_asked += 1
            return super().analysis(*arguments)

        def _keep(self, *arguments: Any) -> Any:
            self.num_parsed += 1
            return super()._keep(*arguments)

    resources = open_resources(folder)
    size = 0 if which == "nothing_kept" else MAX_CACHED_BYTES
    originals = Counted(resources.corpus, resources.symbols, size)
    request = session_request(
        read_metainfo(folder / "metainfo.json"), SampleConfig(max_samples=40), seed=1, num_batches=1
    )
    return SampleMaker(resources, request, originals=originals), originals


class Clock:
    """Adds up what each part takes, without the parts within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    def switch(self, running: list[str]) -> None:
        """Go on with the last of the parts that run now."""
        now = time.process_time()
        if self._running:
            part = self._running[-1]
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._running, self._since = running, now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time taken."""

        def wrapper(*arguments: Any, **options: Any) -> Any:
            before = self._running
            is_edited = part in TWICE and ("edited" in before or "context graph" in before)
            name = f"{part}, edited text" if is_edited else part
            if name in before:
                return function(*arguments, **options)
            self.switch([*before, name])
            try:
                return function(*arguments, **options)
            finally:
                self.switch(before)

        return wrapper


TWICE = ("parse", "scopes", "inference")
"""What is done for the file and for the edited text."""


def start_clock() -> Clock:
    """Have the parts timed, in this process from now on."""
    from fastnode_ops.analysis import analysis, inference
    from fastnode_ops.graphs import expansion, program
    from fastnode_ops.samples import (
        argument_tasks,
        attribute_tasks,
        maker,
        name_sites,
        name_tasks,
        originals,
        production_sites,
        sample,
    )

    clock = Clock()
    places: list[tuple[Any, str, str]] = [
        (originals, "parse", "parse"),
        (originals, "resolve_scopes", "scopes"),
        (analysis, "parse", "parse"),
        (analysis, "resolve_scopes", "scopes"),
        (inference.Inference, "terms", "inference"),
        (maker, "make_sample", "site search and edit"),
        (sample, "analyse", "edited"),
        (name_sites, "data_flow", "data flow"),
        (program, "data_flow", "data flow"),
        (name_tasks, "name_feed", "context graph"),
        (argument_tasks, "production_feed", "context graph"),
        (attribute_tasks, "production_feed", "context graph"),
        (name_sites, "split", "split"),
        (production_sites, "split", "split"),
        (expansion, "_features", "features"),
        (maker, "assemble", "assembly"),
    ]
    for owner, name, part in places:
        setattr(owner, name, clock.timed(part, getattr(owner, name)))
    return clock


if __name__ == "__main__":
    main()
