"""Graph samples of the completion model: how many a core makes in a second, and where the time goes.

Default weights and sizes. One process makes the steps of one session after the other, as a worker of the graph data
server does. Target: 60 graph samples a second and core.

Two corpora. The small one, 250 files of the standard library, is parsed but once: all its files stay in memory. The
large one, 2,000 files of the standard library and of installed packages, is ten times as large as what a worker keeps
parsed, so most draws of files that their block of steps does not prefer parse them. Its build takes a few minutes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, told_by_command_line, write_result
from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.samples.originals import Originals

CORPORA = {"small": (["stdlib"], 250), "large": (["stdlib", "site-packages"], 2_000)}
"""Sources and most files of each."""

NUM_STEPS = 20
NUM_PROFILED_STEPS = 8

# Which functions count as which part. What one of them calls that is itself in the list is not counted twice.
PARTS = {
    "parse": ("analysis.analysis.parse", "samples.originals.parse"),
    "scopes": ("analysis.analysis.resolve_scopes", "samples.originals.resolve_scopes"),
    "inference": ("analysis.analysis.Analysis.values",),
    "graph": (
        "samples.production_sites.neighbourhood",
        "samples.production_sites.context_tokens",
        "samples.production_sites.split",
        "samples.name_sites.neighbourhood",
        "samples.name_sites.split",
    ),
    "sites_and_edit": ("samples.maker.make_sample",),
    "read_file": ("corpus.store.Corpus.source",),
    "assembly": ("samples.maker.assemble",),
}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_samples_per_second_and_core": 60}
    for name, (sources, max_files) in CORPORA.items():
        with tempfile.TemporaryDirectory() as folder:
            measured = in_child({"what": "build", "corpus_dir": folder, "sources": sources, "max_files": max_files})
            for what in ("rate", "parts"):
                measured |= in_child({"what": what, "corpus_dir": folder})
        values[name] = measured
    write_result("sample_rate", values, output)
    return values


def in_child(plan: dict[str, Any]) -> dict[str, Any]:
    """Measures in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.sample_rate", "--measure", json.dumps(plan)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure(what: str, corpus_dir: str, sources: Sequence[str] = (), max_files: int = 0) -> dict[str, Any]:
    """Do a part of the benchmark; runs in a child process."""
    folder = Path(corpus_dir)
    if what == "build":
        return build(folder, sources, max_files)
    return rate(folder) if what == "rate" else parts(folder)


def build(folder: Path, sources: Sequence[str], max_files: int) -> dict[str, Any]:
    """Build the corpus and its metainfo."""
    from fastnode_ops.statistics.corpus_building import build_corpus
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.traindata.building import build_metainfo

    summary = build_corpus(folder, list(sources), max_files=max_files, num_workers=2)
    build_metainfo(open_resources(folder)).write(folder / "metainfo.json")
    return {"num_files": summary.num_files}


def rate(folder: Path) -> dict[str, Any]:
    """Make steps and tell samples a second of CPU time."""
    import orjson

    step, files = _maker(folder)
    step(NUM_STEPS)  # caches of symbols and words
    files.reset()
    drops: Counter[str] = Counter()
    num_samples = num_bytes = num_files = 0
    started = time.process_time()
    for number in range(NUM_STEPS):
        first = len(files.asked)
        made = step(number)
        num_files += len(set(files.asked[first:]))
        num_samples += made.batch.num_samples
        drops.update(made.drops)
        num_bytes += len(orjson.dumps(made.batch.to_json(), option=orjson.OPT_SERIALIZE_NUMPY))
    seconds = time.process_time() - started
    reasons: Counter[str] = Counter()
    for name, count in drops.items():
        reasons[name.partition(": ")[2]] += count
    num_given_up = reasons.pop("slot_given_up", 0)
    return {
        "samples_per_second_and_core": num_samples / seconds,
        "milliseconds_per_batch": 1000 * seconds / NUM_STEPS,
        "samples_per_batch": num_samples / NUM_STEPS,
        "slots_given_up_per_batch": num_given_up / NUM_STEPS,
        "attempts_per_sample": (num_samples + reasons.total()) / num_samples,
        "drops_per_sample": {reason: count / num_samples for reason, count in reasons.most_common()},
        "json_bytes_per_batch": num_bytes / NUM_STEPS,
        "files_per_batch": num_files / NUM_STEPS,
        "share_of_files_parsed_before": 1 - files.num_parsed / len(files.asked),
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def parts(folder: Path) -> dict[str, Any]:
    """Make steps with a clock around the parts of the work; tell the share of each."""
    clock = Clock()
    for part, names in PARTS.items():
        for name in names:
            clock.watch(part, f"fastnode_ops.{name}")
    step, _ = _maker(folder)
    step(NUM_STEPS)
    clock.seconds.clear()
    started = time.process_time()
    for number in range(NUM_PROFILED_STEPS):
        step(number)
    total = time.process_time() - started
    shares = {part: clock.seconds[part] / total for part in PARTS}
    return {"share_of_time": {**shares, "rest": 1 - sum(shares.values())}}


class Clock:
    """CPU seconds of functions, without those of watched functions that they call."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def watch(self, part: str, name: str) -> None:
        """Put the clock around a function, given by the name under which it is called."""
        import pkgutil

        owner = pkgutil.resolve_name(name.rpartition(".")[0])
        attribute = name.rpartition(".")[2]
        function: Callable[..., Any] = getattr(owner, attribute)

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            self._inner.append(0.0)
            try:
                return function(*arguments, **named)
            finally:
                taken = time.process_time() - started
                self.seconds[part] += taken - self._inner.pop()
                if self._inner:
                    self._inner[-1] += taken

        setattr(owner, attribute, timed)


class WatchedFiles(Originals):
    """Remembers which files samples were made of."""

    def reset(self) -> None:
        """Begin anew."""
        self.asked: list[str] = []
        self.num_parsed = 0

    def analysis(self, file_id: str, source: bytes, *, is_preferred: bool = False) -> Analysis:
        """Return the analysis of a file."""
        self.asked.append(file_id)
        return super().analysis(file_id, source, is_preferred=is_preferred)


def _maker(folder: Path) -> tuple[Callable[[int], Any], WatchedFiles]:
    """Return what makes a step and the files it is made of, in a process that is set up as a worker is."""
    from fastnode_ops.config import ExpressionConfig
    from fastnode_ops.samples.maker import SampleMaker
    from fastnode_ops.samples.metainfo import read_metainfo
    from fastnode_ops.samples.request import session_request
    from fastnode_ops.statistics.resources import open_resources
    from ops_common.collecting import settle_collector

    request = session_request(read_metainfo(folder / "metainfo.json"), ExpressionConfig(), num_batches=1)
    resources = open_resources(folder)
    files = WatchedFiles(resources.corpus, resources.symbols)
    files.reset()
    maker = SampleMaker(resources, request, originals=files)
    settle_collector()
    return maker.make, files


if __name__ == "__main__":
    main()
