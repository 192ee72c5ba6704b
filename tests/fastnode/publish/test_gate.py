"""The gate of a pipeline's folder: the pinned model's own report, out of its upload, is what a new one is held to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish.gate import pass_gate
from fastnode_ops.publish.registry import REGISTRY_FILE, find_registry
from fastnode_ops.publish_tasks import check_release, pin_model, upload_model
from fastnode_ops.validation.attribute_report import AttributeReport, write_report_json
from fastnode_ops.validation.release import ReleaseLimits
from ops_common.errors import ArtifactError, ConfigError, GateError
from tests.fastnode.publish.test_publish_tasks import METAINFO
from tests.fastnode.publish.test_upload import FILES, make_out
from tests.fastnode.validation.reports import make_report


def make_run(tmp_path: Path, name: str, report: AttributeReport | None) -> Path:
    work_dir = make_out(tmp_path / name, {**FILES, "metainfo.json": json.dumps(METAINFO).encode()})
    (work_dir / "out/serve/attr-fallback.txt").write_text(name)
    if report is not None:
        write_report_json(PipelineDir(work_dir).reports / "attributes.json", report)
    return work_dir


def make_product(tmp_path: Path, report: AttributeReport | None) -> Path:
    """A product that has a model with this report."""
    checkout = tmp_path / "product"
    checkout.mkdir()
    old = make_run(tmp_path, "old-run", report)
    upload_model(work_dir=str(old), destination=str(tmp_path / "store"))
    pin_model(work_dir=str(old), checkout_dir=str(checkout))
    return checkout


def judge(work_dir: Path, checkout: Path | None, **limits: float) -> dict[str, str | int | float | bool]:
    where = str(checkout) if checkout else ""
    return check_release(work_dir=str(work_dir), checkout_dir=where, **{"min_situations": 1, **limits})  # type: ignore[arg-type]


def test_the_first_model_is_held_against_popularity_alone(tmp_path: Path) -> None:
    (tmp_path / "product").mkdir()
    run = make_run(tmp_path, "run", make_report([0, 0, 1], [0, 1, 1]))
    for checkout in (tmp_path / "product", None):
        result = judge(run, checkout)
        assert result["passed"] is True and "margin_over_pinned" not in result
        assert result["margin_over_pop"] == pytest.approx(1 / 3)


def test_a_drop_below_the_pinned_model_is_measured(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, make_report([0, 0, 0, 0], [1] * 4, name="old"))
    run = make_run(tmp_path, "run", make_report([0, 0, 1, 0], [1] * 4))
    with pytest.raises(GateError, match=r"that of the pinned model old \(4 situations\) is 100\.0 %"):
        judge(run, checkout, max_recall_drop=0.24)
    assert judge(run, checkout, max_recall_drop=0.25)["margin_over_pinned"] == -0.25


def test_reports_that_do_not_compare_are_not_compared_in_silence(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, make_report([0], [1], name="old", digest="other"))
    run = make_run(tmp_path, "run", make_report([0], [1]))
    with pytest.raises(ConfigError, match="were validated on different situations"):
        judge(run, checkout)
    assert judge(run, checkout, max_recall_drop=1.0)["passed"] is True


def test_a_pinned_model_without_its_report(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, None)
    run = make_run(tmp_path, "run", make_report([0], [1]))
    with pytest.raises(ArtifactError, match="was uploaded without its validation"):
        judge(run, checkout)


def test_a_pinned_report_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, make_report([0], [1], name="old"))
    run = make_run(tmp_path, "run", make_report([0], [1]))
    stored = next((tmp_path / "store").rglob("attributes.json"))
    stored.write_bytes(stored.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match=r"attributes\.json has SHA-256"):
        judge(run, checkout)


def test_a_run_that_was_not_validated(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"attributes\.json does not exist"):
        judge(make_run(tmp_path, "run", None), None)


@pytest.mark.parametrize("report", [make_report([0], [1], name="old", digest="other"), None])
def test_a_pinned_model_that_does_not_compare_is_asked_again(tmp_path: Path, report: AttributeReport | None) -> None:
    checkout = make_product(tmp_path, report)
    run = make_run(tmp_path, "run", make_report([0, 1], [1, 1]))
    asked: list[list[str]] = []

    def validate(model: Path, like: AttributeReport, reports: Path) -> AttributeReport:
        assert (model / "expr_model.frozen.pb").read_bytes() == FILES["serve/expr_model.frozen.pb"]
        assert like.situations_digest == "same" and reports.parent == run / "tmp"
        asked.append(sorted(path.name for path in model.iterdir()))
        return make_report([0, 0], [1, 1], name="pinned")

    registry = find_registry(checkout) / REGISTRY_FILE
    limits = ReleaseLimits(min_situations=1, min_margin_over_pinned=-0.5)
    verdict = pass_gate(run, registry, ["json", "os"], limits, validate=validate)
    assert [check.value for check in verdict.checks if check.name == "margin_over_pinned"] == [-0.5]
    assert asked == [["attr-fallback.txt", "expr_model.frozen.pb", "metainfo-inference.json"]]


def test_a_pinned_model_that_compares_is_not_asked_again(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, make_report([0], [1], name="old"))
    run = make_run(tmp_path, "run", make_report([0], [1]))
    registry = find_registry(checkout) / REGISTRY_FILE

    def validate(model: Path, like: AttributeReport, reports: Path) -> AttributeReport:
        raise AssertionError("the report of its upload is of the same situations")

    assert pass_gate(run, registry, ["json", "os"], ReleaseLimits(min_situations=1), validate=validate).passed
