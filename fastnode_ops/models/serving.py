"""A model as it is served: the frozen graph of a folder, run by names (specification 9.5, 12.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from fastnode_ops.models import tensor_names as names
from fastnode_ops.models.tensor_names import Feeds
from fastnode_ops.samples.batch import ContextGraph, ExpansionGraph, TrainingBatch
from fastnode_ops.samples.metainfo import MetaInfo, read_metainfo
from ops_common.errors import ArtifactError

Floats = npt.NDArray[np.float32]

GRAPH_NAME = "expr_model.frozen.pb"
UNCOMPRESSED_NAME = "expr_model.uncompressed.frozen.pb"
METAINFO_NAME = "metainfo-inference.json"


class ServingModel:
    """A frozen graph with its metainfo; several threads may ask at a time.

    Args:
        graph_path: The frozen graph.
        metainfo: The rows of its tables.

    Raises:
        ArtifactError: The graph is missing, torn, or not one of ours.
    """

    def __init__(self, graph_path: Path, metainfo: MetaInfo) -> None:
        self.metainfo = metainfo
        self._graph = _read_graph(graph_path)
        self._session = tf.compat.v1.Session(graph=self._graph)
        self.depth = int(self._graph.get_tensor_by_name(f"{names.CONTEXT_EMBEDDINGS}:0").shape[1])

    @classmethod
    def load(cls, folder: Path, *, compressed: bool = True) -> ServingModel:
        """Load the model of a folder such as `out/serve`.

        Args:
            folder: Holds the graph and `metainfo-inference.json`.
            compressed: False: take the uncompressed graph of the parent folder.

        Raises:
            ArtifactError: A file is missing or torn.
            DataError: The metainfo cannot be used.
        """
        folder = Path(folder)
        path = folder / GRAPH_NAME if compressed else folder.parent / UNCOMPRESSED_NAME
        return cls(path, read_metainfo(folder / METAINFO_NAME))

    def context_states(self, graph: ContextGraph) -> Floats:
        """Return the final states of a context graph: [N, D] float32."""
        return self._run(names.FINAL_STATES, names.context_feeds(graph))

    def expansion_states(self, states: Floats, graph: ExpansionGraph) -> Floats:
        """Return the states of the nodes of an expansion graph: [N, D] float32.

        Args:
            states: States that `context_graph_nodes` are rows of; [., D].
            graph: The expansion graph.
        """
        return self._run(names.EXPANSION_STATES, names.expansion_feeds(graph, states))

    def probabilities(self, batch: TrainingBatch) -> tuple[Floats, Floats]:
        """Return the probability of each candidate and of each target; labels and negatives are not read.

        Args:
            batch: Graph samples of either kind, or of both.

        Returns:
            [C] float32 of the name samples' candidates, [T] float32 of the production samples' targets.
        """
        feeds = {**names.context_feeds(batch.context_graph), **names.expansion_feeds(batch.expansion_graph)}
        wanted = {}
        if len(batch.infer_name.prediction_nodes):
            feeds |= names.name_feeds(batch.infer_name)
            wanted["names"] = f"{names.NAME_PROBABILITIES}:0"
        if len(batch.infer_production.prediction_nodes):
            feeds |= names.production_feeds(batch.infer_production)
            wanted["productions"] = f"{names.PRODUCTION_PROBABILITIES}:0"
        found = self._session.run(wanted, _fed(feeds))
        nothing = np.zeros(0, np.float32)
        return found.get("names", nothing), found.get("productions", nothing)

    def close(self) -> None:
        """Give the memory back."""
        self._session.close()

    def _run(self, output: str, feeds: Feeds) -> Floats:
        answer: Floats = self._session.run(f"{output}:0", _fed(feeds))
        return answer


def _fed(feeds: Feeds) -> dict[str, Any]:
    return {f"{name}:0": value for name, value in feeds.items()}


def _read_graph(path: Path) -> tf.Graph:
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(Path(path).read_bytes())
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", "run `compress` first") from None
    except DecodeError:
        raise ArtifactError(f"{path} is not a frozen graph", "run `compress` again") from None
    missing = {*names.OUTPUTS, names.CONTEXT_EMBEDDINGS, names.READ_NODES} - {node.name for node in graph_def.node}
    if missing:
        raise ArtifactError(f"{path} has no tensor {min(missing)}", "if it is one of this model, `compress` again")
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    return graph
