"""Where a network gets its weights from: fresh variables that are trained, or given values that are exported.

Every fresh variable draws from its own stream, named after it: the same seed gives the same weights (specification
D25), and one variable more or less changes nothing for the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ops_common.seeding import stream


class Table(Protocol):
    """Vectors by row."""

    def rows(self, rows: Any) -> tf.Tensor:
        """Return [M, depth] float32 for [M] int32 rows."""


class Store(Protocol):
    """Gives a network its weights by name: variables, or tensors with their values."""

    def glorot_uniform(self, name: str, shape: tuple[int, int]) -> Any:
        """Return a kernel."""

    def constant(self, name: str, shape: Sequence[int], value: float) -> Any:
        """Return weights that begin all the same."""

    def table(self, name: str, shape: tuple[int, int]) -> Table:
        """Return a table of vectors."""


class PlainTable:
    """A table that is one matrix.

    Args:
        matrix: [V, depth], a variable or a tensor.
    """

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix

    def rows(self, rows: Any) -> tf.Tensor:
        """See `Table`."""
        return tf.gather(self._matrix, rows)


class VariableStore:
    """Creates variables by name and keeps them in the order of their creation.

    Args:
        seed: Of the initial values.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.by_name: dict[str, tf.Variable] = {}

    def glorot_uniform(self, name: str, shape: tuple[int, int]) -> tf.Variable:
        """Add a kernel or table drawn from uniform(-r, r) with r = sqrt(6 / (rows + columns))."""
        limit = math.sqrt(6 / sum(shape))
        return self._add(name, stream(self._seed, "weights", name).uniform(-limit, limit, shape))

    def constant(self, name: str, shape: Sequence[int], value: float) -> tf.Variable:
        """Add a variable whose elements are all the same."""
        return self._add(name, np.full(shape, value))

    def table(self, name: str, shape: tuple[int, int]) -> Table:
        """Add a table, drawn like a kernel."""
        return PlainTable(self.glorot_uniform(name, shape))

    def _add(self, name: str, values: np.ndarray) -> tf.Variable:
        if name in self.by_name:
            raise ValueError(f"there are two variables named {name}")
        variable = tf.Variable(values.astype(np.float32), name=name.rpartition("/")[2])
        self.by_name[name] = variable
        return variable
