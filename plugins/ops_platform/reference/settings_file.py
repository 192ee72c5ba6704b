"""The settings of a deployment, from `.env.example`."""

from __future__ import annotations

import re
from pathlib import Path

from ops_platform.reference.tables import code, table

_VARIABLE = re.compile(r"^# ([A-Z][A-Z0-9_]*)=(.*)$")
_COMPOSE = "# ----"


def settings_page(root: Path) -> str:
    """A table of the variables of Airflow's services and `make`, and one of those of docker-compose.yml."""
    text = (root / ".env.example").read_text(encoding="utf-8")
    services, compose = text.split(_COMPOSE, 1)
    return f"""Environment variables, read when they are needed; copy `.env.example` to `.env`, change it, and load it
with `set -a; . ./.env`. Secrets do not belong there: keys of the object store stand in an Airflow connection.

## Services and `make`

{_table_of(services)}
## `docker-compose.yml`

{_table_of(compose.partition(chr(10))[2])}"""


def variables_of(text: str) -> list[tuple[str, str, str]]:
    """Name, default and meaning of each variable; the lines of words above a variable say it, for all that follow."""
    found: list[tuple[str, str, str]] = []
    words: list[str] = []
    is_told = False
    for line in text.splitlines():
        match = _VARIABLE.match(line)
        if match:
            found.append((match[1], match[2].strip().strip('"'), " ".join(words)))
            is_told = True
        elif not line.startswith("# "):
            words, is_told = [], False
        else:
            words = [line[2:]] if is_told else [*words, line[2:]]
            is_told = False
    return found


def _table_of(text: str) -> str:
    rows = [(code(name), code(default), meaning) for name, default, meaning in variables_of(text)]
    return table(("variable", "default", "what it says"), rows)
