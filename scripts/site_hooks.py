"""What MkDocs does not do by itself: pages that the navigation does not name yet, and the list of the decisions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

MORE = "More"
DECISIONS = "decisions/index.md"
# Not pages of their own in the navigation; a decision is reached from the list of them.
_NUMBERED = re.compile(r"decisions/\d{4}-.*\.md")


def on_config(config: Any) -> Any:
    """Add the pages that the navigation does not name, so that a new page is never lost."""
    folder = Path(config.docs_dir)
    named = set(_named(config.nav))
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.md"))
    missing = [name for name in found if name not in named and not _NUMBERED.fullmatch(name)]
    if missing:
        config.nav.append({MORE: [{title_of(folder / name): name} for name in missing]})
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - as MkDocs calls it
    """Add the list of decisions to their page."""
    if page.file.src_uri != DECISIONS:
        return markdown
    folder = Path(config.docs_dir) / "decisions"
    listed = [f"* [{title_of(path)}]({path.name})" for path in sorted(folder.glob("[0-9]*.md"))]
    return markdown + "\n" + "\n".join(listed) + "\n"


def title_of(path: Path) -> str:
    """The first heading of a page."""
    match = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else path.stem


def _named(entries: Any) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    values = entries.values() if isinstance(entries, dict) else entries
    return [name for value in values for name in _named(value)]
