"""Task functions as commands: run as programs, as people and DAGs do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops_common.cli import argument_descriptions, build_cli, run_task, summary
from tests.common.cli_example import break_things, weigh_things

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "120", "TERMINAL_WIDTH": "120", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tests.common.cli_example", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_result_is_one_line_of_json_and_all_else_is_on_standard_error(tmp_path: Path) -> None:
    result_file = tmp_path / "deep" / "r.json"
    done = run(
        "weigh-things", "--name=me", "--num-things", "-3", "--share=0.25", "--is-heavy",
        "--tags=a", "--tags", "b", f"--result-file={result_file}",
    )  # fmt: skip
    expected = {"name": "me", "num_things": -3, "share": 0.25, "is_heavy": True, "tags": "a,b"}
    assert (done.returncode, done.stdout) == (0, json.dumps(expected) + "\n")
    assert done.stderr.splitlines() == ["printed by the task", "printed by a child", "logged", "warning: worried"]
    assert json.loads(result_file.read_text()) == expected


def test_defaults_and_no_flags() -> None:
    done = run("weigh-things", "--name", "me", "--no-is-heavy")
    assert json.loads(done.stdout) == {"name": "me", "num_things": 2, "share": 0.5, "is_heavy": False, "tags": ""}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("OpsError", 1),
        ("UsageError", 2),
        ("ConfigError", 3),
        ("DataError", 4),
        ("ServiceError", 5),
        ("GateError", 6),
        ("Interrupted", 130),
    ],
)
def test_errors_of_ours_end_with_their_status_and_no_traceback(kind: str, status: int, capfd, tmp_path: Path) -> None:
    result_file = tmp_path / "r.json"
    result_file.write_text('{"from": "an earlier run"}')
    assert run_task(break_things, {"how": kind}, result_file) == status
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "error: what was wrong\n  hint: what to do\n")
    assert not result_file.exists()


def test_a_bug_of_ours_shows_where() -> None:
    done = run("break-things", "--how=bug")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: a bug of ours\n")


def test_sigterm_unwinds_the_task(tmp_path: Path) -> None:
    done = run("break-things", "--how=signal", f"--folder={tmp_path}")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: break-things was interrupted\n  hint: run it again to continue\n"
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_number_is_null(capfd) -> None:
    assert run_task(break_things, {"how": "nan"}) == 0
    assert json.loads(capfd.readouterr().out) == {"loss": None, "rate": None, "path": "a/b"}


def test_a_result_that_is_no_dict_is_a_bug(capfd) -> None:
    assert run_task(break_things, {"how": "list"}) == 1
    assert "TypeError: break_things returned list, not a dict" in capfd.readouterr().err


def test_result_file_that_cannot_be_written(tmp_path: Path, capfd) -> None:
    (tmp_path / "file").touch()
    assert run_task(weigh_things, {"name": "me"}, tmp_path / "file" / "r.json") != 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weigh-thing"], "No such command 'weigh-thing'. Did you mean 'weigh-things'"),
        (["weigh-things"], "Missing option '--name'."),
        (["weigh-things", "--name=x", "--num-thing=3"], "--num-things"),
        (["weigh-things", "--name=x", "--num-things=many"], "Invalid value for '--num-things'"),
        (["weigh-things", "--name=x", "extra"], "unexpected extra argument"),
    ],
)
def test_wrong_command_lines(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_commands_options_and_examples() -> None:
    overview, command = run("--help").stdout, run("weigh-things", "--help").stdout
    assert "Things." in overview
    assert "Weigh some things." in overview
    assert "More about it" not in overview
    assert overview.index("weigh-things") < overview.index("break-things") < overview.index("Examples")
    assert "things weigh-things --name=me" in overview
    assert overview.index("Scales") < overview.index("More commands")
    assert "python -m things break-things --how HOW" in overview  # made up of what is required
    assert "Example: python -m things weigh-things --name=me" in command
    assert "Whose things, as [who]." in command
    assert "How many there are." in command
    assert "Words. (give the option once for each value)" in command
    assert "--is-heavy" in command
    assert "--no-is-heavy" in command
    assert "--result-file" in command


def test_descriptions_come_from_the_docstring() -> None:
    assert summary(weigh_things) == "Weigh some things."
    assert argument_descriptions(weigh_things) == {
        "name": "Whose things, as [who].",
        "num_things": "How many there are.",
        "tags": "Words.",
    }


def test_functions_that_are_no_tasks_are_refused() -> None:
    def positional(name: str) -> dict[str, Any]: ...

    def unknown_type(*, numbers: list[int]) -> dict[str, Any]: ...

    def untyped(*, name) -> dict[str, Any]: ...  # type: ignore[no-untyped-def]

    def clash(*, result_file: str) -> dict[str, Any]: ...

    for task, message in (
        (positional, "'name' must be keyword-only"),
        (unknown_type, r"'numbers' is list\[int\]; it must be str"),
        (untyped, "'name' is None; it must be str"),
        (clash, "'result_file' must be keyword-only, and not 'result_file'"),
    ):
        with pytest.raises(TypeError, match=message):
            build_cli("x", [task])
