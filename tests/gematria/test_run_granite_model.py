"""The runner of graph models as a program: killed, resumed, its predictions, and the checkpoints that it refuses."""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.config import GraniteRunnerConfig
from gematria_ops.data.dataset import collect_tokens, read_blocks
from gematria_ops.formats.block_encoding import encode_block_with_throughputs, encode_decoded_block, encode_source
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.predictor import Predictor, predict_files
from gematria_ops.training.train import train
from ops_common.errors import ConfigError, DataError
from ops_common.learning.checkpoints import latest_checkpoint, step_of
from ops_common.tfrecord import write_records
from tests.gematria.programs import run, stop_when_logged, weights

pytestmark = [pytest.mark.tf, pytest.mark.slow]

SAMPLE = Path(__file__).parents[1] / "data/bhive/sample_skl.csv"
NUM_BLOCKS = 80
BUDGET = 150
# The smallest sizes that still have every part: two rounds, sent edges, a recurrent readout with dropout.
SIZES = {
    "node_embedding_size": 6,
    "edge_embedding_size": 4,
    "global_embedding_size": 5,
    "num_message_passing_iterations": 2,
    "use_sent_edges": True,
    "rnn_type": "GRU",
    "rnn_output_size": 4,
    "rnn_dropout": 0.1,
    "seq2seq": True,
}


@dataclass(frozen=True)
class Data:
    """Files of one data set; the vocabulary lacks one token of it."""

    blocks: Path
    tokens: Path
    annotations: Path


def sample_blocks() -> list[BasicBlockWithThroughputProto]:
    """The first blocks of the sample in cycles per iteration; every third instruction has a latency."""
    protos = []
    for line in SAMPLE.read_text().splitlines()[:NUM_BLOCKS]:
        code, cycles = line.split(",")
        block = encode_decoded_block(decode_block(bytes.fromhex(code)))
        labels = [(encode_source("bhive: skl"), float(cycles) / 100)]
        proto = BasicBlockWithThroughputProto.FromString(encode_block_with_throughputs(block, labels))
        for index, instruction in enumerate(proto.basic_block.canonicalized_instructions):
            if index % 3 == 0:
                instruction.instruction_annotations.add(name="latency", value=index / 8)
        protos.append(proto)
    return protos


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    files = Data(folder / "blocks.tfrecord", folder / "tokens.txt", folder / "annotations.txt")
    write_records(files.blocks, (proto.SerializeToString() for proto in sample_blocks()))
    tokens = collect_tokens(files.blocks)
    assert "LEA" in tokens
    files.tokens.write_text("".join(f"{token}\n" for token in sorted(tokens - {"LEA"})))
    files.annotations.write_text("# read by the model\nmiss_rate\nlatency\n")
    return files


def command(data: Data, folder: Path, action: str = "train", **more: object) -> list[str]:
    flags = {
        "gematria_action": action,
        "gematria_tokens_file": data.tokens,
        "gematria_annotation_names_file": data.annotations,
        "gematria_input_file": data.blocks,
        "gematria_throughput_source_filter": "bhive: skl",
        "gematria_training_num_epochs": BUDGET,
        "gematria_learning_rate": 0.01,
        "gematria_loss_type": "HUBER",
        "gematria_loss_normalization": "PERCENTAGE_ERROR",
        "gematria_use_seq2seq_loss": False,
        "gematria_max_blocks_in_batch": 20,
        "gematria_out_of_vocabulary_replacement_token": "_UNKNOWN_",
        "gematria_out_of_vocabulary_injection_probability": 0.05,
        "gematria_checkpoint_dir": folder,
        "gematria_save_checkpoint_epochs": 5,
        "gematria_save_summaries_epochs": 5,
        **{f"gematria_{name}": value for name, value in SIZES.items()},
        **more,
    }
    return [sys.executable, "-m", "gematria_ops.run_granite_model", *(f"--{k}={v}" for k, v in flags.items())]


def settings(data: Data, folder: Path, *overrides: str) -> GraniteRunnerConfig:
    """The same settings, for what needs no process of its own."""
    values = (
        *(f"model.{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in SIZES.items()),
        f"tokens.file={data.tokens}",
        f"tokens.annotation_names_file={data.annotations}",
        "tokens.out_of_vocabulary_replacement_token=_UNKNOWN_",
        f"input.files={data.blocks}",
        "input.source_filters=bhive: skl",
        "loss.use_seq2seq_loss=false",
        f"checkpoint.directory={folder}",
        "num_steps=999",
    )
    config = GraniteRunnerConfig.from_toml(None, ["model.kind=graph", *values, *overrides])
    assert isinstance(config, GraniteRunnerConfig)
    return config


@pytest.fixture(scope="module")
def model(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    finished = run(command(data, folder))
    assert finished.returncode == 0, finished.stderr
    assert f"global step {BUDGET} after {BUDGET} steps on {NUM_BLOCKS} blocks" in finished.stderr
    return folder


def test_killed_and_resumed_it_ends_with_the_same_weights(data: Data, model: Path, tmp_path: Path) -> None:
    exit_code, told = stop_when_logged(command(data, tmp_path), r"Training: epoch: 10,", signal.SIGKILL)
    assert exit_code == -signal.SIGKILL, told
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert 5 <= step_of(newest) < BUDGET
    resumed = run(command(data, tmp_path))
    assert resumed.returncode == 0, resumed.stderr
    assert f"global step {BUDGET} after {BUDGET - step_of(newest)} steps" in resumed.stderr
    whole, parts = weights(model), weights(tmp_path)
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not np.array_equal(whole[name], parts[name])] == []


def test_a_checkpoint_lists_the_names_of_weights_slots_and_step(model: Path) -> None:
    mlps = ("encoder/graphs", "graph_network/edges", "graph_network/nodes", "graph_network/graphs")
    norms = (
        *(f"graph_network/norm_{index}/{part}" for index in (0, 1) for part in ("nodes", "edges", "graphs")),
        "rnn/input_norm",
        "task_readout/input_norm",
    )
    names = {
        *(f"encoder/{table}_table" for table in ("node", "edge", "annotated")),
        *(f"{mlp}/linear_0/{part}" for mlp in mlps for part in ("kernel", "bias")),
        *(f"{norm}/{part}" for norm in norms for part in ("gamma", "beta")),
        *(f"rnn/forward/{part}" for part in ("kernel", "recurrent_kernel", "bias", "recurrent_bias")),
        "task_default/output/kernel",
    }
    slots = {f"{name}/{slot}" for name in names for slot in ("Adam", "Adam_1")}
    reader = tf.train.load_checkpoint(str(model))
    shapes = reader.get_variable_to_shape_map()
    assert shapes.keys() == names | slots | {"global_step", "beta1_power", "beta2_power"}
    assert reader.get_tensor("global_step") == BUDGET
    assert reader.get_variable_to_dtype_map()["global_step"] == tf.int64
    assert shapes["encoder/edge_table"] == [9, 4]
    assert shapes["encoder/annotated_table"][1] == 2


def checkpoint_file(model: Path) -> Path:
    return model / f"model.ckpt-{BUDGET}"


def test_it_predicts_every_block_in_order(data: Data, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "predicted.tfrecord"
    more = {"gematria_checkpoint_file": checkpoint_file(model), "gematria_output_file": output}
    finished = run(command(data, model, "predict", **more))
    assert finished.returncode == 0, finished.stderr
    assert f"{NUM_BLOCKS} of {NUM_BLOCKS} blocks predicted" in finished.stderr
    errors = []
    for original, predicted in zip(sample_blocks(), read_blocks(output), strict=True):
        assert predicted.basic_block == original.basic_block
        *others, added = predicted.inverse_throughputs
        assert others == list(original.inverse_throughputs)
        assert added.source.startswith("RnnTokenGraphBuilderModel: mp_iterations=2, node_embedding_size=6, ")
        assert added.source.endswith(",rnn_state_size=4,rnn_dropout=0.1,bidirectional=False, task=default")
        (value,) = added.inverse_throughput_cycles
        prefixes = [prefix.inverse_throughput_cycles[0] for prefix in added.prefix_inverse_throughputs]
        assert len(prefixes) == len(original.basic_block.canonicalized_instructions)
        assert prefixes[-1] == pytest.approx(value, rel=1e-4, abs=1e-4)
        label = original.inverse_throughputs[0].inverse_throughput_cycles[0]
        errors.append(abs(value - label) / label)
    # It has learnt something: always answering 1 cycle is about a half off.
    assert np.mean(errors) < 0.4


def test_annotations_reach_the_predictions(data: Data, model: Path) -> None:
    predictor = Predictor.from_checkpoint(settings(data, model, f"checkpoint.file={checkpoint_file(model)}"))
    blocks = sample_blocks()[:10]

    def answers() -> list[float]:
        return [
            proto.inverse_throughputs[-1].inverse_throughput_cycles[0] for proto in predictor.predict_protos(blocks)
        ]

    known = answers()
    for proto in blocks:
        for instruction in proto.basic_block.canonicalized_instructions:
            instruction.ClearField("instruction_annotations")
    assert predictor.model.annotation_names == ("latency", "miss_rate")  # sorted, without the comment
    assert all(a != b for a, b in zip(known, answers(), strict=True))


def refusal(data: Data, model: Path, action: str, tmp_path: Path, overrides: list[str]) -> str:
    """The message with which a training or a prediction refuses a checkpoint."""
    more = [f"checkpoint.file={checkpoint_file(model)}", f"output.file={tmp_path / 'none'}"]
    with pytest.raises(ConfigError) as caught:
        if action == "train":
            train(settings(data, model, *overrides))
        else:
            predict_files(settings(data, model, *more, *overrides))
    assert latest_checkpoint(model) == checkpoint_file(model)
    assert not (tmp_path / "none").exists()
    return caught.value.message


@pytest.mark.parametrize(
    ("action", "overrides", "difference"),
    [
        ("train", ["model.node_embedding_size=7"], "model.node_embedding_size was 6, now 7"),
        ("predict", ["model.node_embedding_size=7"], "model.node_embedding_size was 6, now 7"),
        ("predict", ["model.rnn_type=LSTM"], "model.rnn_type was 'GRU', now 'LSTM'"),
        ("predict", ["model.use_sent_edges=false"], "model.use_sent_edges was True, now False"),
        ("predict", ["input.task_names=other"], "task_names was ['default'], now ['other']"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(
    action: str, overrides: list[str], difference: str, data: Data, model: Path, tmp_path: Path
) -> None:
    message = refusal(data, model, action, tmp_path, overrides)
    assert message.endswith(f"belongs to another model: {difference}")


def test_a_checkpoint_of_other_names_is_refused(data: Data, model: Path, tmp_path: Path) -> None:
    tokens, annotations = tmp_path / "tokens.txt", tmp_path / "annotations.txt"
    tokens.write_text(data.tokens.read_text().replace("MOV\n", "MOW\n"))
    message = refusal(data, model, "predict", tmp_path, [f"tokens.file={tokens}"])
    assert "belongs to another model: vocabulary.sha256 was '" in message
    annotations.write_text("latency\nother\n")
    message = refusal(data, model, "predict", tmp_path, [f"tokens.annotation_names_file={annotations}"])
    assert message.endswith("annotation_names was ['latency', 'miss_rate'], now ['latency', 'other']")


@pytest.mark.parametrize(
    ("names", "node_size", "error", "message"),
    [
        ("a\nb\nc\n", 2, ConfigError, "3 annotations do not fit into node features of size 2"),
        (None, 6, DataError, "none.txt: cannot read the tokens file"),
    ],
)
def test_annotation_names_that_cannot_be_used(
    names: str | None, node_size: int, error: type[Exception], message: str, data: Data, tmp_path: Path
) -> None:
    file = tmp_path / "none.txt"
    if names is not None:
        file.write_text(names)
    overrides = [f"tokens.annotation_names_file={file}", f"model.node_embedding_size={node_size}"]
    with pytest.raises(error, match=message):
        train(settings(data, tmp_path, *overrides))
