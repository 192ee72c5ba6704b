import json
import pickle
from pathlib import Path

import pytest

from fastnode_ops.statistics import corpus_building
from fastnode_ops.statistics.corpus_building import CorpusSummary, build_corpus
from fastnode_ops.statistics.resources import open_resources
from ops_common.errors import ArtifactError, DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    for name in ("alpha", "beta", "gamma"):
        calls = "".join(f"{name}_{number} = json.loads({name}, cls={name}_{number})\n" for number in range(4))
        (folder / f"{name}.py").write_text(f"import json, tree_sitter\n{calls}tree_sitter.Parser()\n")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, code: Path) -> tuple[Path, CorpusSummary]:
    folder = tmp_path_factory.mktemp("corpus")
    return folder, build_corpus(folder, [str(code)], num_workers=2)


def test_whole_corpus(built: tuple[Path, CorpusSummary]) -> None:
    folder, summary = built
    resources = open_resources(folder)
    assert resources.digest == summary.digest
    assert resources.corpus.num_files == summary.num_files == 3
    assert resources.symbols.find("tree_sitter.Parser") is not None  # what is imported and installed
    assert resources.calls.pattern("json.loads") is not None  # 5 calls are not asked of a small corpus
    assert resources.index.scores(["tree_sitter.Parser"], "call_func", canonical=False)["tree_sitter.Parser"] > 0
    assert sorted(path.name for path in folder.iterdir()) == [
        *("corpus.sqlite", "index.sqlite", "manifest.json", "report.json", "symbols.sqlite")
    ]
    assert pickle.loads(pickle.dumps(resources)).digest == resources.digest
    assert json.loads((folder / "report.json").read_text())["details"]["files"]["splits"]


def test_finished_corpus_is_kept_until_a_file_changes(built: tuple[Path, CorpusSummary], code: Path) -> None:
    folder, summary = built
    before = (folder / "manifest.json").stat().st_mtime_ns
    kept = build_corpus(folder, [str(code)])
    assert kept.is_kept and kept.digest == summary.digest
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_interrupted_build_keeps_the_files(code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(corpus_building, "build_symbols", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_corpus(tmp_path, [str(code)])
    assert (tmp_path / "files.building.json").exists() and not (tmp_path / "manifest.json").exists()
    monkeypatch.setattr(corpus_building, "build_files", interrupted)  # not called again
    summary = build_corpus(tmp_path, [str(code)])
    assert summary.details["files"]["num_found"] == 3
    assert open_resources(tmp_path).digest == summary.digest
    assert not (tmp_path / "files.building.json").exists()


def test_torn_or_mixed_folders_are_refused(built: tuple[Path, CorpusSummary], tmp_path: Path) -> None:
    folder, _ = built
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    open_resources(tmp_path)
    with (tmp_path / "index.sqlite").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"index\.sqlite has \d+ bytes, not \d+"):
        open_resources(tmp_path)
    (tmp_path / "index.sqlite").unlink()
    with pytest.raises(ArtifactError, match=r"index\.sqlite is missing"):
        open_resources(tmp_path)
    (tmp_path / "index.sqlite").write_bytes((folder / "index.sqlite").read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"digest": "0" * 64}))
    with pytest.raises(ArtifactError, match="do not belong together"):
        open_resources(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="holds no finished corpus"):
        open_resources(tmp_path)


def test_missing_source_leaves_the_old_corpus(built: tuple[Path, CorpusSummary]) -> None:
    folder, summary = built
    with pytest.raises(DataError, match="no-such-source"):
        build_corpus(folder, ["no-such-source"])
    assert open_resources(folder).digest == summary.digest
