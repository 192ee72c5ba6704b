"""Templates of the pages and Markdown texts: what they may call, and what keeps a name from becoming markup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gematria_ops.inference import wording

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES_DIR = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Drawing:
    """A plot of the page.

    Attributes:
        title: Its caption.
        alt: What it shows, for a reader who cannot see it.
        svg: The SVG element.
        legend: (css class of the swatch, text) entries of its own, beyond the page's legend.
    """

    title: str
    alt: str
    svg: str
    legend: tuple[tuple[str, str], ...] = ()


def environment(is_html: bool) -> Environment:
    """Makes the templates of pages (everything is escaped) or of Markdown texts (each name takes the filter `md`)."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    made = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=is_html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        percent=wording.percent,
        cycles=wording.cycles,
        correlation=wording.correlation,
        count=wording.count,
        points=wording.points,
        share=wording.share,
        interval=wording.interval,
        baseline_title=wording.baseline_title,
        md=_escape_markdown,
        svg=Markup,
        css_name=lambda name: re.sub(r"[^a-z0-9_-]", "", str(name).lower()),
    )
    return made


def page_styles() -> Markup:
    """Gives the style sheet that all pages share."""
    from markupsafe import Markup

    return Markup((TEMPLATES_DIR / "evaluation.css").read_text(encoding="utf-8"))


def _escape_markdown(value: object) -> str:
    """Keeps a name from becoming markup or breaking out of its table cell."""
    return re.sub(r"([\\`*_{}\[\]<>|#~!])", r"\\\1", " ".join(str(value).split()))
