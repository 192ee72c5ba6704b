"""The templates of the pages about runs: everything is escaped, and every link keeps the state in the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from ops_common.page_templates import page_environment

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent
STATIC_DIR = FOLDER / "static"
NO_FIGURE = "–"


def render(template: str, root: str, **values: object) -> str:
    """Renders a page.

    Args:
        template: Its name without `.html.j2`.
        root: Path under which our pages stand on the server, without a slash at its end.
        **values: What it shows.
    """
    made = _environment().get_template(f"{template}.html.j2")
    return made.render(root=root, airflow=root.removesuffix("/ops"), link=linker(root), **values)


def linker(root: str) -> Callable[..., str]:
    """A function that makes an address of names and parameters; empty parameters are left out."""

    def link(*names: str, **parameters: object) -> str:
        path = "/".join(quote(name, safe="") for name in names)
        given = {name: value for name, value in parameters.items() if value not in (None, "")}
        return f"{root}/{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")

    return link


def figure(value: float | None) -> str:
    """Writes a number with four digits that count."""
    if value is None:
        return NO_FIGURE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def signed(value: float | None) -> str:
    """Writes a difference with its sign."""
    return NO_FIGURE if value is None else f"{value:+.4g}"


def figure_title(name: str) -> str:
    """Writes the name of a figure for people: words instead of underscores, the unit as its sign."""
    words = name.removeprefix("model_").replace("mape_percent", "MAPE %").replace("_", " ")
    return words.replace("percent", "%").replace("top ", "top-").replace("ggnn line attr", "model")


def duration(seconds: float | None) -> str:
    """Writes how long something took, with one or two units: `2 h 05 min`, `41 s`."""
    if seconds is None:
        return NO_FIGURE
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours:02d} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"


def when(time: datetime | None) -> str:
    """Writes a time in UTC, to the minute."""
    return NO_FIGURE if time is None else f"{time:%Y-%m-%d %H:%M}"


def short(digest: str) -> str:
    """The beginning of a digest, enough to tell it from others."""
    return digest[:12]


def words(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def count(number: int) -> str:
    """Writes a whole number with separators for thousands."""
    return f"{number:,d}"


def without(values: Mapping[str, object], *names: str) -> dict[str, object]:
    """A table without some of its entries."""
    return {name: value for name, value in values.items() if name not in names}


@cache
def _environment() -> Environment:
    filters = (figure, signed, figure_title, duration, when, short, words, count, without)
    return page_environment(FOLDER / "templates", **{made_of.__name__: made_of for made_of in filters})
