"""The gate of a pipeline's folder: the pinned model's own report, out of its upload, is what a new one is held to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.publish.gate import pass_gate
from fastnode_ops.publish.registry import REGISTRY_FILE, find_registry
from fastnode_ops.publish.rolling_back import repin
from fastnode_ops.publish_tasks import pin_model, upload_model
from fastnode_ops.release_tasks import check_release, release_model, releases, roll_back_model
from fastnode_ops.validation.attribute_report import AttributeReport, write_report_json
from fastnode_ops.validation.release import ReleaseLimits
from fastnode_ops.validation.situation_ranks import RANKS_NAME, SituationRanks, write_ranks
from ops_common.errors import ArtifactError, ConfigError, DataError, GateError
from ops_common.release_record import ReleaseRecord, read_release
from ops_common.releases import Release
from tests.fastnode.publish.test_publish_tasks import METAINFO
from tests.fastnode.publish.test_upload import FILES, make_out
from tests.fastnode.validation.reports import make_report


def make_run(tmp_path: Path, name: str, report: AttributeReport | None, ranks: list[int] | None = None) -> Path:
    """A pipeline's folder with a validation; with ranks, each of a file of its own."""
    work_dir = make_out(tmp_path / name, {**FILES, "metainfo.json": json.dumps(METAINFO).encode()})
    (work_dir / "out/serve/attr-fallback.txt").write_text(name)
    if report is not None:
        write_report_json(PipelineDir(work_dir).reports / "attributes.json", report)
    if report is not None and ranks is not None:
        write_ranks(PipelineDir(work_dir).reports / RANKS_NAME, ranks_of(report, ranks))
    return work_dir


def ranks_of(report: AttributeReport, ranks: list[int]) -> SituationRanks:
    return SituationRanks.of(report.situations_digest, [f"file {number}" for number in range(len(ranks))], ranks)


def make_product(tmp_path: Path, report: AttributeReport | None, ranks: list[int] | None = None) -> Path:
    """A product that has a model with this report."""
    checkout = tmp_path / "product"
    checkout.mkdir()
    old = make_run(tmp_path, "old-run", report, ranks)
    upload_model(work_dir=str(old), destination=str(tmp_path / "store"))
    pin_model(work_dir=str(old), checkout_dir=str(checkout))
    return checkout


def judge(work_dir: Path, checkout: Path | None, **limits: float | str) -> dict[str, str | int | float | bool]:
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
    run = make_run(tmp_path, "run", make_report([0, 1], [1, 1]), [0, 1])
    asked: list[list[str]] = []

    def validate(model: Path, like: AttributeReport, reports: Path) -> AttributeReport:
        assert (model / "expr_model.frozen.pb").read_bytes() == FILES["serve/expr_model.frozen.pb"]
        assert like.situations_digest == "same" and reports.parent == run / "tmp"
        asked.append(sorted(path.name for path in model.iterdir()))
        again = make_report([0, 0], [1, 1], name="pinned")
        write_ranks(reports / RANKS_NAME, ranks_of(again, [0, 0]))
        return again

    registry = find_registry(checkout) / REGISTRY_FILE
    limits = ReleaseLimits(min_situations=1, min_margin_over_pinned=-0.5)
    with pytest.raises(GateError, match=r"top 1 share is 0\.5000, that of the released model .* 1\.0000 at the same 2"):
        pass_gate(run, registry, ["json", "os"], limits, validate=validate)
    limits = ReleaseLimits(min_situations=1, min_margin_over_pinned=-0.99, confidence=0.5)
    verdict, record = pass_gate(run, registry, ["json", "os"], limits, validate=validate)
    assert [check.value for check in verdict.checks if check.name == "margin_over_pinned"] == [-0.5]
    assert asked == 2 * [["attr-fallback.txt", "expr_model.frozen.pb", "metainfo-inference.json"]]
    assert "was validated again" in record.notes[0]


def test_a_pinned_model_that_compares_is_not_asked_again(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, make_report([0, 0], [1, 1], name="old"), [0, 0])
    run = make_run(tmp_path, "run", make_report([0, 0], [1, 1]), [0, 0])
    registry = find_registry(checkout) / REGISTRY_FILE

    def validate(model: Path, like: AttributeReport, reports: Path) -> AttributeReport:
        raise AssertionError("the report of its upload is of the same situations")

    assert pass_gate(run, registry, ["json", "os"], ReleaseLimits(min_situations=1), validate=validate)[0].passed


def released(work_dir: Path, store: Path) -> str:
    """A model that passed, uploaded and released."""
    judge(work_dir, None, destination=str(store))
    upload_model(work_dir=str(work_dir), destination=str(store))
    return str(release_model(work_dir=str(work_dir), destination=str(store))["model_uri"])


def test_the_released_model_is_compared_with_whatever_is_pinned(tmp_path: Path) -> None:
    checkout = make_product(tmp_path, make_report([1] * 4, [1] * 4, name="old"), [1] * 4)
    store = tmp_path / "store"
    first = make_run(tmp_path, "first", make_report([0] * 4, [1] * 4), [0] * 4)
    record = record_after(first, store)
    assert (record.decision, record.compared_with, record.released_then) == ("passed", "", "")
    uri = released(first, store)
    run = make_run(tmp_path, "run", make_report([0, 0, 1, 0], [1] * 4), [0, 0, 1, 0])
    with pytest.raises(GateError) as caught:
        judge(run, checkout, destination=str(store), max_recall_drop=0.25)
    record = record_of(run)
    assert (record.decision, record.compared_with) == ("refused", uri)
    assert record.figures == {
        "top_1_share": 0.75,
        "top_5_share": 1.0,
        "mean_reciprocal_rank": 0.875,
        "num_situations": 4.0,
    }
    # 0.25 less on average; the lower end of the interval lies further down, and that is what counts
    assert {one.figure: one.difference for one in record.intervals} == {
        "top_1_share": -0.25,
        "top_5_share": 0.0,
        "mean_reciprocal_rank": -0.125,
    }
    low = record.intervals[0].low
    assert low is not None and low < -0.25
    assert f"{low:+.4f}" in record.reasons[0] and record.reasons[0] in caught.value.message
    assert judge(run, checkout, destination=str(store), max_recall_drop=0.99)["top_1_share_low"] == low


def test_a_roll_back_pins_the_earlier_model_again(tmp_path: Path) -> None:
    store, checkout = tmp_path / "store", tmp_path / "product"
    checkout.mkdir()
    uris = []
    for name in ("first", "second"):
        run = make_run(tmp_path, name, make_report([0] * 4, [1] * 4), [0] * 4)
        uris.append(released(run, store))
        pin_model(work_dir=str(run), checkout_dir=str(checkout), model_path=f"{uris[-1]}/serve")
    registry = find_registry(checkout) / REGISTRY_FILE
    before = json.loads(registry.read_text())

    def back() -> dict[str, str | int | float | bool]:
        return roll_back_model(
            destination=str(store),
            why="slow",
            by="ann",
            request="r1",
            checkout_dir=str(checkout),
            runs_dirs=[str(tmp_path)],
        )

    assert back() | {"entry": "", "at": ""} == {
        "model_uri": uris[0],
        "rolled_back": uris[1],
        "entry": "",
        "at": "",
        "num_changed_files": 1,
    }
    after = json.loads(registry.read_text())
    assert after == [{**before[0], "ModelPath": f"{uris[0]}/serve"}]
    assert record_of(tmp_path / "second").decision == "rolled_back"
    assert back()["num_changed_files"] == 0  # the task is tried again
    assert releases(destination=str(store))["released"] == uris[0]


def test_no_roll_back_to_a_damaged_model_changes_the_product(tmp_path: Path) -> None:
    store, checkout = tmp_path / "store", tmp_path / "product"
    checkout.mkdir()
    uris = [
        released(make_run(tmp_path, name, make_report([0] * 4, [1] * 4), [0] * 4), store)
        for name in ("first", "second")
    ]
    pin_model(work_dir=str(tmp_path / "second"), checkout_dir=str(checkout))
    registry = find_registry(checkout) / REGISTRY_FILE
    before = registry.read_bytes()
    (Path(uris[0]) / "serve/expr_model.frozen.pb").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"expr_model\.frozen\.pb has SHA-256"):
        roll_back_model(destination=str(store), checkout_dir=str(checkout))
    assert registry.read_bytes() == before
    assert releases(destination=str(store))["released"] == uris[1]


def test_a_product_with_several_models_is_not_guessed_at(tmp_path: Path) -> None:
    release = Release(
        family="pythonexpr",
        run="back",
        decision="rolled_back",
        model_uri="/store/a",
        manifest_sha256="0" * 64,
        replaced="/store/b",
        replaced_entry="",
        entry="e",
        at="",
    )
    assert repin(tmp_path, release) == 0  # nothing is pinned there
    shards = [{"ModelPath": f"/elsewhere/{name}/serve", "Packages": [name]} for name in ("json", "os")]
    registry = find_registry(tmp_path) / REGISTRY_FILE
    registry.parent.mkdir(parents=True)
    registry.write_text(json.dumps(shards))
    with pytest.raises(DataError, match="lists 2 models, and none of them is /store/b"):
        repin(tmp_path, release)


def record_of(run: Path) -> ReleaseRecord:
    record = read_release(run)
    assert record is not None
    return record


def record_after(run: Path, store: Path) -> ReleaseRecord:
    judge(run, None, destination=str(store))
    return record_of(run)
