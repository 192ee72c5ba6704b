import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastnode_ops.corpus import building
from fastnode_ops.corpus.building import build_files
from fastnode_ops.corpus.examining import Examined, to_utf8
from fastnode_ops.corpus.found import package_of
from fastnode_ops.corpus.sources import find_files, find_sources
from fastnode_ops.corpus.splitting import split_of
from fastnode_ops.corpus.store import CORPUS_NAME, Corpus
from ops_common.errors import ArtifactError, DataError


def text(name: str) -> str:
    """A file of 40 lines that shares no run of tokens with that of another name."""
    return "".join(f"{name}_{number} = {name}.call_{number}({number}, {name})\n" for number in range(40))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def test_every_reason_is_counted(tmp_path: Path) -> None:
    code = write(
        tmp_path / "code",
        {
            "pkg/good.py": text("good"),
            "pkg/again.py": text("good"),
            "pkg/nearly.py": text("good") + "x = 1\n",
            "pkg/latin.py": "# -*- coding: latin-1 -*-\nname = 'é'\n".encode("latin-1"),
            "pkg/undeclared.py": "name = 'é'\n".encode("latin-1"),
            "pkg/strange.py": b"# coding: no-such\nx = 1\n",
            "pkg/binary.py": b"x = 1\0",
            "pkg/large.py": b"#" * 1_000_001,
            "pkg/empty.py": b"\n\n",
            "pkg/note.txt": "not code",
            "pkg/__pycache__/cached.py": "x = 1",
        },
    )
    os.mkfifo(code / "pkg/pipe.py")
    (code / "pkg/round").symlink_to(code / "pkg")
    (code / "pkg/itself.py").symlink_to(code / "pkg/itself.py")
    outside = write(tmp_path / "outside", {"secret.py": text("secret")})
    (code / "pkg/secret.py").symlink_to(outside / "secret.py")

    report = build_files(tmp_path / "corpus", [str(code)])

    assert report.dropped == {
        "duplicate": 1,
        "near_duplicate": 1,
        "not_utf8": 1,
        "unknown_encoding": 1,
        "null_byte": 1,
        "too_large": 1,
        "empty": 1,
        "special_file": 1,
        "symlink_loop": 1,
        "unreadable": 1,
        "symlink_outside": 1,
    }
    assert report.num_found == report.num_files + report.dropped.total()
    assert report.packages == {"pkg": 2}
    corpus = Corpus.open(tmp_path / "corpus")
    texts = {corpus.origin_of(file_id): corpus.source(file_id) for file_id in corpus.files()}
    assert texts["code/pkg/latin.py"] == "# -*- coding: latin-1 -*-\nname = 'é'\n".encode()
    assert not (tmp_path / "corpus/corpus.building.sqlite").exists()


def test_store(tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(60)]
    code = write(tmp_path / "code", {f"p{number % 3}/{name}.py": text(name) for number, name in enumerate(names)})
    report = build_files(tmp_path / "corpus", [str(code)], held_out=["p1"])
    corpus = Corpus.open(tmp_path / "corpus")
    assert corpus.num_files == report.num_files == 60
    assert corpus.files() == sorted(corpus.files("train") + corpus.files("validation") + corpus.files("test"))
    for file_id in corpus.files():
        package = corpus.package_of(file_id)
        assert corpus.split_of(file_id) == split_of(file_id, package, ["p1"])
        assert package != "p1" or corpus.split_of(file_id) == "test"
    with pytest.raises(KeyError):
        corpus.source("0" * 64)
    with pytest.raises(ArtifactError, match=r"corpus\.sqlite does not exist"):
        Corpus.open(tmp_path)
    (tmp_path / CORPUS_NAME).write_text("no database, and long enough not to be taken for an empty one" * 20)
    with pytest.raises(ArtifactError, match="is not a corpus"):
        Corpus.open(tmp_path)


def test_result_does_not_depend_on_workers_order_or_place(tmp_path: Path) -> None:
    first = write(tmp_path / "a/code", {f"p/n{number}.py": text(f"n{number}") for number in range(50)})
    second = write(tmp_path / "b/code", {f"p/n{number}.py": text(f"n{number}") for number in reversed(range(50))})
    build_files(tmp_path / "one", [str(first)], num_workers=1)
    build_files(tmp_path / "two", [str(second)], num_workers=2)
    assert (tmp_path / "one" / CORPUS_NAME).read_bytes() == (tmp_path / "two" / CORPUS_NAME).read_bytes()


def test_first_files_by_content(tmp_path: Path) -> None:
    code = write(tmp_path / "code", {f"p/n{number}.py": text(f"n{number}") for number in range(20)})
    build_files(tmp_path / "all", [str(code)])
    report = build_files(tmp_path / "some", [str(code)], max_files=5)
    assert report.dropped == {"over_max_files": 15}
    assert Corpus.open(tmp_path / "some").files() == Corpus.open(tmp_path / "all").files()[:5]


def test_interrupted_build_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = write(tmp_path / "code", {f"p/n{number}.py": text(f"n{number}") for number in range(100)})
    build_files(tmp_path / "whole", [str(code)])
    examine = building.examine
    asked: list[int] = []

    def stop_after_two(files: list[building.Found]) -> list[Examined]:
        asked.append(len(files))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return examine(files)

    monkeypatch.setattr(building, "examine", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        build_files(tmp_path / "torn", [str(code)])
    assert not (tmp_path / "torn" / CORPUS_NAME).exists()
    report = build_files(tmp_path / "torn", [str(code)])
    assert sum(asked) == 32 * 3 + 36  # two jobs are not done again
    assert report.num_found == 100
    assert (tmp_path / "torn" / CORPUS_NAME).read_bytes() == (tmp_path / "whole" / CORPUS_NAME).read_bytes()


def test_archives(tmp_path: Path) -> None:
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("thing/core.py", text("core"))
        archive.writestr("../evil.py", text("evil"))
        archive.writestr("/etc/evil.py", text("evil"))
        archive.writestr("thing/bomb.py", b"\n" * 900_000)
        archive.writestr("thing/large.py", b"#" * 1_000_001)
        link = zipfile.ZipInfo("thing/link.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "core.py")
    release = tmp_path / "other-2.0.tar.gz"
    with tarfile.open(release, "w:gz") as archive:
        for name, content in {"other-2.0/src/other/m.py": text("m"), "../evil.py": text("evil")}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
        link_entry = tarfile.TarInfo("other-2.0/link.py")
        link_entry.type = tarfile.SYMTYPE
        link_entry.linkname = "/etc/passwd"
        archive.addfile(link_entry)
    report = build_files(tmp_path / "corpus", [str(wheel), str(release)])
    assert report.packages == {"thing": 1, "other": 1}
    assert report.dropped == {"unsafe_path": 3, "archive_bomb": 1, "too_large": 1, "special_file": 2}


def reasons(path: Path) -> list[str]:
    return [found.reason for place in find_sources(str(path)) for found in find_files(place)]


def test_hostile_and_broken_archives(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.tar.xz"
    with tarfile.open(bomb, "w:xz") as archive:
        entry = tarfile.TarInfo("zeros.bin")
        entry.size = 30_000_000
        archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    assert reasons(bomb) == ["archive_bomb"]
    for name in ("a.zip", "b.tar.gz", "c.tar.zst", "d.tar"):
        (tmp_path / name).write_bytes(b"no archive at all")
        assert reasons(tmp_path / name) == ["broken_archive"]
    torn = tmp_path / "torn.tar.gz"
    with tarfile.open(torn, "w:gz") as archive:
        archive.add(__file__, "a.py")
        archive.add(__file__, "b.py")
    torn.write_bytes(torn.read_bytes()[:-60])
    assert reasons(torn)[-1] == "broken_archive"


def test_sources() -> None:
    assert find_sources("stdlib")[0].label == "stdlib"
    [place] = find_sources("tree-sitter")
    assert (place.label, place.top) == ("site-packages", "tree_sitter")
    assert {found.package for found in find_files(place)} == {"tree_sitter"}
    with pytest.raises(DataError, match=r"'no-such-thing' is not there.*\n.*site-packages"):
        find_sources("no-such-thing")
    with pytest.raises(DataError, match="neither a folder nor an archive"):
        find_sources("/dev/null")


def test_nothing_left(tmp_path: Path) -> None:
    write(tmp_path / "code", {"a.py": ""})
    with pytest.raises(DataError, match="no Python file is left"):
        build_files(tmp_path / "corpus", [str(tmp_path / "code")])


@pytest.mark.parametrize(
    ("parts", "package"),
    [
        (("numpy", "core", "a.py"), "numpy"),
        (("six.py",), "six"),
        (("requests-2.31.0", "requests", "api.py"), "requests"),
        (("attrs-23.1", "src", "attr", "make.py"), "attr"),
        (("lib", "x.py"), "x"),
    ],
)
def test_package(parts: tuple[str, ...], package: str) -> None:
    assert package_of(parts) == package


def shares() -> Iterator[str]:
    import hashlib

    for number in range(20_000):
        yield split_of(hashlib.sha256(str(number).encode()).hexdigest(), "p")


def test_shares_of_the_splits() -> None:
    drawn = list(shares())
    assert 17_800 < drawn.count("train") < 18_200
    assert 880 < drawn.count("validation") < 1_120


def test_encodings() -> None:
    assert to_utf8(b"\xef\xbb\xbfx = 1\n") == (b"x = 1\n", "")
    assert to_utf8(b"# coding: punycode\nx = 1\n") == (b"", "unknown_encoding")
    assert to_utf8("# coding: cp1252\ns = '€'\n".encode("cp1252")) == ("# coding: cp1252\ns = '€'\n".encode(), "")
    assert to_utf8(b"# coding: hex\n00\n") == (b"", "unknown_encoding")
