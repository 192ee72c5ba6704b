"""The fallback list: counts by hand, its threshold, the merge, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

from fastnode_ops.validation.fallback import (
    FallbackRow,
    compare_by_symbol,
    merge_fallback,
    read_fallback,
    write_fallback,
)
from fastnode_ops.validation.ranking import Outcome
from ops_common.errors import ArtifactError, DataError

ROOT = Path(__file__).parents[3]


def outcomes(*ranks: int | None) -> list[Outcome]:
    """Outcomes of these ranks; None: failed."""
    empty = np.zeros(0, np.float32)
    return [Outcome(-1 if rank is None else rank, "failed" if rank is None else "", 0.0, empty) for rank in ranks]


def test_counts_by_hand() -> None:
    # better: lower rank; found over not found; equal counts for neither; neither among the first 5 counts not at all
    popularity = outcomes(0, 4, 2, -1, 5, 0, None, 5)
    model = outcomes(1, -1, 2, 3, 9, None, 0, 4)
    (row,) = compare_by_symbol(["os"] * 8, popularity, model)
    assert row == FallbackRow(symbol="os", count=5, pop_better=2, ggnn_better=2)


def test_rows_are_per_symbol_and_sorted() -> None:
    rows = compare_by_symbol(["re", "os", "re"], outcomes(0, 0, 0), outcomes(1, 1, 0))
    assert [(row.symbol, row.count, row.pop_better) for row in rows] == [("os", 1, 1), ("re", 2, 1)]


@pytest.mark.parametrize(
    ("count", "pop", "ggnn", "is_listed"), [(10, 5, 4, True), (9, 9, 0, False), (10, 5, 5, False), (10, 4, 5, False)]
)
def test_the_threshold(count: int, pop: int, ggnn: int, is_listed: bool) -> None:
    assert FallbackRow(symbol="s", count=count, pop_better=pop, ggnn_better=ggnn).is_listed is is_listed


def test_lists_are_merged_sorted_without_repetitions(tmp_path: Path) -> None:
    write_fallback(tmp_path / "pipeline", ["re", "os.path", "re"])
    (tmp_path / "hardcoded").write_text("os.path\n\nmatplotlib.pyplot\n")
    assert merge_fallback(tmp_path / "pipeline", tmp_path / "hardcoded", tmp_path / "merged") == 3
    assert (tmp_path / "merged").read_text() == "matplotlib.pyplot\nos.path\nre\n"


def test_the_shipped_list_is_read() -> None:
    assert read_fallback(ROOT / "config/fastnode/attr-fallback-hardcoded.txt") == ["matplotlib.pyplot"]


@pytest.mark.parametrize("line", ["a b", "a..b", "a.", "1a", "# comment", "<script>"])
def test_a_line_that_is_no_symbol_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "list").write_text(f"os\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_fallback(tmp_path / "list")
    assert f"line 2: {line!r} is no symbol" in caught.value.message


def test_what_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        read_fallback(tmp_path / "absent")
    (tmp_path / "bytes").write_bytes(b"os\n\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        read_fallback(tmp_path / "bytes")
    (tmp_path / "large").write_bytes(b"os\n" * 2_000_000)
    with pytest.raises(DataError, match="has more than"):
        read_fallback(tmp_path / "large")
