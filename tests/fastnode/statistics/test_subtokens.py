from collections import Counter

from fastnode_ops.analysis.syntax import parse
from fastnode_ops.statistics.subtokens import count_subtokens, number_subtokens


def test_words_of_every_identifier() -> None:
    counts = count_subtokens(parse(b"max_rows = maxCols\nif max_rows: 'not_counted'\n"))
    assert counts == {"max": 3, "rows": 2, "cols": 1}


def test_long_files_are_left_out() -> None:
    assert count_subtokens(parse(b"x = 1\n" * 5_000)) == {"x": 5_000}
    assert count_subtokens(parse(b"x = 1\n" * 5_001)) == {}


def test_long_words_are_left_out() -> None:
    assert count_subtokens(parse(b"x" * 101 + b" = y\n")) == {"y": 1}


def test_rows() -> None:
    assert number_subtokens(Counter({"b": 2, "a": 2, "c": 3, "d": 1}), limit=3) == ["c", "a", "b"]
