"""`python -m tests.fuzz [--seconds 60] [--seed 1] [target ...]`: damages files until the time is over.

Stops at the first fault, leaving the file that shows it, or at a file that takes too long or too much memory. Prints
for each target how many files were tried and accepted, and the longest time that one took.
"""

import argparse
import random
import resource
import sys
import time
from pathlib import Path

from tests.fuzz.mutating import mutate
from tests.fuzz.targets import TARGETS, Target

_MAX_SECONDS = 10.0
_MAX_MEMORY_BYTES = 2 << 30


def fuzz(name: str, target: Target, seconds: float, seed: int) -> bool:
    """Damages files of one target for some time; tells whether all was well."""
    source = random.Random(seed)
    num_tried = num_accepted = 0
    longest = 0.0
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        content = mutate(target.seeds, source)
        try:
            num_accepted += target.try_to_read(content)
        except Exception as error:
            return _found(name, content, f"{type(error).__name__}: {error}")
        took = time.monotonic() - start
        if took > _MAX_SECONDS:
            return _found(name, content, f"it took {took:.1f} seconds")
        num_tried, longest = num_tried + 1, max(longest, took)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{name}: {num_tried:,} files, {num_accepted:,} accepted, longest {longest:.2f} s, peak {memory} MB", flush=True
    )
    return True


def _found(name: str, content: bytes, what: str) -> bool:
    file = Path(f"fuzz-{name}.bin")
    file.write_bytes(content)
    print(f"{name}: {what}\n  the file is {file}", file=sys.stderr)
    return False


def main() -> int:
    """Fuzzes the named targets, or all; returns 1 when a fault was found."""
    parser = argparse.ArgumentParser("tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.targets) - TARGETS.keys()):
        parser.error(f"unknown target {unknown[0]!r}")
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    names = arguments.targets or list(TARGETS)
    return 0 if all([fuzz(name, TARGETS[name], arguments.seconds, arguments.seed) for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main())
