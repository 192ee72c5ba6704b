"""The pages of the viewer, each a function from the parameters of its address to HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastnode_ops.validation.examples import Example, ProviderOutput
from fastnode_ops.viewer.code import code_lines
from fastnode_ops.viewer.collection import Collection, Entry, figures_of
from fastnode_ops.viewer.comparison import CHANGES, Change, Comparison
from fastnode_ops.viewer.templating import render
from fastnode_ops.viewer.tree import tree_lines
from ops_common.errors import DataError

ROWS_PER_PAGE = 250
NUM_SHOWN_COMPLETIONS = 25
NUM_SHOWN_PROBLEMS = 50

T = TypeVar("T")


class NoSuchPage(Exception):
    """What was asked for is not there; the message says so to a person."""


@dataclass(frozen=True)
class Shown:
    """What every page needs to know.

    Args:
        root: Path prefix under which the viewer is mounted.
        names: Names of the collections.
        number: Number of the one that is shown.
        collection: That one.
        has_model: Whether the live box can answer.
    """

    root: str
    names: tuple[str, ...]
    number: int
    collection: Collection
    has_model: bool

    def render(self, template: str, **values: object) -> str:
        """Render a page with what every page needs."""
        return render(template, self.root, shown=self, c=self.number or "", **values)


@dataclass(frozen=True)
class PartOfRows(Generic[T]):
    """The rows of one page of a long table; pages count from 1."""

    rows: Sequence[T]
    page: int
    num_pages: int
    num_rows: int


def part_of(rows: Sequence[T], page: int) -> PartOfRows[T]:
    """Cut the rows of a page out of all; a number outside of the pages gives the nearest one."""
    num_pages = max(1, -(-len(rows) // ROWS_PER_PAGE))
    page = min(max(1, page), num_pages)
    return PartOfRows(rows[(page - 1) * ROWS_PER_PAGE : page * ROWS_PER_PAGE], page, num_pages, len(rows))


def overview_page(shown: Shown, sort: str, page: int) -> str:
    """Show the figures of every provider, and of every symbol."""
    collection = shown.collection
    rows = collection.symbol_rows(sort)
    return shown.render(
        "overview",
        sort=sort,
        part=part_of(rows, page),
        num_symbols=len(rows),
        problems=collection.problems[:NUM_SHOWN_PROBLEMS],
    )


def list_page(shown: Shown, symbol: str, sort: str, page: int) -> str:
    """Show the examples of a symbol, or all."""
    entries = shown.collection.selection(symbol, sort)
    figures = figures_of(entries, shown.collection.providers)
    return shown.render("examples", symbol=symbol, sort=sort, figures=figures, part=part_of(entries, page))


@dataclass(frozen=True, slots=True)
class Row:
    """One place of the lists side by side: its number from 1, and a completion or None per provider."""

    position: int
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A completion in a list: its text, its score, its score as a share of the list's highest, whether it is right."""

    text: str
    score: float
    weight: float
    is_expected: bool


def example_page(shown: Shown, idx: int, symbol: str, sort: str, buffer: str, view: str) -> str:
    """Show one example; the arrows lead through the list that the person came from, also where `buffer` is absent.

    Raises:
        DataError: The example has changed on the disk.
    """
    collection = shown.collection
    idx %= len(collection.entries)
    entries = collection.selection(symbol, sort)
    place = next((i for i, entry in enumerate(entries) if entry.index == idx), None)
    if place is None:  # an address made by hand
        entries = collection.selection()
        place, symbol, sort = idx, "", ""
    example = collection.example(idx)
    is_absent = bool(buffer) and buffer not in (example.Provided or {})
    text, cursor = buffer_of(example, "" if is_absent else buffer)
    return shown.render(
        "example",
        entry=collection.entries[idx],
        example=example,
        idx=idx,
        symbol=symbol,
        sort=sort,
        buffer=buffer,
        is_absent=is_absent,
        view=view,
        place=place,
        num_places=len(entries),
        before=entries[place - 1].index,
        after=entries[(place + 1) % len(entries)].index,
        providers=sorted(example.Provided or {}),
        rows=completion_rows(example, collection.entries[idx]),
        lines=code_lines(text, cursor),
        tree=_tree_of(text, cursor) if view == "ast" else None,
    )


def buffer_of(example: Example, provider: str) -> tuple[str, int | None]:
    """Return the text of an example, or the one that a provider saw, and where the cursor is in it, in bytes.

    Raises:
        NoSuchPage: There is no such provider.
    """
    if not provider:
        return example.Buffer, example.Cursor
    output: ProviderOutput | None = (example.Provided or {}).get(provider)
    if output is None:
        raise NoSuchPage(f"this example has no provider {provider!r}")
    # up to the cursor a provider sees the file itself; where it did not, nobody knows where the cursor went
    same = output.MungedBuffer.encode().startswith(example.source[: example.Cursor])
    return output.MungedBuffer, example.Cursor if same else None


def completion_rows(example: Example, entry: Entry) -> list[Row]:
    """Lay the lists of all providers side by side: the first places, and those of the expected identifier."""
    outputs = [output for _, output in sorted((example.Provided or {}).items())]
    longest = max((len(output.Completions) for output in outputs), default=0)
    further = {rank for rank in entry.ranks.values() if rank >= NUM_SHOWN_COMPLETIONS}
    places = [*range(min(longest, NUM_SHOWN_COMPLETIONS)), *sorted(further)]
    highest = [max((one.Score for one in output.Completions), default=0.0) for output in outputs]
    rows = []
    for place in places:
        cells = []
        for output, top in zip(outputs, highest, strict=True):
            one = output.Completions[place] if place < len(output.Completions) else None
            cells.append(
                None
                if one is None
                else Cell(
                    text=one.Identifier,
                    score=one.Score,
                    weight=min(1.0, max(0.0, one.Score / top)) if top > 0 else 0.0,
                    is_expected=one.Identifier == example.Expected,
                )
            )
        rows.append(Row(place + 1, tuple(cells)))
    return rows


def compare_page(
    shown: Shown, comparison: Comparison, before: int, after: int, provider: str, change: str, page: int
) -> str:
    """Show what became of the examples between two collections."""
    chosen: Change | None = next((one for one in CHANGES if one == change), None)
    pairs = comparison.changed(provider, chosen) if provider in comparison.providers and chosen else []
    return shown.render(
        "compare",
        comparison=comparison,
        before=before,
        after=after,
        provider=provider,
        change=chosen or "",
        changes=CHANGES,
        counts={name: comparison.counts(name) for name in comparison.providers},
        figures=comparison.figures(),
        part=part_of(pairs, page),
    )


def live_page(shown: Shown, idx: int | None) -> str:
    """Show the box in which a person types and the providers complete; with an example's buffer in it, or empty.

    Raises:
        DataError: The example has changed on the disk.
    """
    example = None if idx is None else shown.collection.example(idx % len(shown.collection.entries))
    cursor = 0
    if example is not None:
        # browsers count UTF-16 code units
        cursor = len(example.source[: example.Cursor].decode().encode("utf-16-le")) // 2
    return shown.render("live", example=example, idx=idx, cursor=cursor)


def _tree_of(text: str, cursor: int | None) -> list[tuple[int, str, bool]] | str:
    try:
        return tree_lines(text.encode(), cursor)
    except DataError as error:
        return error.message
