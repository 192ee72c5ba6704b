"""Training steps, encoding and prediction of GRANITE beside a plain loop that concatenates as the formulas are written.

Three tasks, Adam, 8 rounds, 100 blocks a batch out of the committed BHive sample ("short" blocks of up to 16
instructions, about 4.5 on average). Sizes: the published ones (256 everywhere, two hidden layers of 256), and 64
without hidden layers. Targets: three times the training rate of the public implementation (75 to 105 blocks a second,
13 CPU seconds for 1,000 blocks; at size 64 450 and 2.2), five times its prediction (110 to 145, 6.6), and blocks
encoded at ten times the training rate.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import told_by_command_line, write_result
from benchmarks.train_step import SOURCES, compared, import_sample, load_blocks, run_child, timed, vocabulary_of

BATCH_SIZE = 100
NUM_STEPS = {"published": 25, "size_64": 60}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    values: dict[str, Any] = {"target_cpu_seconds_per_1000_blocks": {"published": 4.3, "size_64": 0.73}}
    with tempfile.TemporaryDirectory() as folder:
        import_sample(Path(folder))

        def child(which: str, sizes: str) -> dict[str, Any]:
            return run_child("benchmarks.granite_step", {"dataset_dir": folder, "which": which, "sizes": sizes})

        for sizes in NUM_STEPS:
            reference = child("reference", sizes)
            values[f"training_{sizes}"] = compared(child("training", sizes), reference)
            values[f"training_{sizes}_bfloat16"] = compared(child("training_bfloat16", sizes), reference)
            values[f"prediction_{sizes}"] = child("prediction", sizes)
        values["encoding"] = child("encoding", "published")
    write_result("granite_step", values, output)
    return values


def measure(which: str, dataset_dir: str, sizes: str) -> dict[str, Any]:
    """Does some steps and tells what they took; runs in a child process."""
    from gematria_ops.models.threads import use_one_thread_per_operation

    blocks = load_blocks(Path(dataset_dir), "short")
    if which == "encoding":
        return encoding(blocks)
    if which != "reference":
        use_one_thread_per_operation()
    make = {"reference": reference_step, "prediction": our_prediction}.get(which, our_step)
    return timed(make(blocks, sizes, which), BATCH_SIZE, NUM_STEPS[sizes])


def settings(sizes: str) -> Any:
    """Returns the sizes of a model."""
    from gematria_ops.config import GraniteConfig

    width, hidden = (256, (256, 256)) if sizes == "published" else (64, ())
    return GraniteConfig(
        node_embedding_size=width,
        edge_embedding_size=width,
        global_embedding_size=width,
        node_update_layers=hidden,
        edge_update_layers=hidden,
        global_update_layers=hidden,
        readout_layers=hidden,
        task_readout_layers=hidden,
        graph_module_residual_connections=True,
    )


def encoding(blocks: list[Any]) -> dict[str, Any]:
    """Encodes the blocks as graphs, again and again."""

    def encode(index: int) -> None:
        del index
        encoded_graphs(blocks)

    return timed(encode, len(blocks), 5)


def encoded_graphs(blocks: list[Any]) -> Any:
    """Encodes the blocks as graphs, once."""
    from gematria_ops.encode.encoded_blocks import encode_blocks
    from gematria_ops.encode.graphs import GraphBuilder

    vocabulary = vocabulary_of(blocks)
    return encode_blocks(blocks, vocabulary, len(SOURCES), graphs=GraphBuilder(vocabulary))


def our_step(blocks: list[Any], sizes: str, which: str) -> Callable[[int], object]:
    """Builds our training step; a call makes a batch and does one update."""
    from gematria_ops.config import LossConfig, MatmulPrecision, OptimizerConfig
    from gematria_ops.encode.batch import BatchOptions
    from gematria_ops.encode.batching import BatchSchedule
    from gematria_ops.encode.layouts import GRAPHS
    from gematria_ops.encode.training_batches import TrainingBatches
    from gematria_ops.models.granite import Granite
    from gematria_ops.training.optimizers import Optimizer
    from gematria_ops.training.step import TrainStep

    encoded = encoded_graphs(blocks)
    model = Granite(settings(sizes), len(encoded.vocabulary), SOURCES, seed=1)
    precision = MatmulPrecision.BFLOAT16 if which.endswith("bfloat16") else MatmulPrecision.FLOAT32
    step = TrainStep(model, LossConfig(), Optimizer(OptimizerConfig(), model.variables_by_name()), precision=precision)
    schedule = BatchSchedule(encoded.block_sizes, BATCH_SIZE, 1_000_000, seed=1)
    batches = TrainingBatches(encoded, schedule, GRAPHS, BatchOptions(), seed=1)
    return lambda index: step(batches.batch(index)).loss


def our_prediction(blocks: list[Any], sizes: str, which: str) -> Callable[[int], object]:
    """Builds our prediction, from messages to throughputs; a call predicts a batch."""
    from gematria_ops.inference.predictor import Predictor
    from gematria_ops.models.granite import Granite

    del which
    vocabulary = vocabulary_of(blocks)
    predictor = Predictor(Granite(settings(sizes), len(vocabulary), SOURCES, seed=1), vocabulary)

    def predict(index: int) -> int:
        start = index * BATCH_SIZE % (len(blocks) - BATCH_SIZE)
        return sum(1 for _ in predictor.predict_protos(blocks[start : start + BATCH_SIZE], BATCH_SIZE))

    return predict


class ReferenceModel:
    """The same network as the formulas are written: Keras layers, a wide concatenation in front of each update.

    Args:
        config: A ``GraniteConfig``.
        num_tokens: V, size of the vocabulary.
    """

    def __init__(self, config: Any, num_tokens: int) -> None:
        import tensorflow as tf

        self.tf, layers = tf, tf.keras.layers
        width = config.node_embedding_size

        def mlp() -> Any:
            hidden = [layers.Dense(size, tf.nn.leaky_relu) for size in config.node_update_layers]
            return tf.keras.Sequential([*hidden, layers.Dense(width)])

        self.tables = [layers.Embedding(num, width) for num in (num_tokens, 9)]
        self.first, self.updates = layers.Dense(width), [mlp(), mlp(), mlp()]
        rounds = range(config.num_message_passing_iterations)
        self.norms = [[layers.LayerNormalization() for _ in range(3)] for _ in rounds]
        self.readouts = [tf.keras.Sequential([mlp(), layers.Dense(1, use_bias=False)]) for _ in SOURCES]

    def __call__(self, inputs: Any) -> Any:
        """Predicts: [B, K]."""
        tf, gather, total = self.tf, self.tf.gather, self.tf.math.unsorted_segment_sum
        nodes, edges = self.tables[0](inputs.node_tokens), self.tables[1](inputs.edge_types)
        graphs = self.first(tf.cast(inputs.token_counts, tf.float32))
        num_nodes, num_blocks = tf.shape(nodes)[0], tf.shape(graphs)[0]
        for norm in self.norms:
            wide = [edges, gather(nodes, inputs.receivers), gather(nodes, inputs.senders)]
            new_edges = self.updates[0](tf.concat([*wide, gather(graphs, inputs.edge_blocks)], axis=1))
            received = total(new_edges, inputs.receivers, num_nodes)
            new_nodes = self.updates[1](tf.concat([received, nodes, gather(graphs, inputs.node_blocks)], axis=1))
            sums = [total(new_edges, inputs.edge_blocks, num_blocks), total(new_nodes, inputs.node_blocks, num_blocks)]
            new_graphs = self.updates[2](tf.concat([*sums, graphs], axis=1))
            edges, nodes, graphs = (
                layer(new + old)
                for layer, new, old in zip(norm, (new_edges, new_nodes, new_graphs), (edges, nodes, graphs))
            )
        return tf.concat([readout(graphs) for readout in self.readouts], axis=1)

    def variables(self) -> list[Any]:
        """Returns what is trained; there once the model has been called."""
        used = [*self.tables, self.first, *self.updates, *self.readouts, *(norm for row in self.norms for norm in row)]
        return [variable for layer in used for variable in layer.trainable_weights]


def reference_step(blocks: list[Any], sizes: str, which: str) -> Callable[[int], object]:
    """Builds the plain training step, with Keras' Adam; a call makes a batch and does one update."""
    import numpy as np
    import tensorflow as tf

    from gematria_ops.encode.batch import BatchOptions
    from gematria_ops.encode.batching import BatchSchedule
    from gematria_ops.encode.graph_batch import make_graph_batch

    del which
    encoded = encoded_graphs(blocks)
    model = ReferenceModel(settings(sizes), len(encoded.vocabulary))
    # Keras makes its variables in the first call, which must not happen inside of the compiled one.
    model(make_graph_batch(encoded, np.arange(2), BatchOptions()).inputs)
    variables, optimizer = model.variables(), tf.keras.optimizers.Adam(0.001, epsilon=1e-8)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def update(inputs: Any, expected: Any, mask: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.where(mask, tf.square(model(inputs) - expected), 0.0))
        values = [variable.value for variable in variables]
        gradients = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    schedule = BatchSchedule(encoded.block_sizes, BATCH_SIZE, 1_000_000, seed=1)

    def step(index: int) -> float:
        batch = make_graph_batch(encoded, schedule.block_indices(index), BatchOptions())
        return float(update(batch.inputs, batch.targets.expected, batch.targets.mask))

    return step


if __name__ == "__main__":
    main()
