"""Examples in the help of the commands, their completion in shells, and pages that are written from the code."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ops_platform.reference import settings_file
from ops_platform.reference.commands import APPS
from ops_platform.reference.pages import generated_files

from gematria_ops import cli as gematria_cli
from gematria_ops.tasks import TASKS
from gematria_ops.tools import TOOLS

ROOT = Path(__file__).parents[2]
CHEAP = ("import_bhive", "build_vocabulary", "describe_dataset", "check_dataset", "merge_datasets", "diff_vocabularies")


def commands(library: str) -> dict[str, Any]:
    found: Any = typer.main.get_command(APPS[library]())
    return dict(found.commands)


def example_of(command: Any) -> list[str]:
    line = command.epilog.removeprefix("Example: [bold]").removesuffix("[/bold]").replace("\\[", "[")
    return shlex.split(line)


@pytest.mark.parametrize("library", APPS)
def test_every_example_is_a_command_line_that_is_understood(library: str) -> None:
    for name, command in commands(library).items():
        if not command.epilog:
            assert name in ("example-viewer", "graph-data-server")
            continue
        python, dash_m, module, called, *arguments = example_of(command)
        assert (python, dash_m, module, called) == ("python", "-m", library, name)
        command.make_context(name, arguments)  # raises where an option is missing, unknown or of another type


@pytest.mark.parametrize("library", APPS)
def test_groups_and_examples_name_only_what_there_is(library: str) -> None:
    module = sys.modules[APPS[library].__module__]
    known = {name.replace("-", "_") for name in commands(library)}
    texts: Any = module.TEXTS  # type: ignore[attr-defined]
    grouped = [name for names in texts.groups.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) <= known
    assert set(texts.examples) <= known


def test_the_cheap_examples_run_in_their_order(tmp_path: Path) -> None:
    tasks = {task.__name__: task for task in (*TASKS, *TOOLS)}
    for name in CHEAP:
        arguments = gematria_cli.TEXTS.example_of(tasks[name]).replace(".ops/demo", str(tmp_path))
        command = [sys.executable, "-m", "gematria_ops", name.replace("_", "-"), *shlex.split(arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert json.loads(done.stdout)


COMPLETE = """
. {script}
complete_line() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _ops_complete; echo "${{COMPREPLY[@]}}"; }}
complete_line .venv/bin/python -m gematria_ops impo
complete_line .venv/bin/python -m fastnode_ops train-model --model
complete_line gematria-ops check-release --max-mape-perc
complete_line fastnode-ops graph-data
complete_line .venv/bin/python -m other_module x
complete_line gematria-ops no-such-command --x
"""


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    start = "setopt ksharrays shwordsplit\n" if shell == "zsh" else ""  # arrays and words as our functions get them
    script = start + COMPLETE.format(script=ROOT / "scripts" / "completion.sh")
    done = subprocess.run([program, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [
        "import-bhive",
        "--model-name",
        "--max-mape-percent",
        "graph-data-server",
        "",
        "",
    ]


@pytest.mark.airflow
def test_generated_files_are_up_to_date() -> None:
    stale = [name for name, text in generated_files(ROOT).items() if (ROOT / name).read_text(encoding="utf-8") != text]
    assert stale == [], "make reference"


def test_the_meaning_of_a_variable_stands_above_it() -> None:
    text = "# one\n# more of it\n# A=1\n# B=\n# two\n# C=x y\n\n# head, then nothing\n\n# three\n# D=\n"
    assert settings_file.variables_of(text) == [
        ("A", "1", "one more of it"),
        ("B", "", "one more of it"),
        ("C", "x y", "two"),
        ("D", "", "three"),
    ]
