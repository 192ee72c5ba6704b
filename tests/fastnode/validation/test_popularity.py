"""Popularity and situations over the symbols of the standard library, with counts made by hand."""

from collections import Counter

import pytest

from fastnode_ops.analysis.analysis import analyse
from fastnode_ops.analysis.syntax import parse
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.validation.failures import NoAnswer
from fastnode_ops.validation.held_out import MAX_BUFFER_BYTES
from fastnode_ops.validation.popularity import Alphabet, Popularity, attribute_at
from fastnode_ops.validation.providers import Question
from fastnode_ops.validation.situations import (
    Situation,
    situations_digest,
    situations_of,
    walk_situations,
)
from tests.fastnode.validation.toy_world import Counts, Folder

SOURCE = b"""import os
from collections import OrderedDict

class Mine:
    pass

def f(x, flag):
    here = OrderedDict() if flag else []
    Mine().secret
    here.clear()
    return os.path.join(x, os.sep)
"""


@pytest.fixture(scope="module")
def popularity(symbols: SymbolStore) -> Popularity:
    join, exists = (symbols.find(f"os.path.{name}").canonical for name in ("join", "exists"))  # type: ignore[union-attr]
    counts = Counts(**{"import": {join: 3, exists: 9}, "attribute": {join: 20, exists: 1}})
    return Popularity(symbols, counts)


def at(text: bytes) -> int:
    return SOURCE.index(text) + len(text)


def test_members_by_imports_and_attributes(popularity: Popularity, symbols: SymbolStore) -> None:
    answer = popularity.answer(Question(SOURCE, at(b"return os.path.")))
    names = [one.identifier for one in answer.completions]
    members = [name for name in symbols.children("os.path") if not name.startswith("__")]
    assert names[:2] == ["join", "exists"]
    assert names[2:] == sorted(set(members) - {"join", "exists"})
    total = 23 + 10 + len(members)  # every member has one more than its count
    assert answer.completions[0].score == pytest.approx(24 / total)
    assert answer.completions[1].score == pytest.approx(11 / total)
    assert sum(one.score for one in answer.completions) == pytest.approx(1.0)
    assert answer.munged == SOURCE.decode()


def test_alpha_is_the_same_by_name(popularity: Popularity) -> None:
    question = Question(SOURCE, at(b"return os.path."))
    names = [one.identifier for one in Alphabet(popularity).answer(question).completions]
    assert names == sorted(one.identifier for one in popularity.answer(question).completions)


def test_a_union_has_the_largest_count_of_each_member(symbols: SymbolStore) -> None:
    ordered, plain = (symbols.child(path, "clear") for path in ("collections.OrderedDict", "builtins.list"))
    assert ordered is not None and plain is not None
    counts = Counts(attribute={ordered.canonical: 5, plain.canonical: 2})
    found = Popularity(symbols, counts).answer(Question(SOURCE, at(b"    here.")))
    names = [one.identifier for one in found.completions]
    assert names[0] == "clear"
    assert {"append", "move_to_end"} <= set(names)
    assert found.completions[0].score == pytest.approx(6 / (5 + len(names)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"    Mine().", "the base is no known symbol"), (b"import", "no attribute expression at the cursor")],
)
def test_what_has_no_members_has_no_list(popularity: Popularity, text: bytes, reason: str) -> None:
    with pytest.raises(NoAnswer) as caught:
        popularity.answer(Question(SOURCE, at(text)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("rest", [b"", b"\n", b"\nx = 1\n", b")\n", b"\n    y\n"])
def test_a_dot_without_a_name_is_completed(popularity: Popularity, rest: bytes) -> None:
    source = b"import os\nos.path."
    found = popularity.answer(Question(source + rest, len(source)))
    assert found.completions[0].identifier == "join"
    assert found.munged == (source + rest).decode()


def test_the_attribute_of_a_dot() -> None:
    source = b"a.b.c\n"
    tree = parse(source)
    assert [attribute_at(tree, cursor) is not None for cursor in range(7)] == [c in (2, 4) for c in range(7)]


def chosen(symbols: SymbolStore, source: bytes, max_per_file: int = 5) -> tuple[list[Situation], Counter[str]]:
    dropped: Counter[str] = Counter()
    return situations_of("file", analyse(source, symbols), dropped, max_per_file), dropped


def test_situations_are_attributes_of_what_the_file_does_not_define(symbols: SymbolStore) -> None:
    found, dropped = chosen(symbols, SOURCE)
    by_name = {one.expected: one for one in found}
    assert by_name.keys() == {"path", "join", "sep", "clear"}
    assert (by_name["join"].symbol, by_name["join"].question.cursor) == ("os.path", at(b"return os.path."))
    assert by_name["join"].parent_kind == "CallExpr"
    assert by_name["join"].question == Question(SOURCE, at(b"return os.path."), "")
    assert by_name["clear"].symbol in ("builtins.list", "collections.OrderedDict")
    assert dropped == {"base is no symbol from outside of the file": 1}


def test_the_choice_is_a_function_of_the_content(symbols: SymbolStore) -> None:
    many = b"import os\n" + b"".join(b"x%d = os.path.join\n" % n for n in range(30))
    first = [one.question.cursor for one in chosen(symbols, many)[0]]
    assert len(first) == 5
    assert first == [one.question.cursor for one in chosen(symbols, many)[0]]
    assert first != sorted(first) or first[0] > 40  # not just the first ones of the file
    other = [one.question.cursor for one in chosen(symbols, many + b"\n")[0]]
    assert other != first


def test_a_base_without_members_is_left_out(symbols: SymbolStore) -> None:
    found, dropped = chosen(symbols, b"import os\nx = None\nx.y\nz = None if os else os.path\nz.join\n")
    assert {(one.symbol, one.expected) for one in found} == {("os", "path"), ("os.path", "join")}
    assert dropped == {"base has no members, as None has none": 1}


def test_files_that_cannot_be_used_are_counted(symbols: SymbolStore) -> None:
    folder = Folder(SOURCE, b"#" * (MAX_BUFFER_BYTES + 1), b"\xff\xfe", b"x = 1\n", b"import os\nos.sep\n")
    dropped: Counter[str] = Counter()
    found = list(walk_situations(folder, symbols, "validation", dropped))
    assert [one.file_id for one in found] == ["file-000"] * 4 + ["file-004"]
    assert dropped == {
        "file too large": 1,
        "file cannot be parsed": 1,
        "base is no symbol from outside of the file": 1,
    }
    assert situations_digest(found) == situations_digest(list(found))
    assert situations_digest(found) != situations_digest(found[1:])
