"""The format of examples: what is written is read again, every form of it, and what is wrong is named."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fastnode_ops.validation import examples as module
from fastnode_ops.validation.examples import (
    Example,
    ExampleCompletion,
    Problem,
    ProviderOutput,
    example_name,
    read_collection,
    read_example,
    walk_collection,
    write_example_file,
    write_examples,
)
from ops_common.errors import ArtifactError, DataError

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs/schemas/example.schema.json").read_text())


def example(number: int = 0) -> Example:
    output = ProviderOutput(Completions=[ExampleCompletion(Identifier="b", Score=0.5)], MungedBuffer="é a.X\n")
    return Example(Buffer=f"é a.b # {number}\n", Cursor=5, Symbol="a", Expected="b", Provided={"pop": output})


def plain(**changes: Any) -> dict[str, Any]:
    return {"Buffer": "a.b", "Cursor": 2, "Symbol": "a", "Expected": "b", "Provided": None} | changes


def write(path: Path, *values: Any, between: str = "") -> Path:
    path.write_text(between.join(json.dumps(value) for value in values), encoding="utf-8")
    return path


def test_a_folder_is_written_as_the_reference_names_its_files(tmp_path: Path) -> None:
    written = [example(number) for number in range(12)]
    write_examples(tmp_path / "folder", written)
    assert sorted(path.name for path in (tmp_path / "folder").iterdir())[6] == "example-0007-of-0012.json"
    text = (tmp_path / "folder" / "example-0007-of-0012.json").read_text()
    assert text.startswith('{\n    "Buffer": "é a.b # 6\\n",\n    "Cursor": 5,\n')
    assert list(json.loads(text)["Provided"]["pop"]["Completions"][0]) == [
        "Identifier",
        "Score",
        "MixCompletion",
        "Duplicate",
    ]
    assert read_collection(tmp_path / "folder") == (written, [])


def test_names_sort_like_their_numbers() -> None:
    assert example_name(7, 1000) == "example-0007-of-1000.json"  # of the specification's appendix B.9
    assert example_name(7, 10_001) == "example-00007-of-10001.json"


def test_writing_replaces_the_folder_as_a_whole(tmp_path: Path) -> None:
    write_examples(tmp_path / "folder", [example(1), example(2)])
    write_examples(tmp_path / "folder", [example(3)])
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["example-0001-of-0001.json"]


def test_objects_one_after_the_other_in_one_file(tmp_path: Path) -> None:
    written = [example(number) for number in range(5)]
    write_example_file(tmp_path / "attr.json", written)
    assert read_collection(tmp_path / "attr.json") == (written, [])
    places = [found[0] for found in walk_collection(tmp_path / "attr.json") if not isinstance(found, Problem)]
    assert [read_example(place) for place in places] == written


@pytest.mark.parametrize("between", ["", " ", "\n\n", "\r\n\t"])
def test_any_blanks_may_stand_between_objects(tmp_path: Path, between: str) -> None:
    path = write(tmp_path / "a.json", plain(Symbol="é"), plain(), plain(Expected="🙂"), between=between)
    found, problems = read_collection(path)
    assert ([one.Expected for one in found], problems) == (["b", "b", "🙂"], [])
    places = [one[0] for one in walk_collection(path) if not isinstance(one, Problem)]
    assert [read_example(place) for place in places] == found


def test_the_legacy_cursor_is_taken_out_of_the_buffer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", plain(Buffer="é = a.$$$b", Cursor=0))
    (found,), _ = read_collection(path)
    assert (found.Buffer, found.Cursor) == ("é = a.b", 7)


def test_dollars_are_text_where_a_cursor_is_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", plain(Buffer="a.b # $$$", Cursor=2))
    (found,), _ = read_collection(path)
    assert found.Buffer == "a.b # $$$"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "Input should be a valid dictionary or instance of Example"),
        (plain(Buffer="a$$$b$$$", Cursor=0), "Buffer: marks the cursor with $$$ more than once"),
        (plain(Cursor=4), "Cursor: must be at most 3, the length of the buffer in bytes"),
        (plain(Cursor=-1), "Cursor: Input should be greater than or equal to 0"),
        (plain(Buffer="é", Cursor=1), "Cursor: byte 1 of the buffer is inside of a character"),
        (plain(Symbol=None), "Symbol: Input should be a valid string"),
        (plain(Symbol="x" * 1001), "Symbol: String should have at most 1000 characters"),
        (plain(Expeted="b"), "Expeted: Extra inputs are not permitted"),
        (plain(Provided={"pop": {}}), "Provided.pop.Completions: Field required"),
        (
            plain(Provided={"pop": {"Completions": [{"Identifier": "b", "Score": "high"}]}}),
            "Provided.pop.Completions.0.Score: Input should be a valid number, unable to parse string as a number",
        ),
        (
            plain(Provided={str(i): {"Completions": []} for i in range(51)}),
            "Provided: Dictionary should have at most 50 items after validation, not more",
        ),
        (
            plain(Provided={"pop": {"Completions": [{"Identifier": "b", "Score": 1}] * 10_001}}),
            "Provided.pop.Completions: List should have at most 10000 items after validation, not 10001",
        ),
        (plain(Buffer="x" * 1_000_001), "Buffer: String should have at most 1000000 characters"),
    ],
)
def test_what_is_wrong_with_an_example_is_named(tmp_path: Path, value: Any, reason: str) -> None:
    write(tmp_path / "1.json", value)
    write(tmp_path / "2.json", plain())
    found, problems = read_collection(tmp_path)
    assert len(found) == 1
    assert problems == [Problem("1.json", reason)]


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"\xff", "1.json", "is not UTF-8 text (byte 0)"),
        (b'{"Buffer":', "1.json object 1", "is not JSON: Expecting value: line 1 column 11 (char 10); what follows"),
        (b"[" * 100_000, "1.json object 1", "is nested too deeply; what follows is not read"),
        (b'{"Buffer": "\\ud800", "Cursor": 0, "Symbol": "a", "Expected": "b"}', "1.json object 1", "Buffer: "),
        (b'{"Buffer": "a", "Cursor": 1e400, "Symbol": "a", "Expected": "b"}', "1.json object 1", "Cursor: "),
        (b'{"Buffer": "a", "Cursor": NaN, "Symbol": "a", "Expected": "b"}', "1.json object 1", "Cursor: "),
    ],
)
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes, name: str, reason: str) -> None:
    (tmp_path / "1.json").write_bytes(content)
    write(tmp_path / "2.json", plain())
    _, problems = read_collection(tmp_path)
    assert [problem.name for problem in problems] == [name]
    assert problems[0].reason.startswith(reason)


def test_objects_before_a_torn_one_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(plain()) + json.dumps(plain())[:-3])
    found, problems = read_collection(path)
    assert len(found) == 1
    assert problems[0].name == "a.json object 2"


def test_only_json_files_of_the_folder_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.json", plain(Symbol=name))
    (tmp_path / "README.md").write_text("no example")
    assert [one.Symbol for one in read_collection(tmp_path)[0]] == ["a", "b", "c"]


def test_an_empty_collection_and_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("")
    with pytest.raises(DataError, match="holds no example"):
        read_collection(tmp_path)
    write(tmp_path / "2.json", 7)
    with pytest.raises(DataError, match=r"holds no example: 2\.json: Input should be"):
        read_collection(tmp_path)
    with pytest.raises(ArtifactError, match="does not exist"):
        read_collection(tmp_path / "absent")


def test_files_and_examples_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "1.json", plain(), plain(), plain())
    monkeypatch.setattr(module, "MAX_EXAMPLES", 2)
    with pytest.raises(DataError, match="more than 2 examples"):
        read_collection(tmp_path)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    write(tmp_path / "2.json", 1)
    with pytest.raises(DataError, match=r"1\.json: has \d+ bytes, allowed are 10"):
        read_collection(tmp_path)


def test_the_schema_is_that_of_the_records_and_takes_what_is_written() -> None:
    assert Example.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"} == SCHEMA
    jsonschema.validate(example().model_dump(), SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain(Cursor="2"), SCHEMA)


def test_the_shipped_examples_are_sound() -> None:
    found, problems = read_collection(ROOT / "config/fastnode/curated-examples/attr.json")
    assert problems == []
    assert 20 <= len(found) <= 30
    for one in found:
        assert one.Provided is None
        assert one.source[one.Cursor - 1 : one.Cursor] == b"."
        assert one.source[one.Cursor :].startswith(one.Expected.encode())
        compile(one.Buffer, one.Symbol, "exec")
    assert len({one.Symbol for one in found}) >= 15
