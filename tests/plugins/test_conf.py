"""One schema for a request, whichever way it comes: the form, a command line, a file."""

import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from airflow.sdk.exceptions import ParamValidationError  # noqa: E402
from airflow.serialization.definitions.param import SerializedParam, SerializedParamsDict  # noqa: E402
from ops_platform.conf import REQUESTS, check_conf, first_line, main, read_fields  # noqa: E402
from ops_platform.requests import form_fields  # noqa: E402

from ops_common.config import Section, build_config, read_values, to_toml  # noqa: E402
from ops_common.errors import ConfigError  # noqa: E402

ROOT = Path(__file__).parents[2]

WRONG: list[Any] = [-1, 0, 0.5, 1, 2, 3, 7.0, 1e12, "", "x", "7", "../x", "s3://models/x", "/tmp/x", "http://h:1"]
WRONG += [True, [], ["a=1"], ["a"], [1], ["a", "a"], ["stdlib"], {}, {"gpus": 1}, {"gpus": "many"}, {"x": 1}]
"""Values of all kinds: each of them is right for some field and wrong for others."""


@functools.cache
def fields_of(request: type[Section]) -> dict[str, Any]:
    return form_fields(request)


def by_form(request: type[Section], values: Mapping[str, Any]) -> str:
    """What a form, the REST API and --conf do: Airflow's server checks the fields, the run's first task the request."""
    known = {name: field for name, field in fields_of(request).items() if name in values}
    server = SerializedParamsDict({name: SerializedParam(field.value, **field.schema) for name, field in known.items()})
    try:
        merged = server.deep_merge(values).validate()
    except Exception as error:
        assert "ParamValidationError" in type(error).__name__
        name, _, said = str(error).removeprefix("Invalid input for param ").partition(": ")
        return f"conf: {name}: {first_line(ParamValidationError(said))}"
    return by_model(request, merged)


def by_model(request: type[Section], values: Mapping[str, Any]) -> str:
    try:
        return to_text(build_config(request, values, where="conf"))
    except ConfigError as error:
        return error.message


def to_text(model: Section) -> str:
    return json.dumps(model.model_dump(), sort_keys=True)


def by_check(request: type[Section], values: Mapping[str, Any]) -> str:
    try:
        check_conf(request, values)
    except ConfigError as error:
        return error.message
    return by_model(request, values)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


CASES = {
    (name, repr(field)): (dag_id, name)  # a field that several requests share is one case
    for dag_id, request in REQUESTS.items()
    for name, field in request.model_fields.items()
}


@pytest.mark.parametrize(("dag_id", "name"), CASES.values())
def test_form_command_line_and_file_take_and_refuse_the_same(dag_id: str, name: str, tmp_path: Path) -> None:
    request = REQUESTS[dag_id]
    default = fields_of(request)[name].value
    values = [*WRONG, *([] if default is None else [default])]
    said = [by_form(request, {name: value}) for value in values]
    assert any(text.startswith("conf") for text in said), "no value was refused"
    for value, expected in zip(values, said, strict=True):
        path = tmp_path / "request.toml"
        path.write_text(f"{name} = {as_toml(value)}\n")
        from_file = read_values(path)
        assert from_file == {name: value}
        assert by_check(request, from_file) == expected, ("a file", value)
        spelled = read_fields(request, [f"{name}={as_toml(value)}"])
        if spelled != from_file:  # a field of text takes any text: on a command line 7 is the text "7" there
            assert isinstance(spelled[name], str)
            assert by_check(request, spelled) == by_form(request, spelled), ("the command line", value)


def test_every_workflow_has_the_fields_of_its_request() -> None:
    from airflow.dag_processing.dagbag import DagBag

    dags = DagBag(str(ROOT / "dags")).dags
    with_request = {dag_id: list(dag.params) for dag_id, dag in dags.items() if dag.params}
    assert with_request == {dag_id: list(request.model_fields) for dag_id, request in REQUESTS.items()}


@pytest.mark.parametrize("dag_id", sorted(REQUESTS))
def test_an_unknown_field_is_named_and_the_nearest_one_too(dag_id: str) -> None:
    request = REQUESTS[dag_id]
    name = next(iter(request.model_fields))
    with pytest.raises(ConfigError, match=rf"conf: unknown setting '{name}x'\n.*did you mean '{name}'"):
        check_conf(request, {f"{name}x": 1})
    assert by_form(request, {f"{name}x": 1}) == f"conf: unknown setting '{name}x'"


def test_the_command_prints_what_file_and_fields_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "request.toml"
    path.write_text('training_steps = 5\ndataset = "mine"\noverrides = ["batch.max_blocks=7"]\n')
    assert main(["gematria_train", "--file", str(path), "training_steps=9", "destination=s3://models/x"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "training_steps": 9,
        "dataset": "mine",
        "overrides": ["batch.max_blocks=7"],
        "destination": "s3://models/x",
    }
    assert main(["gematria_train", "training_steps=none"]) == 3
    assert "conf: training_steps: 'none' is not of type 'integer', 'null'" in capsys.readouterr().err
    assert main(["gematria_train", "training_steps"]) == 3
    assert main(["gematria_train", "--file", str(tmp_path / "missing.json")]) == 3


def test_the_name_of_a_data_set_may_look_like_a_number() -> None:
    assert read_fields(REQUESTS["gematria_import"], ["dataset=2024"]) == {"dataset": "2024"}


def test_settings_of_a_training_are_read_alike_from_file_and_override(tmp_path: Path) -> None:
    from gematria_ops.config import RunnerConfig

    path = tmp_path / "settings.toml"
    path.write_text("[optimizer]\nlearning_rate = 0.5\n[model]\ntask_output_layers = [3]\n")
    given = RunnerConfig.from_toml(None, ["optimizer.learning_rate=0.5", "model.task_output_layers=[3]"])
    assert to_toml(RunnerConfig.from_toml(path)) == to_toml(given)


def test_the_command_starts_without_a_platform() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops_platform.conf", "pythonexpr_standalone", "steps=0"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin:/bin", "HOME": str(ROOT / ".ops")},
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "conf: steps: 0 is less than the minimum of 1" in done.stderr
