"""The doctor as people start it."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "OPS_HOME": str(tmp_path), **variables}
    command = [sys.executable, "-m", "ops_platform.doctor", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_lines_and_json_say_the_same(tmp_path: Path) -> None:
    told = json.loads(run(tmp_path, "--json").stdout)
    checks = [finding["check"] for finding in told["findings"]]
    assert {"python", "packages", "programs", "memory", "processes", "object store", "hosts", "cluster"} <= set(checks)
    assert told["status"] in ("ok", "warn")
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line[6:].partition(": ")[0] for line in lines] == checks
    assert not list(tmp_path.iterdir())


def test_a_failure_is_the_exit_status(tmp_path: Path) -> None:
    done = run(tmp_path, "--destination=s3://models/x", AWS_ENDPOINT_URL="http://127.0.0.1:1", AWS_ACCESS_KEY_ID="me",
               AWS_SECRET_ACCESS_KEY="a-secret-of-mine")  # fmt: skip
    assert done.returncode == 1
    assert "fail  object store" in done.stdout
    assert "a-secret-of-mine" not in done.stdout + done.stderr


def test_settings_that_cannot_be_read(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", OPS_MODE="cloud")
    assert done.returncode == 3
    assert json.loads(done.stdout)["findings"][0]["text"] == "OPS_MODE=cloud: not a mode"
