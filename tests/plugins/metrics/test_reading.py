"""Metrics of run folders that the libraries' own writers made, damaged ones too, and the dashboard over them."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from ops_platform import settings
from ops_platform.metrics.names import BY_NAME, METRICS, Sample
from ops_platform.metrics.page import as_text
from ops_platform.metrics.reading import Collector
from prometheus_client.parser import text_string_to_metric_families

from fastnode_ops.statistics.corpus_building import CORPUS_REPORT_NAME, CorpusSummary
from fastnode_ops.sync.app import metrics_text
from gematria_ops.tasks import import_bhive
from ops_common.artifacts import write_json, write_manifest
from ops_common.metrics import append_metrics
from ops_common.release_record import ReleaseRecord, write_release
from ops_common.rundir import RunDir

ROOT = Path(__file__).parents[3]
NOW = 1_800_000_000.0
DASHBOARD = ROOT / "docs" / "dashboards" / "model_training.json"
NAME = re.compile(r"\b(?:ops|fastnode)_[a-z_]+\b")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[settings.Settings]:
    """Two runs of each training, one released model, one refused, and a data set of each family."""
    home = tmp_path_factory.mktemp("ops")
    config = settings.load({"OPS_HOME": str(home)})
    for index, decision in enumerate(("released", "refused")):
        run = RunDir.create(config.runs_root / "gematria_train" / f"night-{index}", {"training_steps": 200})
        for step in (100, 200):
            append_metrics(run.metrics_path, step, {"loss": 1.5 / step, "samples_per_second": 50, "seconds": step / 4})
        append_metrics(run.metrics_path, 200, {"validation_mape_percent_hsw": 9.25})
        write_release(run.path, record(f"night-{index}", decision))
        if index == 0:
            run.mark_done()
        else:
            run.mark_failed("gate")
        os.utime(run.request_path, (NOW - 7200 + 3600 * index,) * 2)
    made = RunDir.create(config.runs_root / "pythonexpr_standalone" / "first", {})
    append_metrics(made.path / "tmp" / "metrics.jsonl", 60, {"loss": 0.5, "samples_per_second": 3.9, "seconds": 15.0})
    tasks = {"train_model": {"wall_seconds": 61.5, "cpu_seconds": 100.0, "gpu_seconds": 0.0}}
    write_json(made.path / "record.json", {"tasks": tasks})
    csv = home / "hsw.csv"
    csv.write_text("4829d38b44246c,100.0\nzz,1.0\n4829d3,abc\n4889d8,50.0\n")
    import_bhive(csv_files=[str(csv)], source_names=["bhive: hsw"], dataset_dir=str(config.data_root / "blocks"),
                 max_rejected_share=0.5)  # fmt: skip
    corpus = config.data_root / "python"
    files = {"files": {"num_files": 600, "dropped": {"too_large": 4}}}
    write_json(corpus / CORPUS_REPORT_NAME, asdict(CorpusSummary("00", 600, 1, 1, 4, False, files)))
    write_manifest(corpus, [CORPUS_REPORT_NAME])
    yield config


def record(run: str, decision: str) -> ReleaseRecord:
    at = "2027-01-15T07:00:00+00:00" if decision == "released" else "2027-01-15T07:30:00+00:00"
    figures = {"mape_percent_hsw": 9.1}
    return ReleaseRecord(family="gematria", run=run, decision=decision, figures=figures, at=at)  # type: ignore[arg-type]


def values(samples: list[Sample], metric: str) -> dict[tuple[str, ...], float]:
    names = BY_NAME[metric].labels
    return {tuple(one.labels[name] for name in names): one.value for one in samples if one.metric == metric}


def test_what_runs_and_data_sets_say(deployment: settings.Settings) -> None:
    samples = Collector(deployment, lambda: NOW).collect()

    def of(metric: str) -> dict[tuple[str, ...], float]:
        return values(samples, metric)

    assert of("ops_runs")["gematria_train", "done"] == 1
    assert of("ops_runs")["gematria_train", "failed"] == 1
    assert ("gematria_train", "night-1", "failed") in of("ops_newest_run_info")
    assert of("ops_newest_run_age_seconds")["gematria_train",] == 3600
    assert of("ops_training_step") == {("gematria_train",): 200, ("pythonexpr_standalone",): 60}
    assert of("ops_training_loss")["gematria_train",] == pytest.approx(0.0075)
    assert of("ops_training_steps_per_second") == {("gematria_train",): 4.0}  # one report alone has no rate
    assert of("ops_validation_figure") == {("gematria_train", "mape_percent_hsw"): 9.25}
    assert of("ops_task_seconds") == {("pythonexpr_standalone", "train_model"): 61.5}
    assert of("ops_candidates") == {("gematria", "refused"): 1, ("gematria", "released"): 1}
    assert of("ops_released_model_info") == {("gematria", "night-0"): 1}
    assert of("ops_released_model_age_seconds") == {("gematria",): NOW - 1_799_996_400}
    assert of("ops_released_model_figure") == {("gematria", "mape_percent_hsw"): 9.1}
    assert of("ops_data_samples") == {("gematria", "blocks"): 2, ("pythonexpr", "python"): 600}
    dropped = of("ops_data_dropped")
    assert dropped["pythonexpr", "python", "too_large"] == 4
    assert sum(count for (family, _, _), count in dropped.items() if family == "gematria") == 2
    assert of("ops_unreadable_files") == {(): 0}
    assert all(count > 0 for count in of("ops_disk_free_bytes").values())


def test_the_text_is_read_back_by_prometheus(deployment: settings.Settings) -> None:
    text = as_text(Collector(deployment).collect())
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert found["ops_runs"].documentation == BY_NAME["ops_runs"].help
    assert {sample.labels["state"] for sample in found["ops_runs"].samples} == {"done", "failed", "open"}


def test_every_query_of_the_dashboard_names_an_exported_metric(deployment: settings.Settings) -> None:
    syncer = dict.fromkeys(("epoch", "num_ready", "num_used", "num_verified", "local_bytes", "max_local_bytes"), 1)
    syncer |= {"num_duplicates": 0, "num_batches_verified": 1, "paused": 0}
    state = {**syncer, "refused": {"corrupt": 1}, "hosts": [{"name": "gen1", "state": "ok"}]}
    exported = as_text(Collector(deployment).collect()) + metrics_text(state)
    names = {family.name for family in text_string_to_metric_families(exported)}
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) > 20
    assert {name for query in queries for name in NAME.findall(query)} <= names
    shown = {name for query in queries for name in NAME.findall(query)}
    assert {metric.name for metric in METRICS} - shown <= {"ops_newest_run_info", "ops_released_model_info"}
    labels = {
        label for panel in panels for one in panel["targets"] for label in re.findall(r"{{(\w+)}}", one["legendFormat"])
    }
    assert labels <= {label for metric in METRICS for label in metric.labels} | {"host"}


def test_damaged_files_are_counted_and_hide_nothing_else(tmp_path: Path) -> None:
    config = settings.load({"OPS_HOME": str(tmp_path)})
    run = RunDir.create(config.runs_root / "gematria_train" / "x", {})
    run.metrics_path.write_bytes(b'{"step": 1, "loss": 2.0}\nnot json\n')
    (run.path / "record.json").write_bytes(b"\xff")
    (run.path / "release.json").write_text("[1]")
    collector = Collector(config)
    samples = collector.collect()
    assert values(samples, "ops_unreadable_files") == {(): 2}
    assert values(samples, "ops_runs")["gematria_train", "open"] == 1
    assert values(samples, "ops_candidates") == {}
    run.metrics_path.write_bytes(b'{"step": 1, "loss": null}\n{"step": 2, "loss": 2.0}\n{"step": 3, "lo')
    (run.path / "record.json").write_text('{"tasks": {"a": null, "b": {"wall_seconds": "many"}}}')
    samples = collector.collect()
    assert values(samples, "ops_unreadable_files") == {(): 0}
    assert values(samples, "ops_training_step") == {("gematria_train",): 2}
    assert values(samples, "ops_task_seconds") == {}


def test_nothing_at_all(tmp_path: Path) -> None:
    names = {sample.metric for sample in Collector(settings.load({"OPS_HOME": str(tmp_path / "none")})).collect()}
    assert names == {"ops_disk_free_bytes", "ops_disk_used_bytes", "ops_unreadable_files", "ops_collect_seconds"}


def test_a_label_cannot_break_the_text(tmp_path: Path) -> None:
    config = settings.load({"OPS_HOME": str(tmp_path)})
    RunDir.create(config.runs_root / 'evil"\n{x' / "<script>", {})
    text = as_text(Collector(config).collect())
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == "ops_newest_run_info"]
    assert family.samples[0].labels == {"dag_id": 'evil"\n{x', "run": "<script>", "state": "open"}


def test_a_long_curve_is_read_from_its_end(tmp_path: Path) -> None:
    config = settings.load({"OPS_HOME": str(tmp_path)})
    run = RunDir.create(config.runs_root / "gematria_train" / "x", {})
    lines = [json.dumps({"step": step, "loss": 1.0, "seconds": step}) for step in range(1, 20_000)]
    run.metrics_path.write_text("\n".join(lines) + "\n")
    samples = Collector(config).collect()
    assert values(samples, "ops_training_step") == {("gematria_train",): 19_999}
    assert values(samples, "ops_training_steps_per_second") == {("gematria_train",): 1.0}
