"""The release gate of a pipeline's folder: its validation against popularity, and against the model that is released.

The released model is the one that the destination's pointer names, or, where nothing was released by this workflow yet,
the one that the product pins. Its report comes out of its own upload. When that was made on other situations (the
corpus has grown, or more events were asked for), the model is asked again at the situations of the new one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish.registry import REGISTRY_FILE, find_registry, pinned_path, read_shards
from fastnode_ops.publish.uploaded import Uploaded, find_upload
from fastnode_ops.validation.attribute_report import AttributeReport, read_report_json
from fastnode_ops.validation.providers import MODEL_PROVIDER
from fastnode_ops.validation.release import ReleaseLimits, ReleaseVerdict, judge_differences, judge_release
from fastnode_ops.validation.situation_ranks import RANKS_NAME, SituationRanks, read_ranks
from ops_common.errors import ArtifactError, GateError
from ops_common.object_store import RetryPolicy
from ops_common.release_record import FigureInterval, ReleaseRecord, interval_figures, now_utc, write_release
from ops_common.releases import open_released, read_released
from ops_common.rundir import RunDir

LOG = logging.getLogger(__name__)

REPORT_FILE = "attributes.json"
NO_COMPARISON = 1.0
"""A drop of recall that no model can have: the released model does not matter."""

_PINNED_REPORT, _PINNED_RANKS = "pinned-attributes.json", "pinned-attributes-ranks.json"
_PINNED_MODEL, _PINNED_REPORTS = "pinned-model", "pinned-reports"

Validate = Callable[[Path, AttributeReport, Path], AttributeReport]
"""Asks a model, given its folder, what a report was made of; writes its own report into a folder and returns it."""


@dataclass
class _Other:
    """The model that a new one is compared with."""

    uri: str = ""
    released_then: str | None = None
    report: AttributeReport | None = None
    ranks: SituationRanks | None = None
    notes: list[str] = field(default_factory=list)


def pass_gate(
    work_dir: Path,
    registry_file: Path | None,
    packages: Sequence[str],
    limits: ReleaseLimits,
    *,
    destination: str = "",
    run_dir: Path | None = None,
    validate: Validate | None = None,
    policy: RetryPolicy | None = None,
) -> tuple[ReleaseVerdict, ReleaseRecord]:
    """Hold the validation of a new model against the limits; release.json is written in either case.

    Args:
        work_dir: The pipeline's folder, validated.
        registry_file: The product's list of models; None: compare with none that is pinned.
        packages: The packages that the model is for.
        limits: What is needed. With a margin over the released model of -1 that one is not asked for.
        destination: Where models are published, for the one that is released there; empty: only a pinned one counts.
        run_dir: Folder of the run, for release.json; None: work_dir.
        validate: Validates the released model where its own report does not compare; None: that is an error then.
        policy: How patient to be with S3.

    Raises:
        GateError: A check failed; the message and the record hold every number.
        ConfigError: The two models were validated on different situations, and `validate` is None.
        ArtifactError: There is no validation of the new model, the released model is damaged, or there is no
            validation of it and `validate` is None.
    """
    folder, run = PipelineDir(Path(work_dir)), RunDir(run_dir or work_dir)
    report = read_report_json(folder.reports / REPORT_FILE)
    other = _Other(notes=["it was not to be compared with a released model"])
    if limits.min_margin_over_pinned > -NO_COMPARISON:
        other = _find_other(folder, registry_file, packages, destination, report, validate, policy)
    verdict = judge_release(report, other.report, limits)
    intervals: tuple[FigureInterval, ...] = ()
    if other.ranks is not None:
        mine = read_ranks(folder.reports / RANKS_NAME)
        checks, intervals = judge_differences(mine, other.ranks, other.uri, limits)
        checks = (*verdict.checks, *checks)
        verdict = ReleaseVerdict(passed=all(check.passed for check in checks), checks=checks)
    record = _record(run, report, verdict, other, intervals, limits)
    write_release(run.path, record)
    for note in record.notes:
        LOG.info("%s", note)
    for check in verdict.checks:
        LOG.info("%s: %s", "passed" if check.passed else "FAILED", check.text)
    if not verdict.passed:
        reasons = "; ".join(record.reasons)
        run.mark_failed(f"not released: {reasons}")
        raise GateError(
            f"{report.model} is not released: {reasons}",
            "read reports/attributes.html, then train longer, change the model, or set other limits on purpose",
        )
    return verdict, record


def result_of_gate(verdict: ReleaseVerdict, record: ReleaseRecord) -> dict[str, str | int | float | bool]:
    """The verdict as flat figures, for the result of a task."""
    result: dict[str, str | int | float | bool] = {"passed": verdict.passed, "compared_with": record.compared_with}
    for check in verdict.checks:
        if check.value is not None and check.name not in record.figures:
            result[check.name] = check.value
    return {**result, **interval_figures(record)}


def _record(
    run: RunDir,
    report: AttributeReport,
    verdict: ReleaseVerdict,
    other: _Other,
    intervals: tuple[FigureInterval, ...],
    limits: ReleaseLimits,
) -> ReleaseRecord:
    everywhere = report.providers[MODEL_PROVIDER].all
    figures = {
        "top_1_share": everywhere.share(1),
        "top_5_share": everywhere.share(5),
        "mean_reciprocal_rank": everywhere.mean_reciprocal_rank,
        "num_situations": float(everywhere.num_situations),
    }
    return ReleaseRecord(
        family="pythonexpr",
        run=run.path.resolve().name,
        decision="passed" if verdict.passed else "refused",
        reasons=tuple(check.text for check in verdict.failures),
        notes=tuple(other.notes),
        compared_with=other.uri,
        released_then=other.released_then,
        figures={name: value for name, value in figures.items() if value is not None},
        intervals=intervals,
        thresholds={name: float(value) for name, value in limits.model_dump().items()},
        at=now_utc(),
    )


def _find_other(
    folder: PipelineDir,
    registry_file: Path | None,
    packages: Sequence[str],
    destination: str,
    report: AttributeReport,
    validate: Validate | None,
    policy: RetryPolicy | None,
) -> _Other:
    """The model to compare with, and what it answered on the same situations where that can be had."""
    other = _Other()
    released = read_released(destination, policy=policy) if destination else None
    pinned = pinned_path(read_shards(registry_file), packages, registry_file) if registry_file is not None else ""
    if destination:
        other.released_then = released.model_uri if released else ""
    if released is not None:
        open_released(released, policy=policy)  # its manifest is still the one that was released
        other.uri, address = released.model_uri, f"{released.model_uri}/{folder.serve.name}"
        if pinned and pinned != address:
            LOG.warning("%s is pinned, and %s is released: compared with the latter", pinned, address)
    elif pinned:
        other.uri = address = pinned
    else:
        other.notes.append("no model is released or pinned yet: there is none to compare with")
        return other
    LOG.info("compared with %s", address)
    _ask_other(other, folder, find_upload(address, policy=policy), report, validate)
    return other


def _ask_other(
    other: _Other, folder: PipelineDir, upload: Uploaded, report: AttributeReport, validate: Validate | None
) -> None:
    """The other model's report and ranks, out of its upload, or of a validation made now."""
    kept, ranks = folder.tmp / _PINNED_REPORT, folder.tmp / _PINNED_RANKS
    if _download(upload, f"{folder.reports.name}/{REPORT_FILE}", kept):
        other.report = read_report_json(kept)
        is_same = other.report.situations_digest == report.situations_digest
        has_ranks = _download(upload, f"{folder.reports.name}/{RANKS_NAME}", ranks)
        if is_same and has_ranks:
            other.ranks = read_ranks(ranks)
            return
        if validate is None:
            other.notes.append(f"{upload.uri} was uploaded without what it answered: there are no intervals")
            return
    if validate is None:
        raise ArtifactError(
            f"the released model {upload.uri} was uploaded without its validation ({REPORT_FILE})",
            "compare by hand, then allow a drop of recall of 1 to leave the comparison out",
        )
    other.notes.append(f"{upload.uri} was validated again, at the situations of the new model")
    model, reports = folder.tmp / _PINNED_MODEL, folder.tmp / _PINNED_REPORTS
    for place in (model, reports):
        shutil.rmtree(place, ignore_errors=True)
    for key, entry in upload.files.items():
        name = key.removeprefix(f"{upload.prefix}/")
        upload.store.get_file(key, model / name, sha256=entry["sha256"])
    other.report = validate(model, report, reports)
    other.ranks = read_ranks(reports / RANKS_NAME)


def _download(upload: Uploaded, key: str, path: Path) -> bool:
    """Copies a file of an upload, which has the digest that the manifest says; answers whether there is one."""
    entry = upload.manifest["files"].get(key)
    if entry is None:
        return False
    upload.store.get_file(key, path, sha256=entry["sha256"])
    return True


def registry_of(checkout_dir: str) -> Path | None:
    """The list of models of a product's checkout; None without a checkout."""
    return find_registry(Path(checkout_dir)) / REGISTRY_FILE if checkout_dir else None


def validate_with(corpus_dir: Path) -> Validate:
    """What asks a model at the situations of a corpus, as many as a report says."""

    def validate(model: Path, like: AttributeReport, reports: Path) -> AttributeReport:
        from fastnode_ops.inference.completer import Completer
        from fastnode_ops.statistics.resources import open_resources
        from fastnode_ops.validation.runs import AttributeOutputs, LoadedModel, validate_attributes

        resources = open_resources(corpus_dir)
        loaded = LoadedModel("pinned", model, Completer.load(model, resources))
        max_events = int(like.provenance.settings["max_events"])
        return validate_attributes(loaded, resources, AttributeOutputs(reports), max_events=max_events)

    return validate
