"""Two collections: what got better, what got worse, and what only one of them has."""

from collections import Counter
from pathlib import Path

from fastnode_ops.validation.examples import write_examples
from fastnode_ops.viewer.collection import open_collection
from fastnode_ops.viewer.comparison import compare
from tests.fastnode.viewer.small_collections import MODEL, small_examples, write_small


def test_changes_of_a_provider(tmp_path: Path) -> None:
    before = open_collection(write_small(tmp_path / "before"))
    # 3 -> 0 better, 0 -> 2 worse, 2 -> -1 worse, -1 -> 4 better, absent -> 1 appeared
    after = write_small(tmp_path / "after", json_loads=0, os_path_join=2, os_path_exists=-1, re_match=4, re_compile=1)
    comparison = compare(before, open_collection(after))
    assert comparison.counts(MODEL) == Counter(better=2, worse=2, same=3, appeared=1)
    assert comparison.counts("pop") == Counter(same=8)
    # found against not found is the largest step
    assert [pair.after.expected for pair in comparison.changed(MODEL, "better")] == ["match", "loads"]
    assert [pair.after.expected for pair in comparison.changed(MODEL, "worse")] == ["exists", "join"]
    old, new = comparison.figures()[MODEL]
    assert (old.correct, old.total, new.correct, new.total) == (2, 7, 2, 8)


def test_the_other_way_round(tmp_path: Path) -> None:
    first = open_collection(write_small(tmp_path / "first"))
    second = open_collection(write_small(tmp_path / "second", re_compile=1, json_loads=0))
    assert compare(second, first).counts(MODEL) == Counter(worse=1, vanished=1, same=6)


def test_examples_of_one_collection_only_are_counted_and_the_others_paired_by_content(tmp_path: Path) -> None:
    examples = small_examples()
    write_examples(tmp_path / "before", examples[:5])
    write_examples(tmp_path / "after", examples[:1:-1])  # the last seven, the other way round
    comparison = compare(open_collection(tmp_path / "before"), open_collection(tmp_path / "after"))
    assert [(pair.before.expected, pair.after.expected) for pair in comparison.pairs] == [
        ("loads", "loads"),
        ("dumps", "dumps"),
        ("isdir", "isdir"),
    ]
    assert (comparison.only_before, comparison.only_after) == (2, 4)


def test_what_stands_twice_is_paired_as_often_as_in_both(tmp_path: Path) -> None:
    one = small_examples()[0]
    write_examples(tmp_path / "before", [one, one])
    write_examples(tmp_path / "after", [one, one, one])
    comparison = compare(open_collection(tmp_path / "before"), open_collection(tmp_path / "after"))
    assert [(pair.before.index, pair.after.index) for pair in comparison.pairs] == [(0, 0), (1, 1)]
    assert (comparison.only_before, comparison.only_after) == (0, 1)
