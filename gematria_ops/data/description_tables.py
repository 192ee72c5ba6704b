"""The description of a data set for people: a few tables on a terminal or in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from gematria_ops.data.describing import DatasetDescription
from gematria_ops.formats.bhive_csv import shortened

if TYPE_CHECKING:
    from rich.table import Table

_MAX_NAMES = 10
_LENGTH_BOUNDS = (0, 1, 2, 3, 4, 6, 9, 13, 21)
_BAR_WIDTH = 30


def print_description(description: DatasetDescription, stream: TextIO) -> None:
    """Prints the description; of each kind of name only the most frequent."""
    from rich.console import Console

    console = Console(file=stream, width=None if stream.isatty() else 120, highlight=False)
    for table in (_overview(description), _lengths(description), _sources(description), _frequencies(description)):
        console.print(table)


def _overview(description: DatasetDescription) -> Table:
    figures = {
        "blocks": description.num_blocks,
        "empty blocks": description.num_empty_blocks,
        "blocks without machine code": description.num_without_machine_code,
        "blocks without a label": description.num_without_label,
        "instructions": description.num_instructions,
        "different instructions": description.num_distinct_instructions,
        "different opcodes": len(description.opcodes),
        "different tokens": len(description.tokens),
    }
    return _table(", ".join(description.files), ("", "number"), [(name, f"{num:,}") for name, num in figures.items()])


def _lengths(description: DatasetDescription) -> Table:
    title = (
        f"Instructions in a block: {description.block_lengths.mean:.1f} on average, "
        f"{description.block_lengths.maximum} at most"
    )
    numbers = [0] * len(_LENGTH_BOUNDS)
    for length, num in description.block_lengths.num_blocks.items():
        numbers[max(k for k, bound in enumerate(_LENGTH_BOUNDS) if int(length) >= bound)] += num
    most = max(numbers, default=0) or 1
    rows = [(_length_name(k), f"{num:,}", "█" * round(_BAR_WIDTH * num / most)) for k, num in enumerate(numbers) if num]
    return _table(title, ("instructions", "blocks", ""), rows)


def _length_name(k: int) -> str:
    first = _LENGTH_BOUNDS[k]
    if k + 1 == len(_LENGTH_BOUNDS):
        return f"{first} and more"
    last = _LENGTH_BOUNDS[k + 1] - 1
    return str(first) if first == last else f"{first} to {last}"


def _sources(description: DatasetDescription) -> Table:
    percents = ("1", "25", "50", "75", "99")
    rows = []
    for name, source in description.sources.items():
        labels = source.labels
        values = [labels.mean, labels.minimum, *(labels.percentiles.get(percent, 0.0) for percent in percents)]
        cells = [f"{value:.4g}" if labels.num_labels else "" for value in (*values, labels.maximum)]
        rows.append((name, f"{labels.num_labels:,}", f"{source.num_unusable:,}", *cells))
    header = ("source", "labels", "unusable", "mean", "least", *(f"{percent} %" for percent in percents), "most")
    return _table("Labels, in cycles per iteration", header, rows)


def _frequencies(description: DatasetDescription) -> Table:
    kinds: Sequence[tuple[str, Mapping[str, int], int]] = (
        ("memory access", description.accesses, description.num_instructions),
        ("mnemonic", description.mnemonics, description.num_instructions),
        ("opcode", description.opcodes, description.num_instructions),
        ("token", description.tokens, sum(description.tokens.values())),
    )
    rows = [
        (kind, name, f"{num:,}", f"{num / total:.1%}")
        for kind, frequencies, total in kinds
        for name, num in list(frequencies.items())[:_MAX_NAMES]
    ]
    return _table(f"The {_MAX_NAMES} most frequent of each kind", ("kind", "name", "occurrences", "share"), rows)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    for index, name in enumerate(header):
        is_text = index == 0 or name in ("name", "")
        table.add_column(name, justify="left" if is_text else "right")
    for row in rows:
        # Names come from the data, whatever they are made of.
        table.add_row(*(escape(shortened(cell)) for cell in row))
    return table
