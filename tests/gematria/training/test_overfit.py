"""A hundred real blocks, learnt by heart: what cannot do that cannot learn."""

from pathlib import Path

import numpy as np
import pytest

from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.blocks.vocabulary import STRUCTURAL_TOKENS, write_tokens_file
from gematria_ops.config import RunnerConfig
from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.merging import import_and_merge
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.predictor import Predictor
from gematria_ops.training.train import train
from ops_common.tfrecord import write_records

pytestmark = [pytest.mark.tf, pytest.mark.slow]

NUM_BLOCKS = 100
SAMPLE = Path(__file__).parents[2] / "data" / "bhive" / "sample_hsw.csv"
SEQUENCE = ("model.instruction_embedding_size=64", "model.block_embedding_size=64", "model.task_output_layers=[64]")
GRAPH = (
    "model.kind=graph",
    "model.node_embedding_size=64",
    "model.edge_update_layers=[64]",
    "model.node_update_layers=[64]",
    "model.edge_embedding_size=64",
    "model.global_embedding_size=64",
    "model.num_message_passing_iterations=4",
    "model.graph_module_residual_connections=true",
    "model.task_readout_layers=[64]",
)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> list[BasicBlockWithThroughputProto]:
    """Blocks that a model can tell apart: no two have the same tokens."""
    folder = tmp_path_factory.mktemp("data")
    import_and_merge([SAMPLE], ["llvm-mca: hsw"], folder, validation_percent=0, test_percent=0)
    chosen = {}
    for block in read_blocks([str(folder / "train.tfrecord")]):
        key = tuple(_tokens(block))
        if len(block.basic_block.canonicalized_instructions) <= 10 and key not in chosen:
            chosen[key] = block
        if len(chosen) == NUM_BLOCKS:
            break
    return list(chosen.values())


def _tokens(block: BasicBlockWithThroughputProto) -> list[str]:
    return [
        token
        for proto in block.basic_block.canonicalized_instructions
        for token in instruction_tokens(instruction_from_proto(proto))
    ]


@pytest.mark.parametrize(
    ("model", "num_steps", "rate"), [(SEQUENCE, 500, 0.01), (GRAPH, 1500, 0.005)], ids=["ithemal", "granite"]
)
def test_a_hundred_blocks_are_learnt_to_two_percent(
    model: tuple[str, ...], num_steps: int, rate: float, blocks: list[BasicBlockWithThroughputProto], tmp_path: Path
) -> None:
    write_records(tmp_path / "blocks.tfrecord", (block.SerializeToString() for block in blocks))
    write_tokens_file(tmp_path / "tokens.txt", {*STRUCTURAL_TOKENS, *(t for block in blocks for t in _tokens(block))})
    overrides = (
        *model,
        f"input.files={tmp_path / 'blocks.tfrecord'}",
        f"tokens.file={tmp_path / 'tokens.txt'}",
        f"batch.max_blocks={NUM_BLOCKS}",
        f"num_steps={num_steps}",
        f"optimizer.learning_rate={rate}",
        "optimizer.learning_rate_schedule=COSINE",
        f"optimizer.decay_steps={num_steps}",
        "optimizer.grad_clip_norm=1.0",
        "loss.loss_type=MEAN_ABSOLUTE_ERROR",
        "loss.loss_normalization=PERCENTAGE_ERROR",
    )
    train(RunnerConfig.from_toml(None, overrides), bundle_dir=tmp_path / "bundle")

    predictor = Predictor.from_bundle(tmp_path / "bundle")
    labels = np.array([block.inverse_throughputs[0].inverse_throughput_cycles[0] for block in blocks])
    found = np.array(
        [block.inverse_throughputs[-1].inverse_throughput_cycles[0] for block in predictor.predict_protos(blocks)]
    )
    assert 100 * np.mean(np.abs(found - labels) / labels) < 2.0
