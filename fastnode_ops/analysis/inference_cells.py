"""Lazy evaluation of things that depend on each other in circles, in a bounded number of steps.

A cell is a variable, the result of a function or an attribute of a class of the file. Its value is a union that grows
from nothing until it is stable (the least fixed point), so it does not matter which cell of a circle is asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from fastnode_ops.analysis.inference_terms import Terms

MAX_STEPS = 200_000
"""Expressions that are evaluated per file; what comes later is unknown."""

MAX_DEPTH = 150
"""Evaluations within evaluations, weighted; what lies deeper is unknown. One unit stands for up to six Python frames:
the interpreter's limit of a thousand is not reached."""

CELL_WEIGHT = 3

MAX_ROUNDS = 4
"""How often a circle is gone around before its values are taken as they are."""

_INDEPENDENT = 1 << 30


class Cells:
    """The values of cells and of expressions.

    Attributes:
        steps: How many expressions were evaluated.
        num_cut: How many evaluations were given up for a limit.
    """

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self.max_steps = max_steps
        self.steps = 0
        self.num_cut = 0
        self._final: dict[Hashable, Terms] = {}
        self._current: dict[Hashable, Terms] = {}  # of cells in a circle that is being evaluated
        self._open: dict[Hashable, int] = {}  # cells under evaluation and their depth
        self._settled: dict[Hashable, int] = {}  # cells evaluated in this round, and the open cell they depend on
        self._lowest = _INDEPENDENT  # depth of the outermost open cell that the present evaluation has read
        self._has_changed = False
        self._depth = 0

    def expression(self, key: int, compute: Callable[[], Terms], memory: dict[int, Terms], weight: int = 1) -> Terms:
        """Return the value of an expression; it is kept in `memory` unless it depends on a cell under evaluation."""
        if self.steps >= self.max_steps or self._depth >= MAX_DEPTH:
            return self._cut()
        self.steps += 1
        self._depth += weight
        outer, self._lowest = self._lowest, _INDEPENDENT
        terms = compute()
        self._depth -= weight
        if self._lowest == _INDEPENDENT or self.steps >= self.max_steps:
            memory[key] = terms
        self._lowest = min(outer, self._lowest)
        return terms

    def cell(self, key: Hashable, compute: Callable[[], Terms]) -> Terms:
        """Return the value of a cell."""
        final = self._final.get(key)
        if final is not None:
            return final
        depth = self._open.get(key)
        if depth is None:
            depth = self._settled.get(key)
        if depth is not None:
            self._lowest = min(self._lowest, depth)
            return self._current.get(key, ())
        if self._depth >= MAX_DEPTH:
            return self._cut()
        self._depth += CELL_WEIGHT
        terms = self._evaluate(key, compute)
        self._depth -= CELL_WEIGHT
        return terms

    def _cut(self) -> Terms:
        self.num_cut += 1
        self._lowest = -1  # whatever depends on this is not kept
        return ()

    def _evaluate(self, key: Hashable, compute: Callable[[], Terms]) -> Terms:
        depth = self._open[key] = len(self._open)
        outer = self._lowest
        outer_changed = self._has_changed
        num_settled = len(self._settled)
        for round_ in range(MAX_ROUNDS):
            self._lowest = _INDEPENDENT
            self._has_changed = False
            terms = compute()
            if terms != self._current.get(key, ()):
                self._current[key] = terms
                self._has_changed = True
            if self._lowest < depth or not self._has_changed or self._lowest == _INDEPENDENT:
                break
            if round_ < MAX_ROUNDS - 1:
                self._forget(num_settled)
        del self._open[key]
        if self._lowest >= depth:
            self._finish(key, num_settled)
            self._lowest = outer
            self._has_changed = outer_changed
        else:
            self._settled[key] = self._lowest
            self._lowest = min(outer, self._lowest)
            self._has_changed = self._has_changed or outer_changed
        if not self._open:  # what was given up for a limit is evaluated anew when it is asked for itself
            self._settled.clear()
            self._current.clear()
            self._lowest = outer
        return terms

    def _forget(self, num_settled: int) -> None:
        """Let the cells of a circle be evaluated once more, from the values they have."""
        for key in list(self._settled)[num_settled:]:
            del self._settled[key]

    def _finish(self, key: Hashable, num_settled: int) -> None:
        """Keep the values of a circle; all its cells were settled after the one that is evaluated."""
        for settled in list(self._settled)[num_settled:]:
            del self._settled[settled]
            self._final[settled] = self._current.pop(settled, ())
        self._final[key] = self._current.pop(key, ())
