"""The commands of this library: every task function, under its name with dashes."""

from __future__ import annotations

from gematria_ops.tasks import TASKS
from ops_common.cli import build_cli


def main() -> None:
    """Run the command named on the command line."""
    build_cli("gematria-ops", TASKS)()
