"""The network in plain NumPy, sample by sample and node by node as specification 8 is written; nothing is shared with
the code under test. Works in float64.
"""

from collections.abc import Mapping

import numpy as np

from fastnode_ops.config import ModelConfig
from fastnode_ops.samples.batch import ContextGraph, ExpansionGraph, Segmented, TrainingBatch

Weights = Mapping[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def embed(weights: Weights, types: Segmented, subtokens: Segmented, num: int) -> np.ndarray:
    rows = []
    for of_type, of_subtoken in zip(types.to_lists(num), subtokens.to_lists(num), strict=True):
        strongest = weights["embedding/types"][of_type].max(axis=0)
        mean = weights["embedding/subtokens"][of_subtoken].mean(axis=0)
        rows.append(np.concatenate([strongest, mean]))
    return np.array(rows, np.float64)


def gru(weights: Weights, name: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    gates = sigmoid(np.concatenate([x, h]) @ weights[f"{name}/gates/kernel"] + weights[f"{name}/gates/bias"])
    r, u = np.split(gates, 2)
    joined = np.concatenate([x, r * h])
    c = np.tanh(joined @ weights[f"{name}/candidate/kernel"] + weights[f"{name}/candidate/bias"])
    return u * h + (1 - u) * c


def step(
    weights: Weights, config: ModelConfig, h: np.ndarray, edges: Mapping[str, np.ndarray], cell: str
) -> np.ndarray:
    arriving: dict[int, list[tuple[np.ndarray, float]]] = {}
    for key in sorted(edges):
        kernel = key.rpartition("_")[0] if config.tie_directions else key
        for source, target in edges[key].tolist():
            message = h[source] @ weights[f"propagation/{kernel}/kernel"]
            scale = weights[f"propagation/{kernel}/attention"] if config.edge_attention else 0.0
            arriving.setdefault(target, []).append((message, float(scale * (h[source] @ h[target]))))
    new = h.copy()
    for target, items in arriving.items():
        messages = np.array([message for message, _ in items])
        if config.edge_attention:
            messages = messages * softmax(np.array([logit for _, logit in items]))[:, None]
        pooled = {"max": np.max, "sum": np.sum, "mean": np.mean}[config.pooling](messages, axis=0)
        new[target] = gru(weights, cell, pooled, h[target])
    return new


def cell_name(config: ModelConfig, index: int) -> str:
    return f"propagation/cell_{index}" if config.separate_cells else "propagation/cell"


def context_states(weights: Weights, config: ModelConfig, graph: ContextGraph) -> np.ndarray:
    h = embed(weights, graph.node_types, graph.node_subtokens, graph.num_nodes)
    for index in range(config.num_hops):
        h = step(weights, config, h, graph.edges, cell_name(config, index))
    return h


def expansion_states(weights: Weights, config: ModelConfig, graph: ExpansionGraph, context: np.ndarray) -> np.ndarray:
    h = np.zeros((graph.num_nodes, config.depth))
    h[graph.context_to_expansion] = context[graph.context_graph_nodes]
    num_lookup = len(graph.lookup_to_expansion)
    h[graph.lookup_to_expansion] = embed(weights, graph.lookup_types, graph.lookup_subtokens, num_lookup)
    return step(weights, config, h, graph.edges, cell_name(config, config.num_hops))


def name_logits(weights: Weights, batch: TrainingBatch, h: np.ndarray) -> list[np.ndarray]:
    samples = batch.infer_name
    num = len(samples.labels)
    wanted = embed(weights, samples.types, samples.subtokens, num)
    logits = []
    for index, usages in enumerate(samples.usages.to_lists(num)):
        d = wanted[index] @ weights["name_decoder/kernel"]
        site = h[samples.prediction_nodes[index]]
        logits.append(np.array([d @ np.concatenate([h[usage], site]) for usage in usages]))
    return logits


def production_logits(weights: Weights, config: ModelConfig, batch: TrainingBatch, h: np.ndarray) -> list[np.ndarray]:
    samples = batch.infer_production
    num = len(samples.labels)
    scopes, tokens = samples.scope_encoder.to_lists(num), samples.context_tokens.to_lists(num)
    logits = []
    for index, targets in enumerate(samples.decoder_targets.to_lists(num)):
        site = h[samples.prediction_nodes[index]]
        scope = h[scopes[index]].max(axis=0)
        token = softmax(h[tokens[index]] @ site) @ h[tokens[index]]
        rows = weights["production_decoder/table"][targets]
        prior = weights["production_decoder/prior"][targets] if config.target_prior else 0.0
        if config.concatenate_contexts:
            logits.append(rows @ np.concatenate([site, scope, token]) + prior)
            continue
        shares = weights["production_decoder/context_weights"][targets]
        contexts = shares @ np.stack([scope, site, token])
        logits.append((rows * contexts).sum(axis=1) + prior)
    return logits


def loss(config: ModelConfig, logits: list[np.ndarray], labels: np.ndarray, corrupted: Segmented) -> float:
    if not logits:
        return 0.0
    flat = np.concatenate(logits)
    losses = []
    first = 0
    for index, negatives in enumerate(corrupted.to_lists(len(logits))):
        if config.loss == "cross_entropy":
            losses.append(-np.log(softmax(logits[index])[labels[index] - first]))
        else:
            terms = [max(0.0, config.margin - flat[labels[index]] + flat[negative]) for negative in negatives]
            losses.append(float(np.mean(terms)) if terms else 0.0)
        first += len(logits[index])
    return float(np.mean(losses))


def forward(
    weights: Weights, config: ModelConfig, batch: TrainingBatch
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Return the logits of both decoders, flat, and both losses."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    states = expansion_states(
        weights, config, batch.expansion_graph, context_states(weights, config, batch.context_graph)
    )
    name = name_logits(weights, batch, states)
    production = production_logits(weights, config, batch, states)
    losses = (
        loss(config, name, batch.infer_name.labels, batch.infer_name.corrupted),
        loss(config, production, batch.infer_production.labels, batch.infer_production.corrupted),
    )
    return _flat(name), _flat(production), losses


def _flat(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0), *parts])
