"""Pins: one path changes, everything else stays byte for byte; what is ambiguous, damaged or unfinished is refused."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnode_ops.publish.go_source import string_literals
from fastnode_ops.publish.registry import PinReport, Shard, find_registry, pin_model, read_shards
from fastnode_ops.publish.upload import upload_out
from ops_common.errors import ArtifactError, ConfigError, DataError
from tests.fastnode.publish.test_upload import make_out

FOLDER = "fastnode-go/lang/python/pythonmodels"
OLD = "s3://fastnode-data/python-ggnn-expr-completion/2019-09-21_05-48-36-AM"
GO = f"""package pythonmodels

// An older one: "{OLD}-old/serve" is not read.
/* nor "{OLD}/serve" here */
var quote, tick = '"', '`'

// DefaultOptions has the paths of all models.
var DefaultOptions = Options{{
\tMTACConfidence: "s3://fastnode-data/mtac/2019 \\"x\\"",
\tExprModel:      "{OLD}/serve",
\tRaw:            `a "quoted" // path`,
}}
"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    """An uploaded model: the path that a product loads."""
    return make_model(tmp_path, datetime(2024, 1, 31, 23, 59, 59, tzinfo=UTC))


def make_model(tmp_path: Path, at: datetime) -> str:
    work_dir = make_out(tmp_path / f"run-{at:%S}")
    return upload_out(work_dir, str(tmp_path / "store"), {}, now=lambda: at).serve_uri


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "product" / FOLDER).mkdir(parents=True)
    return tmp_path / "product"


def pin(checkout: Path, model: str, *packages: str) -> PinReport:
    return pin_model(checkout, model, packages or ("numpy", "json"))


def write_go(checkout: Path, text: str = GO) -> Path:
    path = checkout / FOLDER / "models.go"
    path.write_bytes(text.encode())
    return path


def write_shards(checkout: Path, *shards: tuple[str, list[str]]) -> Path:
    path = checkout / "fastnode-go/lang/python/pythonexpr/shards.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([{"ModelPath": where, "Packages": packages} for where, packages in shards], indent=4))
    return path


def test_the_first_model(checkout: Path, model: str) -> None:
    report = pin(checkout, model)
    registry = checkout / FOLDER / "models.json"
    assert read_shards(registry) == [Shard(ModelPath=model, Packages=["json", "numpy"])]
    assert (report.model_path, report.replaced, report.changed) == (model, "", (registry,))
    assert report.diff.startswith(f"--- /dev/null\n+++ b/{FOLDER}/models.json\n")
    assert f'+    "ModelPath": "{model}",' in report.diff.splitlines()


def test_the_same_again_changes_nothing(checkout: Path, model: str) -> None:
    pin(checkout, model)
    before = (checkout / FOLDER / "models.json").stat().st_ino
    report = pin(checkout, model)
    assert (report.replaced, report.changed, report.diff) == (model, (), "")
    assert (checkout / FOLDER / "models.json").stat().st_ino == before


def test_one_path_of_the_go_file_changes_and_not_another_byte(checkout: Path, model: str) -> None:
    path = write_go(checkout)
    path.chmod(0o640)
    report = pin(checkout, model)
    assert path.read_bytes() == GO.replace(f'ExprModel:      "{OLD}/serve"', f'ExprModel:      "{model}"').encode()
    assert path.stat().st_mode & 0o777 == 0o640
    changed = [line for line in report.diff.splitlines() if line.startswith(("-\t", "+\t"))]
    assert changed == [f'-\tExprModel:      "{OLD}/serve",', f'+\tExprModel:      "{model}",']


@pytest.mark.parametrize("rest", ["", "/", "/serve/", "/serve/expr_model.frozen.pb"])
def test_a_path_keeps_what_it_pointed_at(checkout: Path, model: str, rest: str) -> None:
    path = write_go(checkout, f"package x\r\n\r\nconst p = `{OLD}{rest}`\r\n")
    pin(checkout, model)
    root = model.removesuffix("/serve")
    assert path.read_bytes() == f"package x\r\n\r\nconst p = `{root}{rest}`\r\n".encode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("package x\n", "has 0 strings with a path in python-ggnn-expr-completion, not one"),
        (f'package x\n// "{OLD}"\n', "has 0 strings with a path"),
        (f'package x\nvar a = "{OLD}"\nvar b = "{OLD}/serve"\n', "has 2 strings .*: lines 2, 3"),
        (f'package x\nvar a = "{OLD}/serve/gone.pb"\n', "line 2 names serve/gone.pb of the old model"),
        ('package x\nvar a = "half\n', r"models\.go, line 2: this string does not end"),
        ("package x\nvar a = `half\n", "line 2: this raw string does not end"),
        ("package x\n\nvar r = 'half\n", "line 3: this rune does not end"),
        ("package x\n/* half\n", "line 2: this comment does not end"),
    ],
)
def test_a_go_file_that_does_not_say_what_to_change(checkout: Path, model: str, text: str, message: str) -> None:
    path = write_go(checkout, text)
    with pytest.raises(DataError, match=message):
        pin(checkout, model)
    assert path.read_bytes() == text.encode()
    assert not (checkout / FOLDER / "models.json").exists()  # nothing is written before everything is known


def test_a_list_of_shards_changes_with_it(checkout: Path, model: str) -> None:
    path = write_shards(checkout, (f"{OLD}/serve", ["numpy", "json"]))
    go = write_go(checkout, "package x // reads shards.json\n")
    before = path.read_text()
    report = pin(checkout, model)
    assert path.read_text() == before.replace(f"{OLD}/serve", model)
    assert go.read_text() == "package x // reads shards.json\n"
    assert report.changed == (path, checkout / FOLDER / "models.json")


def test_one_of_several_shards_is_found_by_its_packages(checkout: Path, model: str) -> None:
    path = write_shards(checkout, ("s3://m/one/serve", ["numpy"]), ("s3://m/two/serve", ["json", "os"]))
    pin(checkout, model, "os", "json")
    assert [(shard.ModelPath, shard.Packages) for shard in read_shards(path)] == [
        ("s3://m/one/serve", ["numpy"]),
        (model, ["json", "os"]),
    ]
    with pytest.raises(DataError, match="lists 2 models, none of them for just these packages"):
        pin(checkout, model, "django")


def test_new_packages_replace_those_of_the_only_model(checkout: Path, tmp_path: Path, model: str) -> None:
    pin(checkout, model)
    later = make_model(tmp_path, datetime(2024, 2, 1, tzinfo=UTC))
    report = pin(checkout, later, "os")
    assert report.replaced == model
    assert read_shards(checkout / FOLDER / "models.json") == [Shard(ModelPath=later, Packages=["os"])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "models.json: Invalid JSON"),
        ("{}", "models.json: Input should be a valid array"),
        ('[{"ModelPath": "", "Packages": []}]', r"\[0\]\.ModelPath: String should have at least 1 character"),
        ('[{"ModelPath": "s3://m"}]', r"\[0\]\.Packages: Field required"),
        ('[{"ModelPath": "s3://m", "Packages": [7]}]', r"\[0\]\.Packages\[0\]: Input should be a valid string"),
        ('[{"ModelPath": "s3://m", "Packages": ["../x"]}]', r"Packages\[0\]: String should match pattern"),
        ('[{"ModelPath": "s3://m", "Packages": [], "Extra": 1}]', r"\[0\]\.Extra: Extra inputs are not permitted"),
        ("\udcff", "is not UTF-8 text"),
    ],
)
def test_a_damaged_list_is_refused(checkout: Path, model: str, content: str, message: str) -> None:
    (checkout / FOLDER / "models.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=message):
        pin(checkout, model)


def test_what_is_no_finished_upload_is_not_pinned(checkout: Path, model: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no finished upload at .*nowhere/serve: no MANIFEST\.json"):
        pin(checkout, f"{tmp_path}/nowhere/serve")
    with pytest.raises(ArtifactError, match=r"has no expr_model\.frozen\.pb"):
        pin(checkout, model.removesuffix("/serve"))
    with pytest.raises(ArtifactError, match="lists nothing at"):
        pin(checkout, model.replace("/serve", "/served"))
    with pytest.raises(ConfigError, match="cannot be written into a source"):
        pin(checkout, 's3://models/"x"/serve')


def test_a_damaged_upload_is_not_pinned(checkout: Path, model: str) -> None:
    frozen = Path(model, "expr_model.frozen.pb")
    frozen.write_bytes(b"Frozen graph")
    with pytest.raises(ArtifactError, match=r"expr_model\.frozen\.pb is not what its manifest says"):
        pin(checkout, model)
    frozen.write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"expr_model\.frozen\.pb has 4 bytes, not 12"):
        pin(checkout, model)
    frozen.unlink()
    with pytest.raises(ArtifactError, match=r"expr_model\.frozen\.pb is missing"):
        pin(checkout, model)
    assert not (checkout / FOLDER / "models.json").exists()


def test_only_one_pin_at_a_time(checkout: Path, model: str) -> None:
    other = os.open(checkout / FOLDER, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(ConfigError, match="another pin or rebuild is running"):
        pin(checkout, model)
    os.close(other)
    pin(checkout, model)


def test_where_the_list_stands(tmp_path: Path, model: str) -> None:
    with pytest.raises(ConfigError, match="is not a folder, so no checkout"):
        pin(tmp_path / "gone", model)
    (tmp_path / "new").mkdir()
    assert pin(tmp_path / "new", model).changed == (tmp_path / "new" / FOLDER / "models.json",)
    (tmp_path / "plain/pythonmodels").mkdir(parents=True)
    assert find_registry(tmp_path / "plain") == tmp_path / "plain/pythonmodels"
    (tmp_path / "plain" / FOLDER).mkdir(parents=True)
    with pytest.raises(ConfigError, match="has two lists of models"):
        find_registry(tmp_path / "plain")


def test_literals_of_a_go_file() -> None:
    source = """x("a\\"b", `c"\n// d`, '"', '\\'', '`') // "no"\n/* "no\n*/ y("e", "")"""
    assert [(item.text, item.line) for item in string_literals(source, "x.go")] == [
        ('a\\"b', 1),
        ('c"\n// d', 1),
        ("e", 4),
        ("", 4),
    ]
    for item in string_literals(source, "x.go"):
        assert source[item.start : item.end] == item.text


PIECES = st.one_of(
    st.text("ab /*'`\\\\", max_size=8).map(lambda text: ("//" + text + "\n", None)),
    st.text("ab /\"'`\n", max_size=8).map(lambda text: ("/*" + text + "*/", None)),
    st.text("ab /*'`", max_size=8).map(lambda text: (f'"{text}"', text)),
    st.lists(st.sampled_from(["a", '\\"', "\\\\", "/", "'"]), max_size=6).map(
        lambda parts: (f'"{"".join(parts)}"', "".join(parts))
    ),
    st.text("ab /*'\"\\\n", max_size=8).map(lambda text: (f"`{text}`", text)),
    st.sampled_from(["'\"'", "'`'", "'\\''", "'\\\\'", "'/'", "x := y / z\n", " ", "{ }\n"]).map(
        lambda text: (text, None)
    ),
)


@given(st.lists(PIECES, max_size=12))
def test_literals_are_those_that_were_put_there(pieces: list[tuple[str, str | None]]) -> None:
    source = " ".join(text for text, _ in pieces)
    found = list(string_literals(source, "x.go"))
    assert [item.text for item in found] == [literal for _, literal in pieces if literal is not None]
    changed = source
    for item in reversed(found):
        changed = changed[: item.start] + "s3://new" + changed[item.end :]
    assert [item.text for item in string_literals(changed, "x.go")] == ["s3://new"] * len(found)
