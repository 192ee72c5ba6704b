"""The release gate of a pipeline's folder: its validation against popularity, and against what the product has now.

The pinned model's report comes out of its own upload. When that was made on other situations (the corpus has grown, or
more events were asked for), the pinned model is asked again at the situations of the new one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish.registry import pinned_path, read_shards
from fastnode_ops.publish.uploaded import Uploaded, find_upload
from fastnode_ops.validation.attribute_report import AttributeReport, read_report_json
from fastnode_ops.validation.release import ReleaseLimits, ReleaseVerdict, check_release
from ops_common.errors import ArtifactError
from ops_common.object_store import RetryPolicy

LOG = logging.getLogger(__name__)

REPORT_FILE = "attributes.json"
NO_COMPARISON = 1.0
"""A drop of recall that no model can have: the pinned model does not matter."""

_PINNED_REPORT, _PINNED_MODEL, _PINNED_REPORTS = "pinned-attributes.json", "pinned-model", "pinned-reports"

Validate = Callable[[Path, AttributeReport, Path], AttributeReport]
"""Asks a model, given its folder, what a report was made of; writes its own report into a folder and returns it."""


def pass_gate(
    work_dir: Path,
    registry_file: Path | None,
    packages: Sequence[str],
    limits: ReleaseLimits,
    *,
    validate: Validate | None = None,
    policy: RetryPolicy | None = None,
) -> ReleaseVerdict:
    """Hold the validation of a new model against the limits.

    Args:
        work_dir: The pipeline's folder, validated.
        registry_file: The product's list of models; None: compare with none.
        packages: The packages that the model is for.
        limits: What is needed. With a margin over the pinned model of -1 that one is not asked for.
        validate: Validates the pinned model where its own report does not compare; None: that is an error then.
        policy: How patient to be with S3.

    Raises:
        GateError: A check failed; the message holds every number.
        ConfigError: The two models were validated on different situations, and `validate` is None.
        ArtifactError: There is no validation of the new model, or none of the pinned one and `validate` is None.
    """
    folder = PipelineDir(Path(work_dir))
    report = read_report_json(folder.reports / REPORT_FILE)
    pinned = None
    if registry_file is not None and limits.min_margin_over_pinned > -NO_COMPARISON:
        path = pinned_path(read_shards(registry_file), packages, registry_file)
        if path:
            LOG.info("compared with the pinned model %s", path)
            pinned = _pinned_report(folder, find_upload(path, policy=policy), report, validate)
        else:
            LOG.info("%s pins no model yet: there is none to compare with", registry_file)
    return check_release(report, pinned, limits)


def _pinned_report(
    folder: PipelineDir, upload: Uploaded, report: AttributeReport, validate: Validate | None
) -> AttributeReport:
    """The pinned model's report on the same situations where that can be had."""
    key = f"{folder.reports.name}/{REPORT_FILE}"
    entry = upload.manifest["files"].get(key)
    if entry is not None:
        copy = folder.tmp / _PINNED_REPORT
        upload.store.get_file(key, copy, sha256=entry["sha256"])
        pinned = read_report_json(copy)
        if validate is None or pinned.situations_digest == report.situations_digest:
            return pinned
    if validate is None:
        raise ArtifactError(
            f"the pinned model {upload.uri} was uploaded without its validation ({key})",
            "compare by hand, then allow a drop of recall of 1 to leave the comparison out",
        )
    LOG.info("the pinned model is validated again: it was not asked at the same situations")
    model = folder.tmp / _PINNED_MODEL
    shutil.rmtree(model, ignore_errors=True)
    for key, entry in upload.files.items():
        name = key.removeprefix(f"{upload.prefix}/")
        upload.store.get_file(key, model / name, sha256=entry["sha256"])
    return validate(model, report, folder.tmp / _PINNED_REPORTS)


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
