"""Train a sequence model, or predict with one: `python -m gematria_ops.run_sequence_model --gematria_action=...`.

The flags are those of the public Gematria runner (`--help` lists them); see ``runner_program.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gematria_ops.config import RunnerConfig
from gematria_ops.runner_program import run_model_program


def main(argv: Sequence[str] | None = None) -> int:
    """Run with command-line arguments (the program's name first) and return the exit code."""
    return run_model_program("run_sequence_model", RunnerConfig, argv)


if __name__ == "__main__":
    sys.exit(main())
