"""The commands and scripts that release a model: from a finished `out/` to a product that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastnode_ops.publish.packages import learnt_packages, read_packages
from fastnode_ops.publish_tasks import pin_model, rebuild_datadeps, upload_model, verify_datadeps
from ops_common.errors import ArtifactError, DataError
from tests.fastnode.publish.test_registry import FOLDER
from tests.fastnode.publish.test_upload import FILES, make_out

ROOT = Path(__file__).parents[3]
METAINFO = {
    "attr": {
        "dist": {"a": {"symbol": "json.dumps", "canonicalize": False, "weight": 1.0}},
        "parents": {"a": "json"},
    },
    "call": {"dist": {"b": {"symbol": "os.path.join", "canonicalize": True, "weight": 1.0}}},
    "name_subtoken_index": {"a": 0},
    "type_subtoken_index": {"a": 0},
}


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return make_out(tmp_path / "run", {**FILES, "metainfo.json": json.dumps(METAINFO).encode()})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "product").mkdir()
    return tmp_path / "product"


def release(work_dir: Path, checkout: Path) -> dict[str, str | int | float | bool]:
    upload_model(work_dir=str(work_dir), destination=str(checkout.parent / "store"), model_name="m")
    return pin_model(work_dir=str(work_dir), checkout_dir=str(checkout))


def test_from_a_finished_model_to_a_product_that_has_it(work_dir: Path, checkout: Path) -> None:
    uploaded = upload_model(work_dir=str(work_dir), destination=str(checkout.parent / "store"), model_name="m")
    pinned = pin_model(work_dir=str(work_dir), checkout_dir=str(checkout))
    assert pinned["model_path"] == uploaded["serve_uri"]
    shards = json.loads(Path(str(pinned["registry_file"])).read_bytes())
    assert shards == [{"ModelPath": uploaded["serve_uri"], "Packages": ["json", "os"]}]
    packed = rebuild_datadeps(checkout_dir=str(checkout))
    verified = verify_datadeps(checkout_dir=str(checkout))
    assert (packed["is_changed"], packed["num_files"]) == (True, 3)
    assert packed["content_digest"] == verified["content_digest"]
    assert rebuild_datadeps(checkout_dir=str(checkout))["is_changed"] is False


def test_every_step_may_be_repeated(work_dir: Path, checkout: Path) -> None:
    first, again = release(work_dir, checkout), release(work_dir, checkout)
    assert (first["num_changed_files"], again["num_changed_files"]) == (1, 0)
    assert again["model_path"] == first["model_path"]
    assert len(list((checkout.parent / "store").glob("*/*/MANIFEST.json"))) == 1


def test_a_model_that_was_not_uploaded_is_not_pinned(work_dir: Path, checkout: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing was uploaded from"):
        pin_model(work_dir=str(work_dir), checkout_dir=str(checkout))


def test_a_checkouts_own_script_packs(work_dir: Path, checkout: Path) -> None:
    release(work_dir, checkout)
    script = checkout / "scripts/build_datadeps.sh"
    script.parent.mkdir()
    script.write_text("echo packed > packed")
    result = rebuild_datadeps(checkout_dir=str(checkout))
    assert result == {"is_changed": True, "built_by": str(script)}
    assert (checkout / "packed").exists() and not (checkout / "datadeps").exists()
    assert rebuild_datadeps(checkout_dir=str(checkout), use_script=False)["num_files"] == 3


def run_script(name: str, checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CHECKOUT": str(checkout), "PYTHON": sys.executable}
    command = ["sh", str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_scripts_and_their_statuses(work_dir: Path, checkout: Path) -> None:
    release(work_dir, checkout)
    missing = run_script("verify_datadeps.sh", checkout)
    assert (missing.returncode, missing.stderr.splitlines()[-2].startswith("error: ")) == (3, True)
    built, again = run_script("build_datadeps.sh", checkout), run_script("build_datadeps.sh", checkout)
    assert (built.returncode, json.loads(built.stdout)["is_changed"]) == (0, True)
    assert (again.returncode, again.stderr.splitlines()[-1]) == (0, "unchanged")
    assert run_script("verify_datadeps.sh", checkout).returncode == 0
    data = checkout / "datadeps/data.bin"
    data.write_bytes(b"x" + data.read_bytes()[1:])
    differs = run_script("verify_datadeps.sh", checkout)
    assert differs.returncode == 2
    assert "attr-fallback.txt has SHA-256" in differs.stderr
    assert run_script("build_datadeps.sh", checkout, str(checkout / "elsewhere")).returncode == 0
    assert run_script("verify_datadeps.sh", checkout, str(checkout / "elsewhere")).returncode == 0


def test_lists_of_packages(work_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "packages").write_text("numpy\n\n# all of them\njson # that too\nnumpy\n")
    assert read_packages(tmp_path / "packages") == ["json", "numpy"]
    assert learnt_packages(work_dir) == ["json", "os"]
    (tmp_path / "packages").write_text("# none\n")
    with pytest.raises(DataError, match="names no package"):
        read_packages(tmp_path / "packages")
    with pytest.raises(DataError, match="cannot be read"):
        read_packages(tmp_path / "gone")


def test_a_multi_model_product_needs_the_list_of_packages(work_dir: Path, checkout: Path, tmp_path: Path) -> None:
    upload_model(work_dir=str(work_dir), destination=str(tmp_path / "store"))
    registry = checkout / FOLDER / "models.json"
    registry.parent.mkdir(parents=True)
    shards = [{"ModelPath": f"s3://m/{name}/serve", "Packages": [name]} for name in ("numpy", "django")]
    registry.write_text(json.dumps(shards))
    with pytest.raises(DataError, match="none of them for just these packages"):
        pin_model(work_dir=str(work_dir), checkout_dir=str(checkout))
    (tmp_path / "packages").write_text("django\n")
    pinned = pin_model(work_dir=str(work_dir), checkout_dir=str(checkout), packages_file=str(tmp_path / "packages"))
    assert pinned["replaced"] == "s3://m/django/serve"
