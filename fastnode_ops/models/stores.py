"""Given weights, as parts of a graph that is exported: constants, variables with values, or compressed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from fastnode_ops.models.codebook import Codebook
from fastnode_ops.models.variables import PlainTable, Table

Weights = Mapping[str, npt.NDArray[np.float32]]


class ConstantStore:
    """Weights as constants of the default graph.

    Args:
        weights: Their values by name; those of compressed tables are not read.
        codebooks: Compressed tables by name.
    """

    def __init__(self, weights: Weights, codebooks: Mapping[str, Codebook] | None = None) -> None:
        self._weights = weights
        self._codebooks = codebooks or {}

    def glorot_uniform(self, name: str, shape: tuple[int, int]) -> Any:
        """See `Store`."""
        return self.constant(name, shape, 0.0)

    def constant(self, name: str, shape: Sequence[int], value: float) -> Any:
        """See `Store`."""
        del value
        return tf.constant(_checked(self._weights, name, shape), name=f"weights/{name}")

    def table(self, name: str, shape: tuple[int, int]) -> Table:
        """See `Store`."""
        if name in self._codebooks:
            return CodebookTable(self._codebooks[name], name)
        return PlainTable(self.glorot_uniform(name, shape))


class GraphVariableStore:
    """Weights as variables of the default graph, under their names in a checkpoint.

    Args:
        weights: Their values by name.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._variables: dict[str, Any] = {}

    def glorot_uniform(self, name: str, shape: tuple[int, int]) -> Any:
        """See `Store`."""
        return self.constant(name, shape, 0.0)

    def constant(self, name: str, shape: Sequence[int], value: float) -> Any:
        """See `Store`."""
        del value
        _checked(self._weights, name, shape)
        zeros = tf.compat.v1.zeros_initializer()
        self._variables[name] = tf.compat.v1.get_variable(name, shape, initializer=zeros, use_resource=True)
        return self._variables[name]

    def table(self, name: str, shape: tuple[int, int]) -> Table:
        """See `Store`."""
        return PlainTable(self.glorot_uniform(name, shape))

    def load(self, session: Any) -> None:
        """Give the variables their values: not by initialisers, which would be part of the graph."""
        for name, variable in self._variables.items():
            variable.load(self._weights[name], session)


class CodebookTable:
    """A table whose rows are sums of code vectors (specification 12.1).

    Args:
        codebook: Its codes.
        name: Of the table.
    """

    def __init__(self, codebook: Codebook, name: str) -> None:
        self._num_books, self._num_entries = codebook.num_books, codebook.num_entries
        self._vectors = tf.constant(codebook.codebooks, name=f"weights/{name}/codebooks")
        self._codes = tf.constant(codebook.codes, name=f"weights/{name}/codes")

    def rows(self, rows: Any) -> tf.Tensor:
        """See `Table`; a row that is asked for several times is put together once."""
        different, places = tf.unique(rows)
        codes = tf.cast(tf.gather(self._codes, different), tf.int32)  # [U, M]
        entries = codes + self._num_entries * tf.range(self._num_books)
        row_of_entry = tf.repeat(tf.range(tf.size(different)), self._num_books)
        sums = tf.sparse.segment_sum(self._vectors, tf.reshape(entries, [-1]), row_of_entry)
        return tf.gather(sums, places)


def _checked(weights: Weights, name: str, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    value = weights[name]
    if value.shape != tuple(shape):
        raise ValueError(f"{name} has shape {value.shape}, not {tuple(shape)}")
    return value
