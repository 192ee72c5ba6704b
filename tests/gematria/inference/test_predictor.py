"""Predictions as a stream: order, limits, what passes through, prefixes, sources, strict restore."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.config import ModelConfig, RunnerConfig
from gematria_ops.data.dataset import read_blocks
from gematria_ops.encode.encoded_blocks import encode_blocks
from gematria_ops.formats.proto_codec import block_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference.predictor import Predictor, predict_files
from gematria_ops.models.bundle import Bundle, save_bundle
from gematria_ops.models.factory import default_model_name, model_identity
from gematria_ops.models.ithemal import Ithemal
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.learning.checkpoints import CheckpointStore
from ops_common.tfrecord import write_records
from tests.gematria.small_blocks import make_block, make_blocks, make_protos, write_data

pytestmark = pytest.mark.tf

SIZES = {"token_embedding_size": 8, "instruction_embedding_size": 8, "block_embedding_size": 8}
PLAIN = ModelConfig(**SIZES)
SEQ2SEQ = ModelConfig(**SIZES, seq2seq=True)
TASKS = ("first", "second")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_data(tmp_path_factory.mktemp("data"), 25)


@pytest.fixture(scope="module")
def vocabulary(data: tuple[Path, Path]) -> Vocabulary:
    return Vocabulary.from_file(data[1])


@pytest.fixture(scope="module")
def models(vocabulary: Vocabulary) -> dict[ModelConfig, Ithemal]:
    return {config: Ithemal(config, len(vocabulary), TASKS, seed=1) for config in (PLAIN, SEQ2SEQ)}


@pytest.fixture
def predictor(models: dict[ModelConfig, Ithemal], vocabulary: Vocabulary) -> Predictor:
    return Predictor(models[PLAIN], vocabulary, model_name="TestModel")


def values(proto: BasicBlockWithThroughputProto) -> list[float]:
    return [
        entry.inverse_throughput_cycles[0]
        for entry in proto.inverse_throughputs
        if entry.source.startswith("TestModel")
    ]


def sized_protos() -> list[BasicBlockWithThroughputProto]:
    """Blocks of the sizes of specification 6.6."""
    sizes = (1, 5, 1, 8, 3, 4, 1, 2, 9, 4)
    return [BasicBlockWithThroughputProto(basic_block=block_to_proto(make_block(*["ADD"] * size))) for size in sizes]


def test_throughputs_are_appended_in_order_and_others_stay(predictor: Predictor) -> None:
    originals = list(make_protos(25))
    found = list(predictor.predict_protos(make_protos(25), max_blocks_in_batch=4))
    for original, predicted in zip(originals, found, strict=True):
        kept = len(original.inverse_throughputs)
        assert list(predicted.inverse_throughputs[:kept]) == list(original.inverse_throughputs)
        assert [entry.source for entry in predicted.inverse_throughputs[kept:]] == [
            "TestModel, task=first",
            "TestModel, task=second",
        ]
        assert all(len(entry.inverse_throughput_cycles) == 1 for entry in predicted.inverse_throughputs[kept:])
        assert predicted.basic_block == original.basic_block


@pytest.mark.parametrize(("max_blocks", "max_instructions"), [(None, None), (1, None), (3, 10), (0, 9), (2, 0)])
def test_batches_do_not_change_the_answers(predictor: Predictor, max_blocks: int, max_instructions: int) -> None:
    one = [values(proto) for proto in predictor.predict_protos(make_protos(25))]
    other = [values(proto) for proto in predictor.predict_protos(make_protos(25), max_blocks, max_instructions)]
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_blocks_over_the_limit_pass_through_in_their_place(predictor: Predictor) -> None:
    protos = sized_protos()
    found = list(predictor.predict_protos(iter(protos), max_blocks_in_batch=2, max_instructions_in_batch=8))
    assert [a is b for a, b in zip(found, protos, strict=True)] == [True] * 10
    assert [bool(values(proto)) for proto in found] == [True] * 8 + [False, True]
    assert predictor.num_unpredicted == {"over the instruction limit": 1}


def test_all_over_the_limit(predictor: Predictor) -> None:
    found = list(predictor.predict_protos(sized_protos()[3:4], max_instructions_in_batch=2))
    assert [values(proto) for proto in found] == [[]]


def test_invalid_blocks_pass_through_and_are_counted_by_reason(predictor: Predictor) -> None:
    blocks = [make_block("ADD"), make_block("LEA"), BasicBlock(()), make_block("MOV", "LEA"), make_block("XOR")]
    protos = [BasicBlockWithThroughputProto(basic_block=block_to_proto(block)) for block in blocks]
    found = list(predictor.predict_protos(protos, max_blocks_in_batch=3))
    assert [bool(values(proto)) for proto in found] == [True, False, False, False, True]
    assert predictor.num_unpredicted == Counter({"unknown token": 2, "empty block": 1})


def test_nothing_but_invalid_blocks(predictor: Predictor) -> None:
    assert [entry.throughputs for entry in predictor.predict_blocks([BasicBlock(())])] == [()]


def test_unknown_tokens_are_replaced_where_there_is_a_replacement(
    models: dict[ModelConfig, Ithemal], data: tuple[Path, Path]
) -> None:
    replacing = Predictor(models[PLAIN], Vocabulary.from_file(data[1], "_UNKNOWN_"))
    (found,) = replacing.predict_blocks([make_block("LEA")])
    assert len(found.throughputs) == 2
    assert not replacing.num_unpredicted


def test_plain_blocks_are_answered_like_messages(predictor: Predictor) -> None:
    blocks = list(make_blocks(25))
    found = list(predictor.predict_blocks(blocks, max_blocks_in_batch=7))
    assert [entry.block for entry in found] == blocks
    messages = [values(proto) for proto in predictor.predict_protos(make_protos(25))]
    answers = [[part.inverse_throughput_cycles[0] for part in entry.throughputs if part] for entry in found]
    np.testing.assert_allclose(answers, messages, rtol=1e-5)


def test_an_encoded_data_set_is_answered_in_natural_order(predictor: Predictor, vocabulary: Vocabulary) -> None:
    answers = predictor.predict_encoded(encode_blocks(make_blocks(25), vocabulary), max_blocks_in_batch=4)
    messages = [values(proto) for proto in predictor.predict_protos(make_protos(25))]
    np.testing.assert_allclose(answers.output, messages, rtol=1e-5)
    assert answers.deltas is None


@pytest.mark.parametrize("prefix_deltas", [False, True])
def test_prefixes_are_running_sums_unless_deltas_are_asked_for(
    prefix_deltas: bool, models: dict[ModelConfig, Ithemal], vocabulary: Vocabulary
) -> None:
    predictor = Predictor(models[SEQ2SEQ], vocabulary, model_name="TestModel", prefix_deltas=prefix_deltas)
    encoded = predictor.predict_encoded(encode_blocks(make_blocks(5), vocabulary), max_blocks_in_batch=2)
    start = 0
    for proto in predictor.predict_protos(make_protos(5), max_blocks_in_batch=3):
        size = len(proto.basic_block.canonicalized_instructions)
        entries = [entry for entry in proto.inverse_throughputs if entry.source.startswith("TestModel")]
        for task, entry in enumerate(entries):
            prefixes = [prefix.inverse_throughput_cycles[0] for prefix in entry.prefix_inverse_throughputs]
            deltas = encoded.deltas[start : start + size, task]
            np.testing.assert_allclose(prefixes, deltas if prefix_deltas else np.cumsum(deltas), rtol=1e-4, atol=1e-6)
            total = sum(prefixes) if prefix_deltas else prefixes[-1]
            assert total == pytest.approx(entry.inverse_throughput_cycles[0], rel=1e-4, abs=1e-6)
        start += size


def test_blocks_are_streamed(predictor: Predictor) -> None:
    taken = 0

    def endless() -> Iterator[BasicBlock]:
        nonlocal taken
        while True:
            taken += 1
            yield make_block("ADD", "MOV")

    stream = predictor.predict_blocks(endless(), max_blocks_in_batch=10)
    for _ in range(25):
        next(stream)
    # Never more than the batch that is answered and the first block of the next one.
    assert taken <= 31


@pytest.mark.parametrize("task_index", [-1, 2])
def test_a_source_name_for_a_task_that_is_not_there(predictor: Predictor, task_index: int) -> None:
    with pytest.raises(ValueError, match="task index"):
        predictor.source_name(task_index)


def test_the_automatic_name() -> None:
    assert default_model_name(ModelConfig()) == (
        "HierarchicalLSTM: use_deltas=False token_embedding_size=256, instruction_embedding_size=256, "
        "block_embedding_size=256, bidirectional=False, output_layers=(), task_output_layers=()"
    )
    assert "use_deltas=True" in default_model_name(SEQ2SEQ)


def test_a_bundle_predicts_like_its_model(
    models: dict[ModelConfig, Ithemal], vocabulary: Vocabulary, predictor: Predictor, tmp_path: Path
) -> None:
    config = RunnerConfig.from_toml(
        None,
        [
            *(f"model.{name}={value}" for name, value in SIZES.items()),
            'input.source_filters=["a", "b"]',
            'input.task_names=["first", "second"]',
            'tokens.out_of_vocabulary_replacement_token=""',
        ],
    )
    save_bundle(tmp_path / "bundle", Bundle(models[PLAIN], vocabulary, config, 3))
    loaded = Predictor.from_bundle(tmp_path / "bundle")
    first, second = (list(one.predict_blocks(make_blocks(9))) for one in (predictor, loaded))
    assert first == second


def checkpoint_settings(data: tuple[Path, Path], folder: Path, *overrides: str) -> RunnerConfig:
    return RunnerConfig.from_toml(
        None,
        [
            "action=predict",
            f"tokens.file={data[1]}",
            f"input.files={data[0]}",
            'input.source_filters=["only for", "training"]',
            'input.task_names=["first", "second"]',
            f"checkpoint.file={folder / 'model.ckpt-3'}",
            f"output.file={folder / 'out/predicted.tfrecord'}",
            *(f"model.{name}={value}" for name, value in SIZES.items()),
            *overrides,
        ],
    )


@pytest.fixture
def checkpoint(models: dict[ModelConfig, Ithemal], vocabulary: Vocabulary, tmp_path: Path) -> Path:
    identity = {**model_identity(PLAIN, TASKS, vocabulary), "optimizer_type": "ADAM"}
    slots = {"global_step": tf.Variable(3, dtype=tf.int64), "token_embedding/table/Adam": tf.Variable([1.0])}
    CheckpointStore(tmp_path, identity).save({**models[PLAIN].variables_by_name(), **slots}, 3)
    return tmp_path


def test_files_are_predicted_with_a_checkpoint(data: tuple[Path, Path], checkpoint: Path, predictor: Predictor) -> None:
    summary = predict_files(checkpoint_settings(data, checkpoint, "output.model_name=TestModel"))
    found = list(read_blocks(checkpoint / "out/predicted.tfrecord"))
    # Filters of the training do not apply: every block and every throughput is there.
    assert found == list(predictor.predict_protos(make_protos(25)))
    assert (summary.num_blocks, summary.num_unpredicted) == (25, {})
    assert summary.as_text().startswith("25 of 25 blocks predicted")


def test_limits_apply_to_files_and_are_told(data: tuple[Path, Path], checkpoint: Path) -> None:
    summary = predict_files(checkpoint_settings(data, checkpoint, "batch.max_instructions=4", "batch.max_blocks=2"))
    assert summary.num_blocks == 25
    left = sum(len(proto.basic_block.canonicalized_instructions) > 4 for proto in make_protos(25))
    assert summary.num_unpredicted == {"over the instruction limit": left}
    assert f"{left} passed through without a prediction" in summary.as_text()


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["model.block_embedding_size=4"], "model.block_embedding_size was 8, now 4"),
        (["model.seq2seq=true"], "model.seq2seq was False, now True"),
        (['input.task_names=["first", "other"]'], "task_names was ['first', 'second'], now ['first', 'other']"),
        (["input.source_filters=a", "input.task_names=[]"], "task_names was ['first', 'second'], now ['default']"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    overrides: list[str], difference: str, data: tuple[Path, Path], checkpoint: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        predict_files(checkpoint_settings(data, checkpoint, *overrides))
    assert caught.value.message.endswith(f"belongs to another model: {difference}")
    assert not (checkpoint / "out").exists()


def test_an_incomplete_checkpoint_is_refused(
    data: tuple[Path, Path], models: dict[ModelConfig, Ithemal], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    variables = models[PLAIN].variables_by_name()
    del variables["block_lstm/bias"]
    CheckpointStore(tmp_path, model_identity(PLAIN, TASKS, vocabulary)).save(variables, 3)
    with pytest.raises(ConfigError, match="it has no variable 'block_lstm/bias'"):
        predict_files(checkpoint_settings(data, tmp_path))


def test_a_missing_checkpoint_is_named(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"No checkpoint was found at .*model\.ckpt-3"):
        predict_files(checkpoint_settings(data, tmp_path))


def test_damaged_input_leaves_no_output(data: tuple[Path, Path], checkpoint: Path) -> None:
    torn = checkpoint / "torn.tfrecord"
    write_records(torn, [proto.SerializeToString() for proto in make_protos(3)])
    torn.write_bytes(torn.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"torn\.tfrecord: record 2 is damaged"):
        predict_files(checkpoint_settings(data, checkpoint, f"input.files={torn}"))
    assert list((checkpoint / "out").iterdir()) == []
