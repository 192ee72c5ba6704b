"""The commands of docs/reproduction.md, run as they stand there on the sample; its figures are those of results.md."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from gematria_ops.data.splitting import bucket_of, split_of
from gematria_ops.inference.comparison_report import ComparisonReport
from gematria_ops.inference.evaluation_report import read_report_json

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "reproduction.md"
TASKS = ("ivb", "hsw", "skl")
# Later settings win over earlier ones, so these are added to the commands as they stand.
FEW_STEPS = [
    "num_steps=20",
    "batch.max_blocks=20",
    *(f"model.{n}_embedding_size=8" for n in ("token", "instruction", "block")),
]


def commands() -> list[str]:
    blocks = re.findall(r"^```shell\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like the checkout, with the sample's blocks where the guide wants its files."""
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".ops"):
            (tmp_path / entry.name).symlink_to(entry)
    folder = tmp_path / ".ops" / "bhive"
    lists = folder / "repository" / "benchmark" / "sources"
    lists.mkdir(parents=True)
    for task in TASKS:
        rows = (ROOT / f"tests/data/bhive/sample_{task}.csv").read_text().splitlines()
        (folder / f"{task}.csv").write_text("\n".join(rows) + "\n")
    codes = [row.partition(",")[0] for row in rows]
    for number, name in enumerate(["sqlite", "gzip-compress", "gzip-decompress"]):
        (lists / f"{name}.csv").write_text("".join(f"{code},0.0000{number}\n" for code in codes[number::4]))
    return folder


@pytest.mark.tf
@pytest.mark.slow
def test_every_command_of_the_guide_runs(checkout: Path) -> None:
    for command in commands():
        if "train-model" in command:
            command += "".join(f" --overrides {setting}" for setting in FEW_STEPS)
        finished = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=checkout.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
    report = read_report_json(checkout / "run_small" / "reports" / "evaluation.json")
    assert [task.name for task in report.tasks] == list(TASKS)
    assert "not measurements" in report.dataset.label_note
    applications = report.tasks[0].slice_groups[-1]
    assert [part.name for part in applications.slices] == ["gzip", "sqlite", "unknown"]
    assert sum(part.num_blocks for part in applications.slices) == report.tasks[0].counts.num_relative
    compared = ComparisonReport.model_validate_json((checkout / "comparison" / "comparison.json").read_text())
    assert (compared.first.origin, compared.second.origin) == ("run_small", "run")
    assert compared.num_common == report.dataset.num_blocks
    assert {curve.model for curve in compared.learning_curves} == {"first", "second"}
    imported = json.loads((checkout / "blocks" / "import_report.json").read_text())
    assert imported["blocks_by_split"] == {"train": 1762, "validation": 238, "test": 0}


def test_the_expected_figures_are_those_of_the_results() -> None:
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:Ivy Bridge|Haswell|Skylake) \|.*\|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 3
    assert all(row in results for row in rows)


def test_the_split_is_the_one_of_the_guide() -> None:
    guide = " ".join(GUIDE.read_text(encoding="utf-8").split())
    assert "`bucket = int(sha256(hex)[:8], 16) % 100`" in guide and "0-79 train, 80-89 validation, 90-99 test" in guide
    assert [split_of(bucket) for bucket in (0, 79, 80, 89, 90, 99)] == [
        "train",
        "train",
        "validation",
        "validation",
        "test",
        "test",
    ]
    # printf 4889d8 | sha256sum begins with the digits of this number.
    assert bucket_of(bytes.fromhex("4889d8")) == int("5454f0bd", 16) % 100


def test_every_link_of_the_guide_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert links and all((GUIDE.parent / link).exists() for link in links)
