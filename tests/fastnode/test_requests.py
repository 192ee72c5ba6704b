"""What may be asked of the completion model's workflows: limits, contradictions, and the plans that follow."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from fastnode_ops.requests import ContinueRequest, NoRunYet, StandaloneRequest, plan_continuation, plan_standalone
from ops_common.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with settings, code, and a product beside it."""
    (tmp_path / "config/fastnode").mkdir(parents=True)
    (tmp_path / "config/fastnode/expression.toml").write_text("[samples]\nmax_samples = 12\n")
    (tmp_path / "packages.txt").write_text("numpy\n")
    for name in ("code", "product"):
        (tmp_path / name).mkdir()
    return tmp_path


def places(root: Path) -> dict[str, Any]:
    return {
        "project_root": root,
        "destination": "s3://models",
        "rundb": str(root / "run-db"),
        "checkout": root / "default-product",
    }


def standalone(root: Path, **values: Any) -> dict[str, Any]:
    return plan_standalone(values, data_root=root / "data", run_dir=root / "runs/7", **places(root))


def continuation(root: Path, **values: Any) -> dict[str, Any]:
    return plan_continuation(values, runs_root=root / "runs", **places(root))


def test_the_defaults_are_those_of_the_makefile(root: Path) -> None:
    assert standalone(root) == {
        "work_dir": str(root / "runs/7"),
        "model_name": "pythonexpr",
        "corpus_dir": str(root / "data/python"),
        "sources": [sysconfig.get_path("stdlib")],
        "max_files": 0,
        "num_workers": 2,
        "packages_file": "",
        "config_file": str(root / "config/fastnode/expression.toml"),
        "overrides": [],
        "codebook_max_epochs": 0,
        "steps": 1_000_000,
        "server": "",
        "server_workers": 1,
        "num_validate_samples": 1_000,
        "rundb": str(root / "run-db"),
        "max_recall_drop": 0.05,
        "min_margin_over_popularity": 0.0,
        "min_situations": 50,
        "min_answered_share": 0.2,
        "require_approval": False,
        "approval_hours": 12.0,
        "confidence": 0.95,
        "num_resamples": 1_000,
        "comparison_seed": 0,
        "release": True,
        "destination": "s3://models",
        "pod": {},
        "pin": True,
        "checkout_dir": str(root / "default-product"),
    }


def test_every_choice_of_the_form_reaches_the_plan(root: Path) -> None:
    plan = standalone(
        root,
        batch=4,
        max_samples=20,
        attr_proportion=1,
        attr_base_proportion=2,
        call_proportion=3,
        arg_type_proportion=4,
        kwarg_name_proportion=0,
        arg_placeholder_proportion=6.5,
        codebook_max_epochs=50,
        overrides=["train.learning_rate=0.1"],
        sources=["code", "site-packages"],
        packages=["json", "os"],
        checkout="product",
        destination="/srv/models/%t",
        server="http://localhost:3039",
        corpus="mine",
    )
    assert plan["overrides"] == [
        "train.batches_per_response=4",
        "samples.max_samples=20",
        "samples.attr_proportion=1.0",
        "samples.attr_base_proportion=2.0",
        "samples.call_proportion=3.0",
        "samples.arg_type_proportion=4.0",
        "samples.kwarg_name_proportion=0.0",
        "samples.arg_placeholder_proportion=6.5",
        "codebook.max_epochs=50",
        "train.learning_rate=0.1",
    ]
    assert plan["sources"] == [str(root / "code"), sysconfig.get_path("purelib")]
    assert Path(plan["packages_file"]).read_text() == "json\nos\n"
    assert (plan["checkout_dir"], plan["destination"]) == (str(root / "product"), "/srv/models/%t")
    assert (plan["server"], plan["corpus_dir"]) == ("http://localhost:3039", str(root / "data/mine"))
    assert plan["codebook_max_epochs"] == 50
    assert standalone(root, packages_file="packages.txt")["packages_file"] == str(root / "packages.txt")


def test_a_dry_run_is_short_and_its_model_is_not_pinned(root: Path) -> None:
    plan = standalone(root, dry_run=True, steps=5_000, codebook_max_epochs=700)
    assert (plan["steps"], plan["codebook_max_epochs"], plan["pin"]) == (10, 10, False)
    assert (plan["max_recall_drop"], plan["min_margin_over_popularity"], plan["min_answered_share"]) == (1, -1, 0)
    assert standalone(root, dry_run=True, steps=3)["steps"] == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "conf: steps: Input should be greater than or equal to 1 (given: 0)"),
        ({"steps": 1.5}, "conf: steps: Input should be a valid integer"),
        ({"batch": 0}, "conf: batch: Input should be greater than or equal to 1"),
        ({"max_samples": 10_001}, "conf: max_samples: Input should be less than or equal to 10000"),
        ({"max_samples": 5}, "samples.max_samples: must be at least 6, the number of tasks that are drawn"),
        ({"attr_proportion": -1}, "conf: attr_proportion: Input should be greater than or equal to 0"),
        ({"call_proportion": float("nan")}, "conf: call_proportion: Input should be a finite number"),
        (
            {
                f"{name}_proportion": 0
                for name in ("attr", "attr_base", "call", "arg_type", "kwarg_name", "arg_placeholder")
            },
            "samples: at least one task needs a proportion above 0",
        ),
        ({"num_validate_samples": 0}, "conf: num_validate_samples: Input should be greater than or equal to 1"),
        ({"codebook_max_epochs": 0}, "conf: codebook_max_epochs: Input should be greater than or equal to 1"),
        ({"rundb": "gs://runs"}, "conf: rundb: String should match pattern"),
        ({"rundb": "relative/folder"}, "conf: rundb: String should match pattern"),
        ({"destination": "http://models"}, "conf: destination: String should match pattern"),
        ({"server": "localhost:3039"}, "conf: server: String should match pattern"),
        ({"server": "http://a b"}, "conf: server: String should match pattern"),
        ({"model_name": "../x"}, "conf: model_name: String should match pattern"),
        ({"corpus": "../x"}, "conf: corpus: String should match pattern"),
        ({"packages": ["a b"]}, "conf: packages.0: String should match pattern"),
        ({"packages": ["os"], "packages_file": "packages.txt"}, "packages and packages_file say the same thing"),
        ({"sources": []}, "conf: sources: List should have at least 1 item"),
        ({"overrides": ["steps"]}, "conf: overrides: 'steps' is not section.key=value"),
        ({"overrides": ["train.rate=1"]}, "override 'train.rate=1': unknown setting 'train.rate'"),
        ({"overrides": ["train.seed=-1"]}, "train.seed: Input should be greater than or equal to 0"),
        ({"max_recall_drop": 1.1}, "conf: max_recall_drop: Input should be less than or equal to 1"),
        ({"approval_hours": 0}, "conf: approval_hours: Input should be greater than or equal to 0.01"),
        ({"config_file": "none.toml"}, "cannot read the settings file"),
        ({"step": 3}, "conf: unknown setting 'step'\n  hint: did you mean 'steps'?"),
    ],
)
def test_wrong_values_are_refused_by_name(root: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        standalone(root, **values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sources": ["gone"]}, "conf: sources: "),
        ({"packages_file": "gone.txt"}, "conf: packages_file: "),
        ({"checkout": "gone"}, "conf: checkout: "),
    ],
)
def test_what_does_not_exist_is_refused_by_name(root: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        standalone(root, **values)


def test_a_checkout_that_is_not_needed_need_not_exist(root: Path) -> None:
    plan = standalone(root, checkout="gone", pin=False)
    assert (plan["pin"], plan["checkout_dir"]) == (False, "")
    assert standalone(root, checkout="product", pin=False)["checkout_dir"] == str(root / "product")


def make_run(root: Path, name: str, age: int = 0, **plan: Any) -> Path:
    folder = root / "runs" / name
    (folder / "out").mkdir(parents=True)
    (folder / "results").mkdir()
    model = folder / "out/expr_model.uncompressed.frozen.pb"
    model.write_bytes(b"model")
    os.utime(model, (2_000_000_000 - age, 2_000_000_000 - age))
    made = {**standalone(root, model_name=name), **plan}
    (folder / "results/resolve_request.record.json").write_text(json.dumps({"result": made}))
    return folder


def test_a_continuation_takes_corpus_and_settings_of_its_run(root: Path) -> None:
    older = make_run(root, "older", age=100, overrides=["samples.max_samples=20"], codebook_max_epochs=70)
    newer = make_run(root, "newer")
    (root / "runs/unfinished").mkdir()
    plan = continuation(root, run="older", steps=500, num_validate_samples=10)
    assert plan.keys() == {*standalone(root)} - {"sources", "max_files", "num_workers"}
    assert (plan["work_dir"], plan["model_name"], plan["steps"]) == (str(older), "older", 500)
    assert (plan["overrides"], plan["codebook_max_epochs"]) == (["samples.max_samples=20"], 70)
    assert continuation(root)["work_dir"] == str(newer)
    assert continuation(root, run="older", dry_run=True)["codebook_max_epochs"] == 10


def test_runs_that_cannot_be_continued(root: Path) -> None:
    with pytest.raises(NoRunYet, match="has trained a model yet"):
        continuation(root)
    folder = make_run(root, "first")
    with pytest.raises(DataError, match="gone has not trained a model") as caught:
        continuation(root, run="gone")
    assert caught.value.hint.endswith("that have: first")
    with pytest.raises(DataError, match="has not trained a model"):
        continuation(root, run="../runs/first")
    (folder / "results/resolve_request.record.json").write_text("{}")
    with pytest.raises(DataError, match="does not say how it was made"):
        continuation(root, run="first")
    with pytest.raises(ConfigError, match="unknown setting 'model_name'"):
        continuation(root, model_name="x")


def test_every_field_has_a_default_and_says_what_it_is() -> None:
    for request in (StandaloneRequest, ContinueRequest):
        for name, field in request.model_fields.items():
            assert field.description, name
            assert not field.is_required(), name
