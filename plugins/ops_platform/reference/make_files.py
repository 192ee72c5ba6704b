"""Targets and variables of the make files. What a variable means stands in docs/pythonexpr.md, beside its context."""

from __future__ import annotations

import re
from pathlib import Path

from ops_platform.reference.tables import code, table

FILES = ("Makefile", "pythonexpr.mk", "distributed.mk", "docker.mk")
_TARGET = re.compile(r"^([a-z][a-z_-]*):.*?## (.*)$", re.MULTILINE)
_VARIABLE = re.compile(r"^([A-Z][A-Z_]*) \?= *(.*)$", re.MULTILINE)
_DOCUMENTED = re.compile(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|.*\| ([^|]*) \|$", re.MULTILINE)


def make_page(root: Path) -> str:
    """The targets, and the variables with their defaults."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in FILES if (root / name).exists()}
    targets = [(code(f"make {name}"), says) for text in texts.values() for name, says in _TARGET.findall(text)]
    meanings = _meanings(root)
    rows = [
        (code(name), code(usual), code(small), meanings.get(name, ""))
        for name, (usual, small) in _variables(texts).items()
    ]
    return f"""## Targets

{table(("target", "what it does"), targets)}
## Variables

Give them behind `make` or in the environment. [../pythonexpr.md](../pythonexpr.md) says more of each.

{table(("variable", "default", "with DRY_RUN=1", "what it says"), rows)}"""


def _variables(texts: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Default of each variable, and the other one that it has in a dry run."""
    found: dict[str, tuple[str, str]] = {}
    for text in texts.values():
        small, _, usual = text.partition("ifeq ($(DRY_RUN),1)")[2].partition("endif")[0].partition("else\n")
        in_dry_run = dict(_VARIABLE.findall(small))
        for name, default in [*_VARIABLE.findall(usual), *_VARIABLE.findall(text)]:
            if name not in found:
                other = in_dry_run.get(name, "")
                found[name] = (default.strip(), other.strip() if other.strip() != default.strip() else "")
    return found


def _meanings(root: Path) -> dict[str, str]:
    text = (root / "docs" / "pythonexpr.md").read_text(encoding="utf-8")
    return {name: says for names, says in _DOCUMENTED.findall(text) for name in re.findall(r"`([A-Z_]+)`", names)}
