"""Training steps of the completion model beside a plain one that does what the formulas say, edge by edge; and serving.

Batches have the sizes of the public implementation's: 43 graph samples, 12,800 context nodes, 43,000 edges, up to 9
subtokens, 300 wide; tables of 8,000, 30,200 and 20,000 rows. It does 0.3 steps a second and takes 5.9 seconds of
processor time for a step on two cores; the target is 0.9 steps a second. "every_node_read" asks for the final states
of all context nodes, so that nothing of the context graph can be left out: what the preparation gains depends on the
samples. A served file is one graph of such a batch; the target is well under 50 ms for a single call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.harness import told_by_command_line, write_result
from benchmarks.train_step import run_child

NUM_BATCHES = 6
NUM_STEPS = {"ours": 24, "every_node_read": 12, "plain": 6}
NUM_CALLS = 60


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_steps_per_second": 0.9, "target_call_milliseconds": 50}
    for which in (*NUM_STEPS, "serving"):
        values[which] = run_child("benchmarks.expression_step", {"which": which})
    write_result("expression_step", values, output)
    return values


def measure(which: str) -> dict[str, Any]:
    """Measure one thing; runs in a child process."""
    return serving() if which == "serving" else training(which)


def batches(which: str = "") -> list[Any]:
    """Make batches of random numbers."""
    from tests.fastnode.batches import REFERENCE, make_batch

    made = [make_batch(seed, REFERENCE) for seed in range(NUM_BATCHES)]
    return [read_everywhere(batch) for batch in made] if which == "every_node_read" else made


def read_everywhere(batch: Any) -> Any:
    """Let the expansion graph copy all context nodes."""
    import numpy as np

    graph = batch.expansion_graph
    num_nodes = batch.context_graph.num_nodes
    more = np.setdiff1d(np.arange(num_nodes), graph.context_graph_nodes).astype(np.int32)
    places = graph.num_nodes + np.arange(len(more), dtype=np.int32)
    changed = replace(
        graph,
        context_graph_nodes=np.concatenate([graph.context_graph_nodes, more]),
        context_to_expansion=np.concatenate([graph.context_to_expansion, places]),
    )
    return replace(batch, expansion_graph=changed)


def build_model() -> Any:
    """Build the model of the default sizes."""
    from fastnode_ops.config import ModelConfig
    from fastnode_ops.models.expression import Expression
    from fastnode_ops.models.inputs import Vocabulary
    from tests.fastnode.batches import REFERENCE

    sizes = Vocabulary(REFERENCE.num_types, REFERENCE.num_subtokens, REFERENCE.num_productions)
    return Expression(ModelConfig(), sizes, seed=1)


def training(which: str) -> dict[str, Any]:
    """Do some steps, batches prepared before as the trainer's second thread does; tell what each part takes."""
    from fastnode_ops.config import TrainConfig
    from fastnode_ops.models.threads import use_one_thread_per_operation
    from fastnode_ops.training.adam import Adam
    from fastnode_ops.training.step import EvaluationStep, TrainStep

    if which == "plain":
        return timed(plain_step(build_model(), batches()), NUM_STEPS[which])
    use_one_thread_per_operation()
    model, made = build_model(), batches(which)
    started = time.perf_counter()
    inputs = [model.prepare(batch) for batch in made]
    prepare_seconds = (time.perf_counter() - started) / len(made)
    step, forward = TrainStep(model, Adam(TrainConfig(), model.variables_by_name())), EvaluationStep(model)
    return {
        **timed(lambda index: step(inputs[index % len(inputs)]), NUM_STEPS[which]),
        "forward_cpu_seconds": timed(lambda index: forward(inputs[index % len(inputs)]), 6)["cpu_seconds_per_step"],
        "prepare_seconds": round(prepare_seconds, 4),
        "nodes_moved_per_hop": [int(hop.num_moving) for hop in inputs[0].hops],
        "messages_per_hop": [len(hop.sources) for hop in inputs[0].hops],
        "context_nodes": made[0].context_graph.num_nodes,
        "context_edges": sum(len(pairs) for pairs in made[0].context_graph.edges.values()),
    }


class PlainNetwork:
    """Embedding and propagation as the formulas are written: a message for every edge, the states of all nodes.

    Args:
        model: Gives weights and decoders.
    """

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self.tf, self.model, self.weights = tf, model, model.variables_by_name()

    def loss(self, graphs: Any, inputs: Any) -> Any:
        """Return what is minimised; see `plain_inputs`."""
        tf = self.tf
        (context, lookup, wanted), (edges, expansion_edges), (copied, places) = graphs
        states = self.embed(*context)
        for _ in range(self.model.config.num_hops):
            states = self.hop(states, edges)
        first = tf.concat([tf.gather(states, copied), self.embed(*lookup)], axis=0)
        expanded = self.hop(tf.gather(first, tf.math.invert_permutation(places)), expansion_edges)
        answer = _answer(
            self.model.name_decoder(expanded, self.embed(*wanted), inputs.name),
            self.model.production_decoder(expanded, inputs.production),
        )
        return self.model.losses(answer, inputs).loss

    def embed(self, types: Any, subtokens: Any) -> Any:
        """Look every element up."""
        tf, weights = self.tf, self.weights
        strongest = tf.math.segment_max(tf.gather(weights["embedding/types"], types[1]), types[0])
        mean = tf.math.segment_mean(tf.gather(weights["embedding/subtokens"], subtokens[1]), subtokens[0])
        return tf.concat([strongest, mean], axis=1)

    def hop(self, states: Any, edges: Any) -> Any:
        """Do a step with edges [E, 3]: source, target, kernel."""
        tf = self.tf
        messages, logits, ends = [], [], []
        for kernel, name in enumerate(("ast_child", "data_flow", "next_token", "scope")):
            chosen = tf.boolean_mask(edges, edges[:, 2] == kernel)
            sources, targets = tf.gather(states, chosen[:, 0]), tf.gather(states, chosen[:, 1])
            messages.append(sources @ self.weights[f"propagation/{name}/kernel"])
            dots = tf.reduce_sum(sources * targets, axis=1)
            logits.append(self.weights[f"propagation/{name}/attention"] * dots)
            ends.append(chosen[:, 1])
        num_nodes, target = tf.shape(states)[0], tf.concat(ends, axis=0)
        values = tf.concat(logits, axis=0)
        powers = tf.exp(values - tf.gather(tf.math.unsorted_segment_max(values, target, num_nodes), target))
        shares = powers / tf.gather(tf.math.unsorted_segment_sum(powers, target, num_nodes), target)
        weighted = tf.concat(messages, axis=0) * shares[:, None]
        moving, _ = tf.unique(tf.sort(target))
        pooled = tf.gather(tf.math.unsorted_segment_max(weighted, target, num_nodes), moving)
        return tf.tensor_scatter_nd_update(states, moving[:, None], self.cell(pooled, tf.gather(states, moving)))

    def cell(self, x: Any, h: Any) -> Any:
        """Update states."""
        tf, weights, name = self.tf, self.weights, "propagation/cell"
        gates = tf.concat([x, h], axis=1) @ weights[f"{name}/gates/kernel"] + weights[f"{name}/gates/bias"]
        r, u = tf.split(tf.sigmoid(gates), 2, axis=1)
        candidate = tf.concat([x, r * h], axis=1) @ weights[f"{name}/candidate/kernel"]
        return u * h + (1 - u) * tf.tanh(candidate + weights[f"{name}/candidate/bias"])


def plain_step(model: Any, made: list[Any]) -> Callable[[int], object]:
    """Build a step of the plain network, with derived gradients."""
    import tensorflow as tf

    from fastnode_ops.config import TrainConfig
    from fastnode_ops.training.adam import Adam

    network = PlainNetwork(model)
    optimizer = Adam(TrainConfig(), network.weights)

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def update(graphs: Any, inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = network.loss(graphs, inputs)
        optimizer.apply(tape.gradient(loss, list(network.weights.values())))
        return loss

    fed = [(plain_inputs(batch), plain_samples(batch)) for batch in made]
    return lambda index: float(update(*fed[index % len(fed)]))


def plain_inputs(batch: Any) -> Any:
    """Return the features, edges and positions of both graphs as they are in the batch."""
    import numpy as np

    from fastnode_ops.models.preparing import Edges

    def joined(edges: Any) -> Any:
        found = Edges.of(edges, tie_directions=True)
        return np.stack([found.sources, found.targets, found.kernels], axis=1)

    def lists(segmented: Any) -> Any:
        return segmented.sample_ids, segmented.indices

    context, expansion, name = batch.context_graph, batch.expansion_graph, batch.infer_name
    features = (
        (lists(context.node_types), lists(context.node_subtokens)),
        (lists(expansion.lookup_types), lists(expansion.lookup_subtokens)),
        (lists(name.types), lists(name.subtokens)),
    )
    places = np.concatenate([expansion.context_to_expansion, expansion.lookup_to_expansion])
    edges = joined(context.edges), joined(expansion.edges)
    return features, edges, (expansion.context_graph_nodes, places)


def plain_samples(batch: Any) -> Any:
    """Return what the decoders read, with the nodes as they are in the batch."""
    import numpy as np

    from fastnode_ops.models.preparing import name_inputs, production_inputs

    same = np.arange(batch.expansion_graph.num_nodes, dtype=np.int32)
    return _Samples(name_inputs(batch.infer_name, same), production_inputs(batch.infer_production, same))


class _Samples(NamedTuple):
    name: Any
    production: Any


def _answer(name_logits: Any, production_logits: Any) -> Any:
    from fastnode_ops.models.expression import Answer

    return Answer(name_logits, production_logits)


def timed(step: Callable[[int], object], num_steps: int) -> dict[str, Any]:
    """Call a step again and again; tell rate and processor time without the first calls."""
    step(0)
    first_result_at = time.time()
    step(1)
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(2, 2 + num_steps):
        step(index)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "first_result_at": first_result_at,
        "steps_per_second": round(num_steps / wall, 3),
        "cpu_seconds_per_step": round(cpu / num_steps, 3),
    }


def serving() -> dict[str, Any]:
    """Answer for one file at a time, whole and compressed; codes are drawn, for their number decides the time."""
    import numpy as np

    from fastnode_ops.models.codebook import Codebook
    from fastnode_ops.models.export import write_frozen_graph
    from fastnode_ops.models.serving import ServingModel
    from fastnode_ops.samples.metainfo import MetaInfo
    from tests.fastnode.batches import REFERENCE, make_batch

    model = build_model()
    weights = {name: variable.numpy() for name, variable in model.variables_by_name().items()}
    rng = np.random.default_rng(1)
    books = {
        name: Codebook(
            rng.normal(scale=0.01, size=(32 * entries, depth)).astype(np.float32),
            rng.integers(entries, size=(len(weights[name]), 32)).astype(np.uint8),
        )
        for name, entries, depth in (
            ("embedding/types", 64, 150),
            ("embedding/subtokens", 32, 150),
            ("production_decoder/table", 64, 300),
        )
    }
    sizes = replace(REFERENCE, num_name=0, num_production=1)
    files = [make_batch(seed, sizes) for seed in range(8)]
    measured: dict[str, Any] = {"nodes": [batch.context_graph.num_nodes for batch in files]}
    with TemporaryDirectory() as folder:
        for name, codebooks in (("whole", None), ("compressed", books)):
            path = Path(folder) / f"{name}.pb"
            write_frozen_graph(path, model.config, weights, codebooks)
            measured[f"{name}_bytes"] = path.stat().st_size
            served = ServingModel(path, MetaInfo(name_subtoken_index={}, type_subtoken_index={}))

            def call(index: int, served: Any = served) -> None:
                served.probabilities(files[index % len(files)])

            call(0)
            measured.setdefault("first_result_at", time.time())
            times = []
            for index in range(NUM_CALLS):
                started = time.perf_counter()
                call(index)
                times.append(1000 * (time.perf_counter() - started))
            half, most = np.percentile(times[8:], [50, 95])
            measured[f"{name}_call_milliseconds"] = {"median": round(float(half), 2), "p95": round(float(most), 2)}
    return measured


if __name__ == "__main__":
    main()
