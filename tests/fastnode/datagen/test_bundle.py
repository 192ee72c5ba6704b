import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.datagen.bundle import Bundle, make_bundle
from ops_common.config import load_config
from ops_common.errors import DataError


def _make(work_dir: Path, metainfo: str = "{}") -> Bundle:
    path = work_dir / "metainfo.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(metainfo)
    return make_bundle(work_dir, metainfo_path=path, config=ExpressionConfig(), parameters={"data_steps": 3})


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = _make(tmp_path / "a")
    os.utime(tmp_path / "a" / "metainfo.json", (1, 1))
    second, other = _make(tmp_path / "b"), _make(tmp_path / "c", "[]")
    assert first.archive.read_bytes() == second.archive.read_bytes()
    assert first.digest == second.digest != other.digest
    assert _make(tmp_path / "a").digest == first.digest  # over an older one


def test_what_is_in_it(tmp_path: Path) -> None:
    bundle = _make(tmp_path)
    with tarfile.open(bundle.archive) as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert contents["metainfo.json"] == b"{}"
    listed = dict(reversed(line.split("  ")) for line in contents.pop("MANIFEST").decode().splitlines())
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert {"work.json", "config.toml", "requirements-datagen.txt", "fastnode_ops/cli.py"} <= set(contents)
    assert not [name for name in contents if "__pycache__" in name or name.startswith(("plugins", "gematria"))]
    requirements = contents["requirements-datagen.txt"].decode()
    assert "--hash=sha256" in requirements
    assert "tensorflow" not in requirements and "airflow" not in requirements
    assert load_config(ExpressionConfig, tmp_path / "bundle" / "config.toml") == ExpressionConfig()
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST"], cwd=tmp_path / "bundle", check=True)


def test_the_libraries_in_it_stand_alone(tmp_path: Path) -> None:
    _make(tmp_path)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "bundle")}
    command = [sys.executable, "-c", "import fastnode_ops.cli as c; print(c.__file__)"]
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "bundle" / "fastnode_ops" / "cli.py")


def test_a_missing_metainfo_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="make traindata"):
        make_bundle(tmp_path, metainfo_path=tmp_path / "none", config=ExpressionConfig(), parameters={})
