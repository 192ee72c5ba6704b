"""Reads Dockerfiles, locked lists and the compose file, as far as the tests of them need it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
LOCKS = sorted([*ROOT.glob("requirements-*.txt"), *(ROOT / "docker" / "requirements").glob("*.txt")])

_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?==(?P<version>[^ \\;]+)")
_ASKED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)")


@dataclass
class Stage:
    """One stage of a Dockerfile: its name, what it stands on, its instructions with joined lines."""

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, keyword: str) -> str:
        """The text of the last instruction of a kind; empty when there is none."""
        return next((text for word, text in reversed(self.instructions) if word == keyword), "")


def read_stages(path: Path) -> dict[str, Stage]:
    """The named stages of a Dockerfile, by name."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            parent, _, name = rest.partition(" AS ")
            stage = Stage(name or "(last)", parent)
            stages[stage.name] = stage
        elif stages:
            stage.instructions.append((word, rest.strip()))
    return stages


def effective(stages: dict[str, Stage], name: str, keyword: str) -> str:
    """The instruction of a kind that counts in a stage: its own, or that of a stage below it."""
    while name in stages:
        if text := stages[name].last(keyword):
            return text
        name = stages[name].parent
    return ""


def pinned_versions(path: Path) -> dict[str, str]:
    """Versions by package of a locked list."""
    found = filter(None, map(_PINNED.match, path.read_text().splitlines()))
    return {_normal(match["name"]): match["version"] for match in found}


def unhashed(path: Path) -> list[str]:
    """Packages of a locked list that have no hash."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", path.read_text(), flags=re.MULTILINE)
    return [block.split()[0] for block in blocks if _PINNED.match(block) and "--hash=sha256:" not in block]


def asked_packages(path: Path) -> set[str]:
    """What a list without versions asks for, with the lists that it includes."""
    names: set[str] = set()
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            names |= asked_packages(path.parent / line[3:].strip())
        elif match := _ASKED.match(line):
            names.add(_normal(match["name"]))
    return names


def compose_variables(text: str) -> dict[str, set[str]]:
    """Variables of a compose file, each with the defaults that it is given; `?` for one that must be set."""
    found: dict[str, set[str]] = {}
    for name, operator, default in re.findall(r"(?<!\$)\$\{(\w+)(?:(:[-?])([^}]*))?\}", text):
        found.setdefault(name, set()).add("?" if operator == ":?" else default)
    return found


def example_variables(text: str) -> dict[str, str]:
    """Variables of an example file of settings, each with its default."""
    return {name: value.strip('"') for name, value in re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
