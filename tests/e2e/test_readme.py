"""Every command of the README, run as it stands there, in order, in a folder with the same names and its own state."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import blocks_of_group, checkout_like, run_block
from tests.e2e.embedded_platform import ROOT, TINY, environment_of

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.slow]

# `make test` is what runs this test. `make run` trains on the whole sample; here it is given a smaller request.
NOT_RUN_AGAIN = ("make test",)
SMALLER = {"NUM_VALIDATE_SAMPLES": "15"}  # as a person may set it; the commands stay


def shell_blocks() -> list[str]:
    return re.findall(
        r"^```shell\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def commands(block: str) -> list[str]:
    joined = block.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder that looks like the checkout and a person's environment; its platform is stopped at the end."""
    folder = checkout_like(tmp_path / "checkout")
    environment = {**environment_of(folder / ".ops"), **SMALLER}
    yield folder, environment
    subprocess.run(["make", "stop"], cwd=folder, env=environment, capture_output=True, check=True)


def small_request(folder: Path) -> Path:
    request = json.loads((ROOT / "config/gematria/sample_request.json").read_text(encoding="utf-8"))
    request["train_conf"] |= {"training_steps": 60, "overrides": TINY, "max_mape_percent": 1000}
    request["train_conf"] |= {"config_file": "config/gematria/smoke.toml", "require_better_than_baselines": False}
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    return path


@pytest.mark.timeout(1_800)  # a platform, two trainings, and all that is said of them
def test_every_command_of_the_readme_runs(checkout: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    folder, environment = checkout
    for command in (command for block in shell_blocks() for command in commands(block)):
        if command.startswith(NOT_RUN_AGAIN):
            continue
        if command.startswith("make run"):
            command = f"make run REQUEST={small_request(tmp_path)}"
        shell = ["bash", "-euo", "pipefail", "-c", command]
        finished = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
    for block in blocks_of_group("readme"):  # of other pages, which go on where the README has come to
        run_block(block, folder, environment)
    assert (folder / ".ops/demo/predictions.tfrecord").stat().st_size > 0
    assert (folder / ".ops/demo/run/reports/evaluation.html").exists()
    assert (folder / ".ops/demo/product/datadeps/data.bin").stat().st_size > 0


def test_the_readme_names_only_targets_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefiles = "".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "pythonexpr.mk", "distributed.mk")
    )
    targets = set(re.findall(r"^([a-z_]+):", makefiles, re.MULTILINE))
    named = set(re.findall(r"(?:`|^)(?:DRY_RUN=1 )?make ([a-z_]+)", text, re.MULTILINE))
    assert named
    assert named <= targets


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert links
    assert not missing
