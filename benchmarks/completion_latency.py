"""How long one attribute completion of a 300-line buffer takes: parsing, context graph, expansion graph and decoding.

Files of 250 to 350 lines of the standard library, up to five cursors each; a model of the default sizes with fresh
weights, since what it answers costs the same as what a trained one answers. Target: 95 % within 100 ms.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, told_by_command_line, write_result

NUM_FILES = 600
MAX_BUFFERS = 40
LINES = range(250, 351)
NUM_WARM = 10


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_p95_milliseconds": 100}
    with tempfile.TemporaryDirectory() as folder:
        for what in ("build", "latency"):
            plan = json.dumps({"what": what, "folder": folder})
            command = [sys.executable, "-m", "benchmarks.completion_latency", "--measure", plan]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            values |= json.loads(done.stdout.splitlines()[-1])
    write_result("completion_latency", values, output)
    return values


def measure(what: str, folder: str) -> dict[str, Any]:
    """Do a part of the benchmark; runs in a child process."""
    return build(Path(folder)) if what == "build" else latency(Path(folder))


def build(folder: Path) -> dict[str, Any]:
    """Build a corpus, its metainfo, and a model of the default sizes."""
    from fastnode_ops.config import ModelConfig
    from fastnode_ops.models.export import write_frozen_graph
    from fastnode_ops.models.expression import Expression
    from fastnode_ops.models.inputs import Vocabulary
    from fastnode_ops.models.serving import GRAPH_NAME, METAINFO_NAME
    from fastnode_ops.statistics.corpus_building import build_corpus
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.traindata.building import build_metainfo

    summary = build_corpus(folder / "corpus", ["stdlib"], max_files=NUM_FILES, num_workers=2)
    metainfo = build_metainfo(open_resources(folder / "corpus"))
    metainfo.write(folder / METAINFO_NAME)
    model = Expression(ModelConfig(), Vocabulary.of(metainfo), seed=1)
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    write_frozen_graph(folder / GRAPH_NAME, model.config, weights)
    return {"num_files": summary.num_files}


def latency(folder: Path) -> dict[str, Any]:
    """Ask for completions one by one."""
    import numpy as np

    from fastnode_ops.analysis.analysis import analyse
    from fastnode_ops.inference.completer import Completer
    from fastnode_ops.inference.unsupported import Unsupported
    from fastnode_ops.statistics.resources import open_resources
    from fastnode_ops.validation.situations import situations_of
    from ops_common.collecting import settle_collector

    resources = open_resources(folder / "corpus")
    completer = Completer.load(folder, resources)
    sources = (resources.corpus.source(file_id) for file_id in resources.corpus.files("train"))
    buffers = [source for source in sources if source.count(b"\n") in LINES][:MAX_BUFFERS]
    dropped: Counter[str] = Counter()
    questions = [
        situation.question
        for number, source in enumerate(buffers)
        for situation in situations_of(str(number), analyse(source, resources.symbols), dropped)
    ]
    settle_collector()
    milliseconds: list[float] = []
    for question in questions[:NUM_WARM] + questions:
        started = time.perf_counter()
        try:
            completer.attributes(question.source, question.cursor)
        except Unsupported as error:
            dropped[f"not answered: {error}"] += 1
            continue
        milliseconds.append(1_000 * (time.perf_counter() - started))
    measured = milliseconds[NUM_WARM:]
    median, p95 = np.percentile(measured, [50, 95])
    return {
        "num_buffers": len(buffers),
        "num_completions": len(measured),
        "mean_buffer_bytes": float(np.mean([len(source) for source in buffers])),
        "median_milliseconds": float(median),
        "p95_milliseconds": float(p95),
        "not_measured": dict(dropped),
    }


if __name__ == "__main__":
    main()
