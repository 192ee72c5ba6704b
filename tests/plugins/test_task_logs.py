"""Run and task in every line of a task's log, also in those that a library wrote past our streams."""

import json
import logging
from types import SimpleNamespace

import pytest
from ops_platform import settings
from ops_platform.task_logs import line_of_log, log_environment
from ops_platform.task_outcome import log_level

from ops_common.errors import ConfigError

CONTEXT = {
    "run_id": "manual__1",
    "ti": SimpleNamespace(dag_id="gematria_train", task_id="train_model", map_index=-1, try_number=2),
}


def test_plain_logs_need_nothing() -> None:
    assert log_environment(settings.load({}), CONTEXT) == {}
    assert line_of_log("warning: x", {}) == "warning: x"


def test_json_logs_name_run_and_task() -> None:
    environment = log_environment(settings.load({"OPS_LOG_FORMAT": "json"}), CONTEXT)
    record = json.loads(line_of_log("warning: from C", environment))
    assert record == {
        "at": record["at"],
        "level": "warning",
        "message": "from C",
        "dag_id": "gematria_train",
        "run_id": "manual__1",
        "task_id": "train_model",
        "try_number": 2,
    }
    mapped = {**CONTEXT, "ti": SimpleNamespace(dag_id="d", task_id="t", map_index=0, try_number=1)}
    environment = log_environment(settings.load({"OPS_LOG_FORMAT": "json"}), mapped)
    assert json.loads(line_of_log("x", environment))["map_index"] == 0


def test_the_level_of_a_line_is_that_of_airflow_too() -> None:
    environment = log_environment(settings.load({"OPS_LOG_FORMAT": "json"}), CONTEXT)
    levels = [log_level(line_of_log(line, environment)) for line in ("error: x", "warning: x", "x")]
    assert levels == [logging.ERROR, logging.WARNING, logging.INFO]


def test_another_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="OPS_LOG_FORMAT=xml: not a form of logs"):
        settings.load({"OPS_LOG_FORMAT": "xml"})
