"""The index of runs: reads what has changed, forgets what is gone, survives damage, serves several processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ops_platform.run_pages import run_index
from ops_platform.run_pages.airflow_runs import DAGS
from ops_platform.run_pages.run_index import INDEX_NAME, RunIndex

from ops_common.release_record import decide_release
from ops_common.run_facts import RunFacts, read_run
from tests.run_samples import GEMATRIA, STANDALONE, make_nights

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_nights(tmp_path, GEMATRIA, range(3), curve_points=0)
    make_nights(tmp_path, STANDALONE, range(2), curve_points=0)
    return tmp_path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that were read; the reading itself is the real one."""
    names: list[str] = []

    def recorded(folder: Path) -> RunFacts:
        names.append(folder.name)
        return read_run(folder)

    monkeypatch.setattr(run_index, "read_run", recorded)
    return names


def decisions(index: RunIndex) -> list[str]:
    return sorted(run.facts.release.decision for run in index.runs() if run.facts.release)


def test_folders_are_read_once(root: Path, read: list[str]) -> None:
    index = RunIndex(root, DAGS)
    assert len(index.runs()) == 5 and len(read) == 5
    assert len(index.runs()) == 5 and len(read) == 5
    assert {run.dag_id for run in index.runs()} == {GEMATRIA, STANDALONE}
    assert all(run.facts.figures and not run.facts.config for run in index.runs())


def test_another_process_need_not_read_them_again(root: Path, read: list[str]) -> None:
    RunIndex(root, DAGS).runs()
    del read[:]
    assert sorted(run.facts.name for run in RunIndex(root, DAGS).runs()) == sorted(
        run.facts.name for run in RunIndex(root, DAGS).runs()
    )
    assert read == []


def test_what_changes_is_read_and_what_goes_is_forgotten(root: Path, read: list[str]) -> None:
    index = RunIndex(root, DAGS)
    before = decisions(index)
    del read[:]
    folder = sorted((root / GEMATRIA).iterdir())[0]
    decide_release(folder, "rolled_back", reasons=["by hand"])
    assert decisions(index) != before and "rolled_back" in decisions(index)
    assert read == [folder.name]
    (folder / "results/late.json").write_text('{"x": 1}')
    index.runs()
    assert read == [folder.name] * 2
    folder.rename(root / "elsewhere")
    assert len(index.runs()) == 4 and len(RunIndex(root, DAGS).runs()) == 4
    make_nights(root, GEMATRIA, [7])
    assert len(index.runs()) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database" * 100),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:5000] + b"\xff" * 3000),
        lambda path: path.unlink(),
        lambda path: _execute(path, "UPDATE runs SET facts = '{'"),
        lambda path: _execute(path, "PRAGMA user_version = 99"),
        lambda path: _execute(path, "DROP TABLE runs"),
    ],
)
def test_a_damaged_index_is_made_again(root: Path, damage: object) -> None:
    expected = decisions(RunIndex(root, DAGS))
    assert callable(damage)
    damage(root / INDEX_NAME)
    assert decisions(RunIndex(root, DAGS)) == expected
    held = RunIndex(root, DAGS)
    assert decisions(held) == expected
    damage(root / INDEX_NAME)  # while a process holds it in memory, and has something to write
    make_nights(root, GEMATRIA, [8])
    assert len(held.runs()) == 6
    assert len(RunIndex(root, DAGS).runs()) == 6


def _execute(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()


def test_where_it_cannot_be_written_the_folders_are_read(root: Path) -> None:
    (root / INDEX_NAME).mkdir()
    assert len(RunIndex(root, DAGS).runs()) == 5


def test_links_hidden_folders_and_other_workflows_are_no_runs(root: Path) -> None:
    (root / GEMATRIA / "link").symlink_to(root / STANDALONE)
    (root / GEMATRIA / ".part").mkdir()
    (root / "run-db/x").mkdir(parents=True)
    assert len(RunIndex(root, DAGS).runs()) == 5
    assert RunIndex(root / "absent", DAGS).runs() == []


PROGRAM = """
import sys
from pathlib import Path
from ops_platform.run_pages.airflow_runs import DAGS
from ops_platform.run_pages.run_index import RunIndex
for _ in range(20):
    Path(sys.argv[1], "gematria_train", f"made-by-{sys.argv[2]}-{_}").mkdir()
    index = RunIndex(Path(sys.argv[1]), DAGS)
    assert len(index.runs()) >= 5 + _
"""


def test_several_processes_share_it(root: Path) -> None:
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(root), str(number)], env=environment, stderr=subprocess.PIPE
        )
        for number in range(4)
    ]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert (process.returncode, errors) == (0, b"")
    assert len(RunIndex(root, DAGS).runs()) == 5 + 4 * 20
