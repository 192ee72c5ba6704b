"""Jinja templates of pages, set up in one way: everything is escaped, and a name that is not given is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment(folder: Path, **filters: Callable[..., Any]) -> Environment:
    """The templates of a folder.

    Args:
        folder: Holds `<name>.html.j2` files.
        **filters: What the templates may apply, by name.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(filters)
    return made
