"""Python's collector of cyclic garbage, told what a long-lived process knows: what is open stays open."""

from __future__ import annotations

import gc

# Analysed files and graphs are many small objects with links in circles, which their users cut. By the default, every
# 700 new objects begin a collection, and some of those look through all that a process has loaded: 0.3 s each.
_THRESHOLDS = (500_000, 10, 10)


def settle_collector() -> None:
    """Leave alone what is loaded by now, and look through what is new less often: after opening, before the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
