"""Logs as JSON lines: each line an object with its level, its run and its task, whatever wrote it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops_common.log_lines import CONTEXT_VARIABLES, JsonLines, as_json_line, context_of, is_json_asked, level_of_json

ROOT = Path(__file__).parents[2]
TASK = {"dag_id": "gematria_train", "run_id": "manual__1", "task_id": "train_model", "try_number": 2}


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("plain words", "info", "plain words"),
        ("warning: worried", "warning", "worried"),
        ("error: it broke", "error", "it broke"),
        ("  hint: mend it", "info", "  hint: mend it"),
        ('quotes " and \\ and ü', "info", 'quotes " and \\ and ü'),
        ("warning:", "info", "warning:"),
        ('{"json": "of somebody else"}', "info", '{"json": "of somebody else"}'),
    ],
)
def test_a_line(line: str, level: str, message: str) -> None:
    record = json.loads(as_json_line(line + "\n", TASK))
    assert (record["level"], record["message"]) == (level, message)
    assert {name: record[name] for name in TASK} == TASK
    assert record["at"].endswith("+00:00")


def test_a_line_of_ours_stays_as_it_is() -> None:
    line = as_json_line("error: once", TASK)
    assert as_json_line(line, {"dag_id": "another"}) == line
    assert (level_of_json(line), level_of_json("{"), level_of_json('{"level": 7}')) == ("error", "", "")


def test_a_stream_cuts_lines_and_keeps_half_ones() -> None:
    target = io.StringIO()
    stream = JsonLines(target, TASK)
    for text in ("half", " a line\nwarn", "ing: two\r", "\n\n", "three"):
        assert stream.write(text) == len(text)
    assert [json.loads(line)["message"] for line in target.getvalue().splitlines()] == ["half a line", "two"]
    stream.end()
    assert json.loads(target.getvalue().splitlines()[-1])["message"] == "three"
    assert not stream.isatty()


def test_a_very_long_line_is_cut() -> None:
    assert len(as_json_line("x" * 1_000_000, {})) < 20_000


def test_what_the_environment_says() -> None:
    told = {CONTEXT_VARIABLES["run_id"]: "r", CONTEXT_VARIABLES["map_index"]: "3", CONTEXT_VARIABLES["task_id"]: ""}
    assert context_of(told) == {"run_id": "r", "map_index": 3}
    assert [is_json_asked({"OPS_LOG_FORMAT": text}) for text in ("json", "JSON ", "text", "")] == [
        True,
        True,
        False,
        False,
    ]


def test_every_line_of_a_command_is_json() -> None:
    variables = {variable: str(TASK[name]) for name, variable in CONTEXT_VARIABLES.items() if name in TASK}
    for command in (["weigh-things", "--name=me"], ["break-things", "--how=OpsError"], ["break-things", "--how=bug"]):
        done = subprocess.run(
            [sys.executable, "-m", "tests.common.cli_example", *command],
            cwd=ROOT,
            env={**os.environ, **variables, "OPS_LOG_FORMAT": "json"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = [line for line in done.stderr.splitlines() if line != "printed by a child"]
        records = [json.loads(line) for line in lines]
        assert len(records) >= 2
        assert all({name: record[name] for name in TASK} == TASK for record in records)
        if "OpsError" in command[-1]:
            assert [(record["level"], record["message"]) for record in records] == [
                ("error", "what was wrong"),
                ("info", "  hint: what to do"),
            ]
    # the result on standard output is what it was
    assert done.stdout == ""
