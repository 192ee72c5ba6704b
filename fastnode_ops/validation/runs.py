"""The steps of the pipeline that validate a model: from a loaded model and a corpus to reports, lists and examples.

validate_attributes   reports/attributes.*, fallback lists, examples, a run record
validate_calls        reports/calls.*, a run record
"""

from __future__ import annotations

import importlib.metadata
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from fastnode_ops.config import Split
from fastnode_ops.pipeline_dir import FALLBACK_NAME
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.validation.attribute_report import AttributeReport, Provenance
from fastnode_ops.validation.attributes import Judged, judge, write_records
from fastnode_ops.validation.call_situations import walk_calls
from fastnode_ops.validation.calls import CallCompleter, CallReport, judge_calls
from fastnode_ops.validation.examples import write_examples
from fastnode_ops.validation.fallback import merge_fallback, write_fallback
from fastnode_ops.validation.held_out import Files
from fastnode_ops.validation.popularity import Alphabet, Popularity, SymbolCounts
from fastnode_ops.validation.providers import MODEL_PROVIDER, AttributeCompleter, ModelProvider, Provider
from fastnode_ops.validation.ranking import TOP
from fastnode_ops.validation.report import (
    CALLS_HTML_NAME,
    CALLS_JSON_NAME,
    HTML_NAME,
    JSON_NAME,
    write_call_reports,
    write_reports,
)
from fastnode_ops.validation.run_record import Feed, Run, RunResult, count_errors, create_run
from fastnode_ops.validation.situation_ranks import RANKS_NAME, SituationRanks, write_ranks
from fastnode_ops.validation.situations import situations_digest, walk_situations
from ops_common.artifacts import sha256_file
from ops_common.errors import DataError

ATTRIBUTE_PIPELINE = "ggnn-attribute-completions-validate"
CALL_PIPELINE = "ggnn-call-completions-validate"

_VERSIONED = ("tensorflow", "tree-sitter", "tree-sitter-python", "numpy")


class Completer(AttributeCompleter, CallCompleter, Protocol):
    """The part of `inference.completer.Completer` that is needed here."""


class Resources(Protocol):
    """The part of `statistics.resources.Resources` that is needed here."""

    @property
    def corpus(self) -> Files:
        """The files."""

    @property
    def symbols(self) -> SymbolStore:
        """The symbols."""

    @property
    def index(self) -> SymbolCounts:
        """How often symbols occur in the training files."""

    @property
    def digest(self) -> str:
        """SHA-256 over all of it."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that can be asked.

    Args:
        name: What reports call it.
        folder: Where its files are; their digests go into the reports.
        completer: The model.
    """

    name: str
    folder: Path
    completer: Completer

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of its files by name; not of the list that a validation of it has put beside them."""
        files = (path for path in sorted(self.folder.iterdir()) if path.is_file() and path.name != FALLBACK_NAME)
        return {path.name: sha256_file(path) for path in files}


@dataclass(frozen=True, slots=True)
class AttributeOutputs:
    """Where an attribute validation writes; None: that part is not written.

    Args:
        reports: Folder of `attributes.json` and `attributes.html`.
        fallback_of_pipeline: The fallback list of this validation.
        fallback_hardcoded: The list that is always on it, a file to read.
        fallback: Both lists merged.
        examples: Folder of examples.
        records: Folder of one record per situation and provider.
        rundb: Folder or `s3://` prefix of run records; empty: none.
    """

    reports: Path
    fallback_of_pipeline: Path | None = None
    fallback_hardcoded: Path | None = None
    fallback: Path | None = None
    examples: Path | None = None
    records: Path | None = None
    rundb: str = ""


def providers_of(model: AttributeCompleter, resources: Resources) -> list[Provider]:
    """Return everybody who is asked: the model in two views, popularity, the alphabet."""
    popularity = Popularity(resources.symbols, resources.index)
    return [ModelProvider(model), ModelProvider(model, drop_rest=True), popularity, Alphabet(popularity)]


def validate_attributes(
    model: LoadedModel,
    resources: Resources,
    outputs: AttributeOutputs,
    *,
    split: Split = "validation",
    max_events: int = 1_000,
    num_examples: int = 1_000,
) -> AttributeReport:
    """Ask all providers at the situations of a split, and write what came of it.

    Examples and lists are written whatever their number.

    Raises:
        DataError: The split has no situation.
    """
    started = time.monotonic()
    settings: dict[str, Any] = {"split": split, "max_events": max_events, "num_examples": num_examples}
    with _recorded(outputs.rundb, ATTRIBUTE_PIPELINE, model, resources, settings) as run:
        dropped: Counter[str] = Counter()
        providers = providers_of(model.completer, resources)
        situations = walk_situations(resources.corpus, resources.symbols, split, dropped)
        judged = judge(situations, providers, max_situations=max_events, num_examples=num_examples)
        if not judged.situations:
            raise DataError(f"the {split} files have no situation: {_reasons(dropped)}", "take a larger corpus")
        digests = {"corpus": resources.digest, "situations": situations_digest(judged.situations), **model.digests()}
        report = AttributeReport(
            model=model.name,
            split=split,
            num_files=len({one.file_id for one in judged.situations}),
            num_situations=len(judged.situations),
            dropped=dict(sorted(dropped.items())),
            providers=judged.figures(providers),
            symbols=judged.symbols(),
            fallback=judged.fallback(),
            provenance=_provenance(started, digests, settings),
        )
        _write_attributes(report, judged, outputs)
        ranks = [one.rank for one in judged.outcomes[MODEL_PROVIDER]]
        files = [one.file_id for one in judged.situations]
        write_ranks(outputs.reports / RANKS_NAME, SituationRanks.of(report.situations_digest, files, ranks))
        if run is not None:
            for name in (HTML_NAME, JSON_NAME):
                run.add_artifact(outputs.reports / name)
            run.finish(_attribute_results(report), {"situations": _feed(report.num_situations, dropped)})
    return report


def validate_calls(
    model: LoadedModel,
    resources: Resources,
    reports: Path,
    *,
    rundb: str = "",
    split: Split = "validation",
    max_events: int = 1_000,
) -> CallReport:
    """Ask the model at the calls of a split, and write `calls.json` and `calls.html`.

    Raises:
        DataError: The split has no call that can be asked about.
    """
    started = time.monotonic()
    settings: dict[str, Any] = {"split": split, "max_events": max_events}
    with _recorded(rundb, CALL_PIPELINE, model, resources, settings) as run:
        dropped: Counter[str] = Counter()
        calls = walk_calls(resources.corpus, resources.symbols, split, dropped)
        judged = judge_calls(calls, model.completer, resources.symbols, max_situations=max_events)
        if not judged.num_situations:
            raise DataError(f"the {split} files have no call: {_reasons(dropped)}", "take a larger corpus")
        report = CallReport(
            model=model.name,
            split=split,
            num_files=len(judged.files),
            num_situations=judged.num_situations,
            num_answered=len(judged.matches),
            dropped=dict(sorted(dropped.items())),
            failures=dict(sorted(judged.failures.items())),
            latency=judged.latency,
            by_num_args=judged.figures(),
            provenance=_provenance(started, {"corpus": resources.digest, **model.digests()}, settings),
        )
        write_call_reports(report, reports)
        if run is not None:
            for name in (CALLS_HTML_NAME, CALLS_JSON_NAME):
                run.add_artifact(reports / name)
            named = {name: value for one in report.by_num_args for name, value in one.named().items()}
            results = [RunResult(Name=name, Value=value) for name, value in named.items()]
            run.finish(results, {"calls": _feed(report.num_situations, dropped + judged.failures)})
    return report


def main_figures(report: AttributeReport) -> dict[str, int | float]:
    """Return the few figures that a person looks at first, by plain names."""
    figures: dict[str, int | float] = {"num_situations": report.num_situations}
    for name, one in report.providers.items():
        key = name.replace("-", "_")
        figures[f"{key}_answered"] = one.answered.num_situations
        for number in (1, 5):
            figures[f"{key}_top_{number}"] = round(one.common.share(number) or 0.0, 4)
    model = report.providers[MODEL_PROVIDER]
    if model.calibration is not None and model.calibration.temperature is not None:
        figures["temperature"] = model.calibration.temperature
    figures["num_fallback"] = sum(row.is_listed for row in report.fallback)
    return figures


@contextmanager
def _recorded(
    rundb: str, pipeline: str, model: LoadedModel, resources: Resources, settings: Mapping[str, Any]
) -> Iterator[Run | None]:
    """Keep a record of what is done inside, if there is a place for it; whatever ends it early stands in it."""
    if not rundb:
        yield None
        return
    params = {
        "ExprModel": str(model.folder),
        "MaxEvents": settings["max_events"],
        "Split": settings["split"],
        "CorpusDigest": resources.digest,
        "ModelDigests": model.digests(),
        "Versions": _versions(),
    }
    run = create_run(rundb, pipeline, model.name, params)
    try:
        yield run
    except BaseException as error:
        run.fail(str(error) or type(error).__name__)
        raise


def _write_attributes(report: AttributeReport, judged: Judged, outputs: AttributeOutputs) -> None:
    if outputs.examples is not None:
        write_examples(outputs.examples, judged.examples)
    if outputs.records is not None:
        write_records(outputs.records, judged.records)
    if outputs.fallback_of_pipeline is not None:
        write_fallback(outputs.fallback_of_pipeline, [row.symbol for row in report.fallback if row.is_listed])
        if outputs.fallback is not None and outputs.fallback_hardcoded is not None:
            merge_fallback(outputs.fallback_of_pipeline, outputs.fallback_hardcoded, outputs.fallback)
    write_reports(report, outputs.reports)


def _attribute_results(report: AttributeReport) -> Sequence[RunResult]:
    results = []
    for name, one in report.providers.items():
        results.append(RunResult(Name=f"{name} count", Value=one.answered.num_situations, Aggregator="global-top-n"))
        for number in TOP:
            share = one.answered.share(number)
            results.append(RunResult(Name=f"{name} top-{number}", Value=share, Aggregator="global-top-n"))
    return results


def _feed(num_out: int, dropped: Counter[str]) -> Feed:
    return Feed(In=num_out + dropped.total(), Out=num_out, ErrsByReason=count_errors(dropped, "corpus"))


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{number} times {reason}" for reason, number in sorted(dropped.items())) or "there is no file"


def _provenance(started: float, digests: dict[str, str], settings: dict[str, Any]) -> Provenance:
    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(time.monotonic() - started, 3),
        digests=digests,
        settings=settings,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in _VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions
