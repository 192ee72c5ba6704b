"""The first task of the completion model's workflows, and the approval: what they take from the form and the clock."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from airflow.providers.standard.operators.hitl import HITLOperator  # noqa: E402
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException  # noqa: E402
from airflow.sdk.execution_time.context import set_current_context  # noqa: E402
from ops_platform.approval import ReleaseApproval  # noqa: E402
from ops_platform.defaults import FASTNODE_CORPUS  # noqa: E402
from ops_platform.expression_requests import resolve_continuation, resolve_corpus, resolve_standalone  # noqa: E402
from ops_platform.requests import form_fields  # noqa: E402

from fastnode_ops.corpus_request import CorpusRequest  # noqa: E402
from fastnode_ops.requests import ContinueRequest, StandaloneRequest  # noqa: E402
from ops_common.errors import ConfigError  # noqa: E402


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "config/fastnode").mkdir(parents=True)
    (tmp_path / "config/fastnode/expression.toml").write_text("")
    monkeypatch.setenv("OPS_PROJECT_ROOT", str(tmp_path))
    monkeypatch.setenv("OPS_HOME", ".ops")
    yield tmp_path


def resolve(run_type: str, run_id: str = "run-1", **params: Any) -> dict[str, Any]:
    return _resolve("pythonexpr_standalone", resolve_standalone, StandaloneRequest, run_type, run_id, params)


def resolve_import(run_id: str = "import-1", **params: Any) -> dict[str, Any]:
    return _resolve("pythonexpr_import", resolve_corpus, CorpusRequest, "manual", run_id, params)


def resolve_more(run_type: str, **params: Any) -> dict[str, Any]:
    return _resolve("pythonexpr_continue", resolve_continuation, ContinueRequest, run_type, "run-2", params)


def _resolve(
    dag_id: str, task: Any, form: Any, run_type: str, run_id: str, params: dict[str, Any], extra: Any = None
) -> dict[str, Any]:
    dag_run = SimpleNamespace(dag_id=dag_id, run_id=run_id, run_type=run_type)
    context = {"dag_run": dag_run, "run_id": run_id, "params": {**form().model_dump(), **params}}
    if extra is not None:
        events = [
            SimpleNamespace(timestamp=0, extra={"train_conf": {"steps": 1}}),
            SimpleNamespace(timestamp=1, extra=extra),
        ]
        context["triggering_asset_events"] = {FASTNODE_CORPUS: events}
    arguments = (FASTNODE_CORPUS,) if task is resolve_standalone else ()
    with set_current_context(context):  # type: ignore[arg-type]
        plan: dict[str, Any] = task.function(*arguments)
    return plan


def test_a_manual_run_takes_the_form(root: Path) -> None:
    plan = resolve("manual", steps=300)
    assert plan["steps"] == 300
    assert plan["work_dir"] == plan["run_dir"] == str(root / ".ops/runs/pythonexpr_standalone/run-1")
    assert plan["corpus_dir"] == str(root / ".ops/data/python")
    assert (plan["destination"], plan["rundb"]) == ("s3://models", str(root / ".ops/runs/run-db"))
    assert plan["checkout_dir"] == str(root / ".ops/product") and (root / ".ops/product").is_dir()


def test_a_run_started_by_time_trains_as_long_as_the_deployment_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("scheduled")["steps"] == 20_000
    monkeypatch.setenv("OPS_NIGHTLY_STEPS", "77")
    assert resolve("scheduled", "run-3")["steps"] == 77


def test_a_run_that_is_cleared_keeps_its_plan_and_a_wrong_value_fails_it(root: Path) -> None:
    first = resolve("manual", packages=["os"])
    assert resolve("manual", packages=["os"]) == first
    with pytest.raises(AirflowFailException, match="packages was"):
        resolve("manual", packages=["json"])
    with pytest.raises(AirflowFailException, match=r"conf: sources: .* does not exist"):
        resolve("manual", "run-4", sources=["gone"])


def test_a_corpus_goes_to_the_training_that_it_starts(root: Path) -> None:
    (root / "code").mkdir()
    plan = resolve_import(sources=["code"], max_files=9, train_conf={"model_name": "mine"})
    assert plan["corpus_dir"] == str(root / ".ops/data/import-1")
    extra = {"training": plan["training"], "train_conf": plan["train_conf"]}
    arguments = ("pythonexpr_standalone", resolve_standalone, StandaloneRequest, "asset_triggered", "run-5", {})
    started = _resolve(*arguments, extra=extra)
    for name in ("corpus_dir", "sources", "max_files", "num_workers"):
        assert started[name] == plan[name]  # so that build_corpus finds the corpus finished
    assert (started["model_name"], started["steps"]) == ("mine", 20_000)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"train_conf": {"stepps": 1}}, "train_conf: unknown setting 'stepps'"),
        ({"train_conf": {"corpus": "x", "sources": ["y"]}}, "corpus, sources is said by the import itself"),
        ({"sources": ["gone"]}, r"sources: .*gone does not exist"),
    ],
)
def test_a_wrong_import_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(AirflowFailException, match=message):
        resolve_import(**params)


def test_a_night_takes_the_corpus_that_was_imported_last(root: Path) -> None:
    for name in ("first", "second", "failed"):
        (root / name).mkdir()
        plan = resolve_import(name, sources=[name])
        if name != "failed":
            Path(plan["corpus_dir"]).mkdir(parents=True)
            result = Path(plan["run_dir"]) / "results/build_corpus.json"
            result.write_text("{}")
            os.utime(result, (1, {"first": 1, "second": 2}[name]))
    plan = resolve("scheduled", "night-1")
    assert (plan["corpus_dir"], plan["sources"]) == (str(root / ".ops/data/second"), [str(root / "second")])
    (root / ".ops/data/second").rmdir()  # cleaned up meanwhile
    assert resolve("scheduled", "night-1") == plan  # a run that is cleared keeps what it had
    assert resolve("scheduled", "night-2")["corpus_dir"] == str(root / ".ops/data/first")
    assert resolve("manual", "by-hand")["corpus_dir"] == str(root / ".ops/data/python")


def test_a_continuation_finds_a_run_by_its_id(root: Path) -> None:
    run_id = "manual__2026-01-01T00:00:00+00:00"
    made = resolve("manual", run_id, model_name="mine")
    model = Path(made["work_dir"]) / "out/expr_model.uncompressed.frozen.pb"
    with pytest.raises(AirflowFailException, match="has not trained a model"):
        resolve_more("manual", run=run_id)
    model.parent.mkdir()
    model.write_bytes(b"model")
    plan = resolve_more("manual", run=run_id, steps=5)
    assert (plan["work_dir"], plan["model_name"], plan["steps"]) == (made["work_dir"], "mine", 5)
    assert plan["run_dir"] == str(root / ".ops/runs/pythonexpr_continue/run-2")


def test_nothing_to_continue_fails_a_person_and_skips_a_night() -> None:
    with pytest.raises(AirflowSkipException, match="nothing to train on: no run in"):
        resolve_more("scheduled")
    with pytest.raises(AirflowFailException, match=r"no run in .* has trained a model yet"):
        resolve_more("manual")


def test_the_defaults_of_the_forms_are_plain_values() -> None:
    for form in (StandaloneRequest, ContinueRequest):
        for name, field in form_fields(form).items():
            assert json.loads(json.dumps(field.value)) == field.value, name


def approval(**values: Any) -> ReleaseApproval:
    return ReleaseApproval(task_id="approve", subject="Release?", **{"is_required": True, "hours": 1, **values})


def test_an_approval_that_nobody_asked_for_does_not_wait() -> None:
    for text in (False, "False"):
        answer = ReleaseApproval.execute.__wrapped__(approval(is_required=text), {})  # type: ignore[attr-defined]
        assert answer["chosen_options"] == ["Approve"]


def test_an_approval_asks_and_waits_for_its_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Airflow's own operator is asked to do; how it waits is Airflow's."""
    asked: list[timedelta | None] = []
    monkeypatch.setattr(HITLOperator, "execute", lambda self, context: asked.append(self.response_timeout))
    operator = approval(hours="0.5")
    ReleaseApproval.execute.__wrapped__(operator, {})  # type: ignore[attr-defined]
    assert asked == [timedelta(minutes=30)]
    assert (operator.defaults, operator.options) == (["Reject"], ["Approve", "Reject"])
    with pytest.raises(ConfigError, match="says neither yes nor no"):
        ReleaseApproval.execute.__wrapped__(approval(is_required="maybe"), {})  # type: ignore[attr-defined]
