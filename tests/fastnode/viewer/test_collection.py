"""Best, correct and total, the sorting classes, and the order of symbols, against figures counted by hand."""

from pathlib import Path

import pytest

from fastnode_ops.validation.examples import Example
from fastnode_ops.viewer.collection import Collection, open_collection
from ops_common.errors import ArtifactError, DataError
from tests.fastnode.viewer.small_collections import MODEL, small_examples, write_small


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return open_collection(write_small(tmp_path_factory.mktemp("small") / "examples"))


def test_best_correct_and_total(collection: Collection) -> None:
    found = {name: (one.best, one.correct, one.total) for name, one in collection.overview.items()}
    assert found == {"alpha": (1, 0, 7), MODEL: (4, 2, 7), "pop": (5, 3, 8)}
    assert collection.overview["pop"].share(3) == 3 / 8


def test_providers_are_sorted_by_name(collection: Collection) -> None:
    assert collection.providers == ["alpha", MODEL, "pop"]


def test_every_sorting_class(collection: Collection) -> None:
    assert [entry.sort_class(MODEL) for entry in collection.entries] == [0, 1, 2, 3, 4, 5, 6, 5, 6]
    assert [entry.sort_class("pop") for entry in collection.entries] == [4, 4, 2, 3, 0, 3, 0, 5, 6]
    assert {entry.sort_class("nobody") for entry in collection.entries} == {6}


def test_the_list_is_sorted_by_class_then_by_index(collection: Collection) -> None:
    assert [entry.index for entry in collection.selection(sort=MODEL)] == [0, 1, 2, 3, 4, 5, 7, 6, 8]
    assert [entry.index for entry in collection.selection("re", "pop")] == [6, 5, 7]
    assert [entry.index for entry in collection.selection()] == list(range(9))


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["os.path", "re", "json", "builtins.str"]),
        (MODEL, ["os.path", "re", "json", "builtins.str"]),
        ("pop", ["re", "json", "os.path", "builtins.str"]),
        ("alpha", ["os.path", "re", "json", "builtins.str"]),
    ],
)
def test_symbols_that_a_provider_is_best_at_come_first(collection: Collection, sort: str, order: list[str]) -> None:
    assert [row.symbol for row in collection.symbol_rows(sort)] == order


def test_figures_of_a_symbol(collection: Collection) -> None:
    row = next(row for row in collection.symbol_rows() if row.symbol == "re")
    assert row.num_examples == 3
    assert {name: (one.best, one.correct, one.total) for name, one in row.figures.items()} == {
        "alpha": (1, 0, 3),
        MODEL: (0, 0, 2),
        "pop": (2, 1, 3),
    }
    assert row.is_best("pop") and not row.is_best("alpha") and not row.is_best(MODEL)


def test_an_example_is_read_again_from_the_disk(collection: Collection) -> None:
    assert [collection.example(entry.index) for entry in collection.entries] == small_examples()


def test_a_file_that_changed_is_said(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "examples")
    opened = open_collection(folder)
    (folder / "example-0003-of-0009.json").write_text("{}")
    with pytest.raises(DataError, match=r"example-0003-of-0009\.json has changed since it was read"):
        opened.example(2)


def test_bad_examples_are_named_and_the_others_shown(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "examples")
    (folder / "example-0002-of-0009.json").write_text("[]")
    (folder / "example-0004-of-0009.json").write_bytes(b"\xff")
    opened = open_collection(folder)
    assert len(opened.entries) == 7
    assert [problem.name for problem in opened.problems] == ["example-0002-of-0009.json", "example-0004-of-0009.json"]
    assert [entry.index for entry in opened.entries] == list(range(7))


def test_nothing_to_show_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        open_collection(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no example"):
        open_collection(tmp_path)


def test_the_key_tells_places_apart_and_not_what_was_provided(tmp_path: Path) -> None:
    first = open_collection(write_small(tmp_path / "first"))
    second = open_collection(write_small(tmp_path / "second", json_loads=0))
    assert [entry.key for entry in first.entries] == [entry.key for entry in second.entries]
    assert len({entry.key for entry in first.entries}) == 9


def test_symlinks_are_followed_only_as_files_of_the_folder(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "examples")
    (folder / "example-9999.json").symlink_to(tmp_path / "nowhere")
    assert [problem.reason for problem in open_collection(folder).problems] == [
        "cannot be read: No such file or directory"
    ]


def test_an_empty_list_is_not_found() -> None:
    one = Example.model_validate(
        {"Buffer": "x.y", "Cursor": 2, "Symbol": "x", "Expected": "y", "Provided": {"pop": {"Completions": []}}}
    )
    assert (one.rank("pop"), one.rank("alpha")) == (-1, None)
