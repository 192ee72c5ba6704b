"""The templates of the viewer's pages: everything is escaped, and every link keeps the state in the address."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ops_common.page_templates import page_environment

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
STATIC_DIR = FOLDER / "static"
NO_FIGURE = "–"


def render(template: str, root: str, **values: object) -> str:
    """Render a page.

    Args:
        template: Its name without `.html.j2`.
        root: Path prefix under which the viewer is mounted, without a slash at its end; usually empty.
        **values: What it shows.
    """
    return _environment().get_template(f"{template}.html.j2").render(root=root, link=linker(root), **values)


def linker(root: str) -> Callable[..., str]:
    """Return a function that makes the address of a page: its name and its parameters; empty ones are left out."""

    def link(path: str, **parameters: object) -> str:
        query = urlencode({name: value for name, value in parameters.items() if value is not None and value != ""})
        return f"{root}/{path}" + (f"?{query}" if query else "")

    return link


def percent(share: float | None) -> str:
    """Write a share from 0 to 1 as percent with its sign: 57.1 %."""
    return NO_FIGURE if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def count(number: int) -> str:
    """Write a whole number with separators for thousands."""
    return f"{number:,d}"


def position(rank: int | None) -> str:
    """Write a rank as people count: 1 for the first; N/A for an absent provider, a dash for an answer not found."""
    if rank is None:
        return "N/A"
    return NO_FIGURE if rank < 0 else str(rank + 1)


@cache
def _environment() -> Environment:
    return page_environment(FOLDER / "templates", percent=percent, count=count, position=position)
