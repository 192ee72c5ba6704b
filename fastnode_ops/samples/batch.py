"""A training batch: several graph samples in one feed of one optimiser step (specification 7.12).

All arrays are int32. A *segmented list* says of element i which sample (or node) it belongs to; the sample ids ascend
without gaps. The context graphs of all samples stand in one graph, so do the expansion graphs. Name samples come first.
Sample ids are counted from 0 for each decoder separately.

`to_json` gives exactly the reference's shape, with one addition: `tasks`, the task of each sample, in the order of the
samples of its decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from ops_common.errors import DataError

Ints = npt.NDArray[np.int32]

EDGE_DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """Lists of different lengths in two flat arrays.

    Args:
        sample_ids: To which sample or node each element belongs. int32 [M], ascending, without gaps.
        indices: The elements. int32 [M].
    """

    sample_ids: Ints
    indices: Ints

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> Segmented:
        """Build it from a list per sample."""
        lengths = [len(items) for items in lists]
        ids = np.repeat(np.arange(len(lists), dtype=np.int32), lengths)
        flat = [item for items in lists for item in items]
        return cls(ids, np.asarray(flat, np.int32))

    def to_lists(self, num_samples: int) -> list[list[int]]:
        """Return a list per sample."""
        lists: list[list[int]] = [[] for _ in range(num_samples)]
        for sample, item in zip(self.sample_ids.tolist(), self.indices.tolist()):
            lists[sample].append(item)
        return lists

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, slots=True, eq=False)
class ContextGraph:
    """The graphs around the sites, without the sites.

    Args:
        node_subtokens: Rows of the subtoken table per node.
        node_types: Rows of the type-subtoken table per node.
        edges: Per `<type>_forward` or `<type>_backward` the pairs (from, to), sorted. int32 [E, 2].
    """

    node_subtokens: Segmented
    node_types: Segmented
    edges: Mapping[str, Ints]

    @property
    def num_nodes(self) -> int:
        """How many nodes there are; every node has a subtoken."""
        ids = self.node_subtokens.sample_ids
        return int(ids[-1]) + 1 if len(ids) else 0


@dataclass(frozen=True, slots=True, eq=False)
class ExpansionGraph:
    """The small graphs that hold the sites, their candidates, and the context nodes that feed them.

    Args:
        edges: As in the context graph, between nodes of this graph.
        context_graph_nodes: Nodes of the context graph whose states are copied here. int32 [C].
        context_to_expansion: Where they go. int32 [C].
        lookup_types: Type subtokens of the nodes that exist only here.
        lookup_subtokens: Subtokens of the nodes that exist only here.
        lookup_to_expansion: Where those go. int32 [L]; with the other positions they cover all nodes once.
    """

    edges: Mapping[str, Ints]
    context_graph_nodes: Ints
    context_to_expansion: Ints
    lookup_types: Segmented
    lookup_subtokens: Segmented
    lookup_to_expansion: Ints

    @property
    def num_nodes(self) -> int:
        """How many nodes there are."""
        return len(self.context_to_expansion) + len(self.lookup_to_expansion)


@dataclass(frozen=True, slots=True, eq=False)
class NameSamples:
    """Samples of the name decoder.

    Args:
        prediction_nodes: The site of each sample. int32 [S], nodes of the expansion graph.
        labels: The true variable, counted over all candidates of the batch. int32 [S].
        corrupted: Other candidates per sample, counted likewise.
        types: Type subtokens of the decoder's features per sample.
        subtokens: Subtokens of the decoder's features per sample.
        usages: The usage node of each candidate, per sample.
        names: Subtokens of each candidate joined by ":", to read.
        type_names: Type subtokens of each candidate joined by ":"; equal ones count as the same type.
        tasks: Task of each sample.
    """

    prediction_nodes: Ints
    labels: Ints
    corrupted: Segmented
    types: Segmented
    subtokens: Segmented
    usages: Segmented
    names: list[str] = field(default_factory=list)
    type_names: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class ProductionSamples:
    """Samples of the production decoder.

    Args:
        prediction_nodes: The site of each sample. int32 [S], nodes of the expansion graph.
        labels: The true target, counted over all targets of the batch. int32 [S].
        decoder_targets: Rows of the production table per sample.
        corrupted: Other targets per sample, counted over all targets of the batch.
        scope_encoder: Scope nodes per sample, nodes of the expansion graph.
        context_tokens: Context tokens per sample, nodes of the expansion graph.
        tasks: Task of each sample.
    """

    prediction_nodes: Ints
    labels: Ints
    decoder_targets: Segmented
    corrupted: Segmented
    scope_encoder: Segmented
    context_tokens: Segmented
    tasks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingBatch:
    """What one optimiser step is fed with."""

    context_graph: ContextGraph
    expansion_graph: ExpansionGraph
    infer_name: NameSamples
    infer_production: ProductionSamples

    @property
    def num_samples(self) -> int:
        """Graph samples of both decoders."""
        return len(self.infer_name.labels) + len(self.infer_production.labels)

    def to_json(self) -> dict[str, Any]:
        """Return the wire form: nested dicts whose leaves are int32 arrays or lists of str."""
        graph, expansion = self.context_graph, self.expansion_graph
        name, production = self.infer_name, self.infer_production
        return {
            "context_graph": {
                "node_subtokens": _plain(graph.node_subtokens),
                "node_types": _plain(graph.node_types),
                "edges": dict(graph.edges),
            },
            "expansion_graph": {
                "edges": dict(expansion.edges),
                "context_graph_nodes": expansion.context_graph_nodes,
                "context_to_expansion": expansion.context_to_expansion,
                "lookup_nodes": {
                    "types": _plain(expansion.lookup_types),
                    "subtokens": _plain(expansion.lookup_subtokens),
                },
                "lookup_to_expansion": expansion.lookup_to_expansion,
            },
            "infer_name": {
                "prediction_nodes": name.prediction_nodes,
                "labels": name.labels,
                "corrupted": _plain(name.corrupted),
                "types": _plain(name.types),
                "subtokens": _plain(name.subtokens),
                "names": {"usages": _plain(name.usages), "names": name.names, "types": name.type_names},
                "tasks": name.tasks,
            },
            "infer_production": {
                "prediction_nodes": production.prediction_nodes,
                "labels": production.labels,
                "decoder_targets": _plain(production.decoder_targets),
                "corrupted": _plain(production.corrupted),
                "scope_encoder": _plain(production.scope_encoder),
                "context_tokens": _plain(production.context_tokens),
                "tasks": production.tasks,
            },
        }

    def to_json_text(self) -> bytes:
        """Return the wire form as the server sends it, byte for byte."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_SERIALIZE_NUMPY)

    @classmethod
    def from_json(cls, value: Any) -> TrainingBatch:
        """Read the wire form.

        Raises:
            DataError: A field is missing or has another shape; the message names it.
        """
        root = _Fields(value, "expr")
        graph, expansion = root.sub("context_graph"), root.sub("expansion_graph")
        name, production = root.sub("infer_name"), root.sub("infer_production")
        lookup, names = expansion.sub("lookup_nodes"), name.sub("names")
        return cls(
            ContextGraph(graph.segmented("node_subtokens"), graph.segmented("node_types"), graph.edges("edges")),
            ExpansionGraph(
                expansion.edges("edges"),
                expansion.ints("context_graph_nodes"),
                expansion.ints("context_to_expansion"),
                lookup.segmented("types"),
                lookup.segmented("subtokens"),
                expansion.ints("lookup_to_expansion"),
            ),
            NameSamples(
                name.ints("prediction_nodes"),
                name.ints("labels"),
                name.segmented("corrupted"),
                name.segmented("types"),
                name.segmented("subtokens"),
                names.segmented("usages"),
                names.texts("names"),
                names.texts("types"),
                name.texts("tasks"),
            ),
            ProductionSamples(
                production.ints("prediction_nodes"),
                production.ints("labels"),
                production.segmented("decoder_targets"),
                production.segmented("corrupted"),
                production.segmented("scope_encoder"),
                production.segmented("context_tokens"),
                production.texts("tasks"),
            ),
        )


def _plain(segmented: Segmented) -> dict[str, Ints]:
    return {"sample_ids": segmented.sample_ids, "indices": segmented.indices}


@dataclass(frozen=True, slots=True)
class _Fields:
    """A JSON object whose fields are read with their path in every error."""

    value: Any
    path: str

    def _get(self, key: str) -> Any:
        if not isinstance(self.value, Mapping) or key not in self.value:
            raise DataError(f"training batch: {self.path}.{key} is missing", "is this a graph data server's answer?")
        return self.value[key]

    def sub(self, key: str) -> _Fields:
        return _Fields(self._get(key), f"{self.path}.{key}")

    def ints(self, key: str) -> Ints:
        return self._array(self._get(key), key, (-1,))

    def segmented(self, key: str) -> Segmented:
        inner = self.sub(key)
        result = Segmented(inner.ints("sample_ids"), inner.ints("indices"))
        if len(result.sample_ids) != len(result.indices):
            raise DataError(f"training batch: {inner.path} has {len(result.sample_ids)} ids for {len(result)} elements")
        return result

    def edges(self, key: str) -> dict[str, Ints]:
        inner = self._get(key)
        if not isinstance(inner, Mapping):
            raise DataError(f"training batch: {self.path}.{key} is not an object")
        return {str(name): self._array(pairs, f"{key}.{name}", (-1, 2)) for name, pairs in inner.items()}

    def texts(self, key: str) -> list[str]:
        items = self._get(key)
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise DataError(f"training batch: {self.path}.{key} is not a list of texts")
        return list(items)

    def _array(self, items: Any, key: str, shape: tuple[int, ...]) -> Ints:
        try:
            array = np.asarray(items)
            if array.size and array.dtype.kind not in "iu":
                raise ValueError("not whole numbers")
            if array.size and (array.max() > np.iinfo(np.int32).max or array.min() < np.iinfo(np.int32).min):
                raise ValueError("out of the range of int32")
            return array.astype(np.int32).reshape(shape)
        except (ValueError, OverflowError, TypeError) as error:
            raise DataError(f"training batch: {self.path}.{key}: {error}") from None
