import hashlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from fastnode_ops.analysis.sites import Site
from fastnode_ops.corpus.building import build_files
from fastnode_ops.corpus.store import Corpus
from fastnode_ops.statistics import building, examining
from fastnode_ops.statistics.building import STAGING_NAME, build_index
from fastnode_ops.statistics.calls import CallStatistics
from fastnode_ops.statistics.examining import FileJob, count_file, pack, unpack
from fastnode_ops.statistics.index import INDEX_NAME, SymbolIndex
from fastnode_ops.statistics.signatures import Limits
from fastnode_ops.symbols.store import SymbolStore
from ops_common.errors import ArtifactError

LIMITS = Limits(2, 1)


def module(name: str) -> str:
    lines = [f"import json, os.path\n\ndef {name}_read({name}_file, width):\n"]
    lines += [f"    {name}_{number} = json.loads({name}_file)\n" for number in range(3)]
    lines.append(f"    return json.dumps({name}_0, indent=width, sort_keys=True), os.path.join({name}_file, 'a')\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, symbols_path: Path) -> Path:
    code = tmp_path_factory.mktemp("code")
    for number in range(80):
        path = code / f"p{number % 4}" / f"m{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(module(f"n{number}"))
    (code / "deep.py").write_text("x = " + "(" * 900 + ")" * 900 + "\n")
    folder = tmp_path_factory.mktemp("corpus")
    build_files(folder, [str(code)], held_out=["p3"])
    report = build_index(folder, symbols_path, limits=LIMITS, num_workers=2)
    assert (report.num_files, report.dropped["too_deep"]) == (80, 1)
    return folder


@pytest.fixture(scope="module")
def index(folder: Path) -> SymbolIndex:
    return SymbolIndex.open(folder)


def test_files(folder: Path, index: SymbolIndex) -> None:
    corpus = Corpus.open(folder)
    by_split = {
        split: index.files("os.path.join", "call_func", canonical=False, split=split)
        for split in ("train", "validation", "test")
    }
    for split, files in by_split.items():
        assert files == sorted(files)
        assert all(corpus.split_of(file_id) == split for file_id in files)
    assert sum(map(len, by_split.values())) == 80
    assert index.files("posixpath.join", "attribute", canonical=True, split="train") == by_split["train"]
    assert index.files("posixpath.join", "attribute", canonical=False, split="train") == []
    assert index.files("os.path.join", "import", canonical=False, split="train") == []
    assert index.files("os.path", "import", canonical=False, split="test") == by_split["test"]
    assert index.num_files("train") == len(by_split["train"])
    with pytest.raises(ValueError, match="no symbol context 'calls'"):
        index.files("os", "calls", canonical=False, split="train")


def test_files_with_a_kind_of_place(index: SymbolIndex) -> None:
    # m<n>.py calls json.dumps with keywords, json.loads with one of its two parameters, os.path.join with both kinds
    files = index.files("json.dumps", "call_func", canonical=True, split="train")
    for symbol, expected in {
        "json.dumps": Site.MEMBER | Site.ARGUMENT | Site.KEYWORD | Site.NAME | Site.VARIABLE,
        "json.loads": Site.MEMBER | Site.ARGUMENT | Site.NAME | Site.VARIABLE,
        "posixpath.join": Site.MEMBER | Site.ARGUMENT | Site.NAME | Site.VARIABLE | Site.OPEN,
        "json": Site.BASE,
    }.items():
        for site in Site:
            found = index.files_with_site(symbol, site, canonical=True, split="train")
            assert found == (files if site in expected else []), (symbol, site)
    assert index.files_with_site("os.path.join", Site.OPEN, canonical=True, split="train") == []
    assert index.files_with_site("os.path.join", Site.OPEN, canonical=False, split="train") == files


def test_scores_are_of_the_training_files(index: SymbolIndex) -> None:
    num = index.num_files("train")
    assert 0 < num < 80
    scores = index.scores(["json.loads", "json.dumps", "json", "nobody.knows"], "call_func", canonical=False)
    assert scores == {"json.loads": 3 * num, "json.dumps": num, "json": 0, "nobody.knows": 0}
    # as import, and as name and expression of four calls
    assert index.scores(["json"], "all", canonical=True) == {"json": 9 * num}
    many = [f"no.such.{number}" for number in range(1_200)]
    assert index.scores([*many, "json"], "import", canonical=False) == dict.fromkeys(many, 0) | {"json": num}


def test_packages_and_words(index: SymbolIndex) -> None:
    assert index.package_imports() == {"json": index.num_files("train"), "os": index.num_files("train")}
    words = index.subtokens()
    assert words[:3] == ["n", "file", "json"]
    assert len(words) == len(set(words))


def test_call_statistics(folder: Path, symbols: SymbolStore, index: SymbolIndex) -> None:
    calls = CallStatistics.open(folder, symbols)
    assert calls.functions() == ["json.dumps", "json.loads", "posixpath.join"]
    num = index.num_files("train")
    assert calls.keyword_counts("json.dumps") == {"indent": num, "sort_keys": num}
    assert calls.keyword_counts("json.loads") == {}
    signatures = calls.signatures("json.loads")
    assert signatures is not None and signatures.count == 3 * num
    pattern = calls.pattern("json.dumps")
    assert pattern is not None and pattern.argument_names == ["indent", "obj", "sort_keys"]
    assert calls.pattern("no.such") is None


def content(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def test_rebuild_is_equal_with_one_worker_or_two(folder: Path, symbols_path: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "corpus.sqlite", tmp_path)
    report = build_index(tmp_path, symbols_path, limits=LIMITS, num_workers=1)
    assert report.digest == SymbolIndex.open(folder).digest
    assert content(tmp_path / INDEX_NAME) == content(folder / INDEX_NAME)


def test_interrupted_build_goes_on(
    folder: Path, symbols_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(folder / "corpus.sqlite", tmp_path)
    examine, asked = building.examine, []

    def stop_after_two(jobs: list[FileJob]) -> list[tuple[str, bytes]]:
        asked.append(jobs)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return examine(jobs)

    monkeypatch.setattr(building, "examine", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path, symbols_path, limits=LIMITS)
    assert (tmp_path / STAGING_NAME).exists() and not (tmp_path / INDEX_NAME).exists()
    build_index(tmp_path, symbols_path, limits=LIMITS)
    assert asked[3] == asked[2]  # the first two are not done again
    assert content(tmp_path / INDEX_NAME) == content(folder / INDEX_NAME)
    assert not (tmp_path / STAGING_NAME).exists()


def test_counts_of_another_program_are_not_used(folder: Path, symbols_path: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "corpus.sqlite", tmp_path)
    (tmp_path / STAGING_NAME).write_bytes(b"torn" * 1_000)
    build_index(tmp_path, symbols_path, limits=LIMITS)
    assert content(tmp_path / INDEX_NAME) == content(folder / INDEX_NAME)


def test_files_of_other_splits_are_counted_again_when_they_change(
    folder: Path, symbols_path: Path, tmp_path: Path
) -> None:
    """The same files with another held-out package are another index."""
    shutil.copy(folder / "corpus.sqlite", tmp_path)
    connection = sqlite3.connect(tmp_path / "corpus.sqlite")
    connection.execute("UPDATE file SET split = 'train'")
    connection.execute("UPDATE meta SET value = 'another' WHERE key = 'digest'")
    connection.commit()
    connection.close()
    report = build_index(tmp_path, symbols_path, limits=LIMITS)
    assert report.digest != SymbolIndex.open(folder).digest
    assert SymbolIndex.open(tmp_path).scores(["json.dumps"], "call_func", canonical=False) == {"json.dumps": 80}


def test_body_round_trip(folder: Path, symbols: SymbolStore) -> None:
    corpus = Corpus.open(folder)
    file_id = next(file_id for file_id in corpus.files("train") if corpus.package_of(file_id) != "deep")
    counts = count_file(corpus, symbols, FileJob(file_id, "train"))
    assert counts.calls and counts.keywords and counts.subtokens
    assert unpack(pack(counts)) == counts
    held_out = count_file(corpus, symbols, FileJob(file_id, "test"))
    assert held_out.written == counts.written and not held_out.calls and not held_out.subtokens


def test_a_file_that_cannot_be_analysed_is_counted(
    folder: Path, symbols: SymbolStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(source: bytes, symbols: SymbolStore) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(examining, "analyse", broken)
    corpus = Corpus.open(folder)
    counts = count_file(corpus, symbols, FileJob(corpus.files("train")[0], "train"))
    assert counts.reason == "analysis_failed"
    assert "ZeroDivisionError: oops" in caplog.text


def test_uniform_sample_of_calls(folder: Path, symbols_path: Path, tmp_path: Path, symbols: SymbolStore) -> None:
    shutil.copy(folder / "corpus.sqlite", tmp_path)
    build_index(tmp_path, symbols_path, limits=Limits(2, 1, max_calls=10))
    signatures = CallStatistics.open(tmp_path, symbols).signatures("json.loads")
    assert signatures is not None and signatures.count == 10


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"index\.sqlite does not exist"):
        SymbolIndex.open(tmp_path)
    connection = sqlite3.connect(tmp_path / INDEX_NAME)
    connection.execute("CREATE TABLE meta (key TEXT, value TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(ArtifactError, match="format None, not"):
        SymbolIndex.open(tmp_path)


def test_an_index_of_an_older_format_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / INDEX_NAME, tmp_path)
    connection = sqlite3.connect(tmp_path / INDEX_NAME)
    connection.execute("UPDATE meta SET value = 'fastnode-index-1' WHERE key = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(ArtifactError, match="format 'fastnode-index-1', not 'fastnode-index-2'") as caught:
        SymbolIndex.open(tmp_path)
    assert "corpus" in caught.value.hint


def test_ids_are_of_the_content(folder: Path) -> None:
    corpus = Corpus.open(folder)
    for file_id in corpus.files("validation"):
        assert hashlib.sha256(corpus.source(file_id)).hexdigest() == file_id
