"""``python -m benchmarks [name ...]``: run the benchmarks, each in a process of its own, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NOT_BENCHMARKS = {"__init__", "__main__", "harness"}


def main() -> int:
    """Run the named benchmarks, or all; returns 1 when one of them failed."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    wanted = sys.argv[1:] or known
    if unknown := sorted(set(wanted) - set(known)):
        print(f"error: unknown benchmark {unknown[0]!r}\n  hint: one of {', '.join(known)}", file=sys.stderr)
        return 2
    commands = {name: [sys.executable, "-m", f"benchmarks.{name}"] for name in wanted}
    root = FOLDER.parent
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'plugins'}"}  # as make sets it
    failed = [
        name for name, command in commands.items() if subprocess.run(command, env=environment, check=False).returncode
    ]
    for name in failed:
        print(f"error: benchmark {name} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
