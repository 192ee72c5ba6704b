"""The releases of a destination as a table for terminals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops_common.releases import Release, read_history, read_released

if TYPE_CHECKING:
    from rich.table import Table

_MAX_FIGURES = 3
_WIDTH = 200


def show_releases(destination: str) -> dict[str, str | int | float | bool]:
    """Prints the history of a destination, newest first, and returns the main facts of it.

    Args:
        destination: Where models are published.

    Raises:
        ArtifactError: The pointer or an entry is damaged.
        ServiceError: The service does not answer.
    """
    from rich.console import Console

    released = read_released(destination)
    history = read_history(destination) if released else []
    if released:
        console = Console(highlight=False)
        if not console.is_terminal:
            console = Console(highlight=False, width=_WIDTH)  # a log has no width to fit into
        console.print(f"released now: {released.model_uri}", markup=False, soft_wrap=True)
        console.print(releases_table(history, released))
    return {
        "released": released.model_uri if released else "",
        "at": released.at if released else "",
        "num_entries": sum(in_effect for _, in_effect in history),
        "num_without_effect": sum(not in_effect for _, in_effect in history),
    }


def releases_table(history: list[tuple[Release, bool]], released: Release) -> Table:
    """A row for each entry, the one in effect marked.

    Args:
        history: Entries, newest first, each with whether it took effect.
        released: The one that is in effect.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Releases of {released.family}, newest first")
    for heading in ("", "when (UTC)", "what", "model", "figures", "by", "why"):
        table.add_column(heading, overflow="fold")
    for entry, in_effect in history:
        row = [
            "*" if entry.entry == released.entry else "",
            entry.at.removesuffix("+00:00"),
            entry.decision.replace("_", " ") if in_effect else "never took effect",
            entry.model_uri.rpartition("/")[2],
            "  ".join(f"{name} {value:.4g}" for name, value in list(entry.figures.items())[:_MAX_FIGURES]),
            entry.by,
            entry.why,
        ]
        table.add_row(*map(Text, row))  # plain text: what others wrote is no markup
    return table
