"""Every flag of both programs changes something: what is seen without it and with it, or where else that is tested.

Values out of range and contradictions are in test_config.py, types and defaults in test_flags.py.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from gematria_ops.config import GraniteRunnerConfig, RunnerConfig
from gematria_ops.flags import config_from_flags, define_flags
from gematria_ops.training.train import train
from ops_common.config import walk_settings
from tests.gematria import flag_effects as see
from tests.gematria.flag_effects import Effect
from tests.gematria.runner_programs import TINY
from tests.gematria.small_blocks import COSTS, make_blocks, write_data

pytestmark = pytest.mark.tf

ROOT = Path(__file__).parents[2]
CONFIGS = {"run_sequence_model": RunnerConfig, "run_granite_model": GraniteRunnerConfig}

COST = sum(COSTS[instruction.mnemonic] for instruction in next(make_blocks(1)).instructions)
FEW_TOKENS = ("--gematria_tokens_file={files}/few_tokens.txt",)
NO_REPLACEMENT = (*FEW_TOKENS, "--gematria_out_of_vocabulary_replacement_token=")
RNN = ("--gematria_rnn_type=LSTM", "--gematria_rnn_output_size=6")
SEQ2SEQ = ("--gematria_seq2seq",)
SGD = ("--gematria_optimizer_type=SGD", "--gematria_learning_rate=1")
COSINE = ("--gematria_learning_rate=1", "--gematria_learning_rate_schedule=COSINE", "--gematria_decay_steps=10")
EXPONENTIAL = (
    "--gematria_learning_rate=1",
    "--gematria_learning_rate_schedule=EXPONENTIAL",
    "--gematria_decay_steps=5",
)
KEEPS = ("--gematria_checkpoint_dir={tmp}/model", "--gematria_save_checkpoint_secs=0")
SUMMARIZES = ("--gematria_summary_dir={tmp}/summaries", "--gematria_save_summaries_secs=0")
VALIDATES = ("--gematria_validation_input_file={files}/other.tfrecord",)
MODEL = "{files}/model/model.ckpt"
PREDICTS = ("--gematria_action=predict", f"--gematria_checkpoint_file={MODEL}-1", "--gematria_output_file={tmp}/a")
EVALUATES = (
    "--gematria_action=eval",
    "--gematria_checkpoint_dir={files}/model",
    "--gematria_summary_dir={tmp}",
    "--gematria_eval_interval_secs=5",
    "--gematria_eval_max_evaluations=2",
)
RESUMES = ("--gematria_resume_from_dir={files}/model", "--gematria_resume_to_dir={tmp}")


def steps(number: int) -> tuple[str]:
    return (f"--gematria_training_num_epochs={number}",)


def sequence(arguments: str, name: str, before: object, after: object) -> Effect:
    return Effect((arguments,), see.shape(name), before, after, program="run_sequence_model")


def graph(arguments: str, name: str, before: object, after: object, base: tuple[str, ...] = ()) -> Effect:
    return Effect((arguments,), see.shape(name), before, after, base)


has_deltas = see.batch(lambda batch: batch.expected_deltas is not None)

MODELS = [
    sequence("--gematria_token_embedding_size=6", "token_embedding/table", (15, 4), (15, 6)),
    sequence("--gematria_instruction_embedding_size=6", "instruction_lstm/recurrent_kernel", (2, 8), (3, 12)),
    sequence("--gematria_block_embedding_size=6", "block_lstm/recurrent_kernel", (2, 8), (3, 12)),
    sequence("--gematria_output_layers=6", "output_layers/dense_0/kernel", None, (4, 6)),
    sequence("--gematria_task_output_layers=6", "task_default/dense_0/kernel", None, (4, 6)),
    sequence("--gematria_bidirectional", "block_lstm_backward/kernel", None, (4, 8)),
    Effect(SEQ2SEQ, has_deltas, False, True, program="run_sequence_model"),
    Effect(SEQ2SEQ, has_deltas, False, True),
    graph("--gematria_node_embedding_size=6", "encoder/node_table", (15, 4), (15, 6)),
    graph("--gematria_edge_embedding_size=6", "encoder/edge_table", (9, 4), (9, 6)),
    graph("--gematria_global_embedding_size=6", "encoder/graphs/linear_0/kernel", (15, 4), (15, 6)),
    graph("--gematria_node_update_layers=6", "graph_network/nodes/linear_1/kernel", None, (6, 4)),
    graph("--gematria_edge_update_layers=6", "graph_network/edges/linear_1/kernel", None, (6, 4)),
    graph("--gematria_global_update_layers=6", "graph_network/graphs/linear_1/kernel", None, (6, 4)),
    graph("--gematria_num_message_passing_iterations=2", "graph_network/norm_1/nodes/gamma", None, (4,)),
    graph("--gematria_use_sent_edges", "graph_network/nodes/linear_0/kernel", (12, 4), (16, 4)),
    graph("--gematria_readout_layers=6", "readout/dense_0/kernel", (4, 4), (4, 6)),
    graph("--gematria_task_readout_layers=6", "task_default/dense_0/kernel", None, (4, 6)),
    graph("--nogematria_graph_module_layer_normalization", "graph_network/norm_0/nodes/gamma", (4,), None),
    graph("--nogematria_readout_input_layer_normalization", "readout/input_norm/gamma", (4,), None),
    graph("--nogematria_task_readout_input_layer_normalization", "task_readout/input_norm/gamma", (4,), None),
    Effect(
        ("--gematria_graph_module_residual_connections",),
        see.says_the_same_without_network,
        True,
        False,
        ("--nogematria_graph_module_layer_normalization",),
    ),
    graph(
        "--gematria_readout_residual_connections",
        "readout/residual/kernel",
        None,
        (4, 6),
        ("--gematria_readout_layers=6",),
    ),
    graph(
        "--gematria_task_readout_residual_connections",
        "task_default/residual/kernel",
        None,
        (4, 6),
        ("--gematria_task_readout_layers=6",),
    ),
    graph("--gematria_rnn_type=GRU", "rnn/forward/kernel", None, (4, 3 * 128)),
    graph("--gematria_rnn_output_size=5", "rnn/forward/recurrent_kernel", (6, 24), (5, 20), RNN),
    graph("--gematria_rnn_bidirectional", "rnn/backward/kernel", None, (4, 24), RNN),
    Effect(
        ("--gematria_rnn_dropout=0.5",), see.batch(lambda batch: batch.inputs.dropout_seed is None), True, False, RNN
    ),
    Effect(("--gematria_random_seed=5",), see.first_weights),
]

DATA = [
    Effect(("--gematria_input_file={files}/other.tfrecord",), see.num_blocks, 60, 30),
    Effect(("--gematria_input_file_scaling=10",), see.first_label, pytest.approx(COST), pytest.approx(10 * COST)),
    Effect(("--gematria_throughput_source_filter=test: two",), see.task_names, ("default",), ("task_1", "task_2")),
    Effect(("--gematria_task_names=mine",), see.task_names, ("default",), ("mine",)),
    Effect(
        ("--gematria_training_throughput_selection=MIN",),
        see.first_label,
        pytest.approx(COST),
        pytest.approx(0.9 * COST),
    ),
    Effect(("--gematria_drop_invalid_blocks",), see.num_blocks, "'DIV'", see.ANYTHING, NO_REPLACEMENT),
    Effect(FEW_TOKENS, see.shape("encoder/node_table"), (15, 4), (14, 4)),
    Effect(("--gematria_out_of_vocabulary_replacement_token=",), see.num_blocks, 60, "'DIV'", FEW_TOKENS),
    Effect(
        ("--gematria_out_of_vocabulary_injection_probability=1",),
        see.batch(lambda batch: len(np.unique(batch.inputs.node_tokens)) == 1),
        False,
        True,
    ),
    Effect(
        ("--gematria_annotation_names_file={files}/annotations.txt",),
        see.shape("encoder/annotated_table"),
        None,
        (15, 2),
    ),
    Effect(("--gematria_max_blocks_in_batch=7",), see.batch(lambda batch: batch.num_blocks), 20, 7),
    Effect(
        ("--gematria_max_instructions_in_batch=30",),
        see.batch(lambda batch: batch.num_instructions <= 30),
        False,
        True,
    ),
    Effect(("--nogematria_training_randomize_batches",), see.first_indices, see.ANYTHING, list(range(20))),
]

LEARNING = [
    Effect(("--gematria_loss_type=MEAN_ABSOLUTE_ERROR",), see.is_loss(lambda error, _: np.abs(error)), False, True),
    Effect(
        ("--gematria_loss_normalization=PERCENTAGE_ERROR",),
        see.is_loss(lambda error, label: (error / label) ** 2),
        False,
        True,
    ),
    Effect(("--nogematria_use_seq2seq_loss",), see.is_loss(lambda error, _: error**2), False, True, SEQ2SEQ),
    Effect(("--gematria_matmul_precision=BFLOAT16",), see.first_output),
    Effect(("--gematria_optimizer_type=SGD",), see.has_adam_slots, True, False),
    Effect(("--gematria_learning_rate=0.5",), see.learning_rate_at(5), 0.001, 0.5),
    Effect(COSINE[1:], see.learning_rate_at(5), 1.0, 0.5, COSINE[:1]),
    Effect(("--gematria_decay_steps=20",), see.learning_rate_at(10), 0.0, 0.5, COSINE),
    Effect(("--gematria_decay_rate=0.5",), see.learning_rate_at(5), 0.0, 0.5, EXPONENTIAL),
    Effect(("--gematria_grad_clip_norm=0.001",), see.largest_update_is_small, False, True, SGD),
    Effect(
        ("--gematria_trained_variables=TokenGraphBuilderModel.task_readout",),
        see.updated_variables,
        see.ANYTHING,
        ["task_default/output/kernel"],
    ),
]

RUNNING = [
    Effect(
        ("--gematria_action=predict",),
        see.refusal,
        "",
        "output.file (--gematria_output_file) is required for the action predict",
    ),
    Effect(steps(3), see.num_steps, 2, 3, steps(2)),
    Effect(("--gematria_training_max_seconds=0.000001",), see.num_steps, 3, 1, steps(3)),
    Effect(KEEPS[:1], see.saved_steps, [], [1], steps(1)),
    Effect(
        ("--gematria_checkpoint_max_to_keep=1",),
        see.saved_steps,
        [1, 2, 3],
        [3],
        (*KEEPS, *steps(3), "--gematria_save_checkpoint_epochs=1"),
    ),
    Effect(("--gematria_save_checkpoint_epochs=2",), see.saved_steps, [3], [2, 3], (*KEEPS, *steps(3))),
    Effect(("--gematria_save_checkpoint_secs=7",), see.save_due, 60, 7),
    Effect(("--gematria_save_summaries_secs=7",), see.report_due, 60, 7),
    Effect(SUMMARIZES[:1], see.summarized_steps, [], [1], steps(1)),
    Effect(
        ("--gematria_save_summaries_epochs=2",), see.summarized_steps, [1, 5], [1, 2, 4, 5], (*SUMMARIZES, *steps(5))
    ),
    Effect(
        ("--gematria_collected_percentile_ranks=25,75",),
        see.summarized_ranks,
        [50, 90, 95, 99],
        [25, 75],
        (*SUMMARIZES, *steps(1)),
    ),
    Effect(
        (f"--gematria_warmstart_checkpoint_file={MODEL}-1",),
        see.warm_start_from,
        None,
        "model.ckpt-1",
        (*KEEPS, *steps(1)),
    ),
    Effect(
        ("--gematria_warmstart_checkpoint_dir={files}/model",),
        see.warm_start_from,
        None,
        "model.ckpt-2",
        (*KEEPS, *steps(1)),
    ),
    Effect(
        ("--gematria_load_global_step_from_ckpt",),
        see.num_steps,
        3,
        1,
        (*steps(3), f"--gematria_warmstart_checkpoint_file={MODEL}-2"),
    ),
    Effect(RESUMES, see.num_steps, 3, 1, (*steps(3), "--gematria_checkpoint_dir={tmp}")),
    Effect(RESUMES[::-1], see.num_steps, 3, 1, (*steps(3), "--gematria_checkpoint_dir={tmp}")),
    Effect(("--gematria_numpy_print_edgeitems=3",), see.edge_items, 20, 3, steps(1)),
    Effect(("--gematria_log_device_placement",), see.logs_devices, False, True, steps(1)),
    Effect(VALIDATES, see.validated_steps, [], [2], steps(2)),
    Effect(("--gematria_validation_steps=1",), see.validated_steps, [2], [1, 2], (*VALIDATES, *steps(2))),
    Effect(("--gematria_validation_max_blocks=3",), see.num_validated, 30, 3, VALIDATES),
    Effect((f"--gematria_checkpoint_file={MODEL}-2",), see.restored_step, 1, 2, PREDICTS),
    Effect(("--gematria_model_name=mine",), see.source_name, see.ANYTHING, "mine, task=default", PREDICTS),
    Effect(("--gematria_output_file={tmp}/b",), see.predicted_files, ["a"], ["b"], PREDICTS),
    Effect(
        ("--gematria_predict_prefix_deltas",),
        see.prefixes_sum_up,
        False,
        True,
        (*PREDICTS, *SEQ2SEQ, "--gematria_checkpoint_file={files}/seq2seq/model.ckpt-1"),
    ),
    Effect(("--gematria_eval_max_evaluations=3",), see.evaluated_steps, (2, 2), (2, 2, 2), EVALUATES),
    Effect(("--gematria_eval_interval_secs=30",), see.seconds_of_evaluation, 5.0, 30.0, EVALUATES),
]

EFFECTS = [*MODELS, *DATA, *LEARNING, *RUNNING]

# What needs processes of its own, or is refused: the file that tests it.
TESTED_ELSEWHERE = {
    "gematria_eval_whole_file": "tests/gematria/test_runner_processes.py",
    "gematria_run_tf_profiler": "tests/gematria/training/test_profiler.py",
    "gematria_tf_profiler_port": "tests/gematria/training/test_profiler.py",
    "gematria_training_task": "tests/gematria/test_config.py",
    "gematria_training_ps_tasks": "tests/gematria/test_config.py",
    "master": "tests/gematria/test_config.py",
    "gematria_synchronous_training": "tests/gematria/test_config.py",
    "gematria_num_training_worker_replicas": "tests/gematria/test_config.py",
    "gematria_num_training_worker_replicas_to_aggregate": "tests/gematria/test_config.py",
    "gematria_graph_def_file": "tests/gematria/test_config.py",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two data sets, files of tokens and annotations, and two small models."""
    folder = tmp_path_factory.mktemp("files")
    _, tokens = write_data(folder, 60)
    shutil.move(write_data(folder / "other", 30, seed=2)[0], folder / "other.tfrecord")
    few = [line for line in tokens.read_text().splitlines() if line != "DIV"]
    (folder / "few_tokens.txt").write_text("\n".join(few) + "\n")
    (folder / "annotations.txt").write_text("cache_misses\nbranches\n")
    for name, extra in (("model", steps(2)), ("seq2seq", (*SEQ2SEQ, *steps(1)))):
        saves = (f"--gematria_checkpoint_dir={folder / name}", "--gematria_save_checkpoint_epochs=1")
        train(settings("run_granite_model", folder, folder, *saves, *extra))
    return folder


def settings(program: str, files: Path, tmp: Path, *arguments: str) -> RunnerConfig:
    line = [
        "--gematria_input_file={files}/blocks.tfrecord",
        "--gematria_tokens_file={files}/tokens.txt",
        "--gematria_throughput_source_filter=test: one",
        "--gematria_max_blocks_in_batch=20",
        *TINY[program],
        *arguments,
    ]
    values = flags.FlagValues()
    define_flags(values, CONFIGS[program])
    values([program, *(part.replace("{files}", str(files)).replace("{tmp}", str(tmp)) for part in line)])
    return config_from_flags(values, CONFIGS[program])


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: f"{effect.program}-{effect.flag}")
def test_the_flag_changes(effect: Effect, files: Path, tmp_path: Path) -> None:
    seen = []
    for name, arguments in (("before", effect.base), ("after", (*effect.base, *effect.arguments))):
        folder = tmp_path / name
        folder.mkdir()
        seen.append(effect.observe(settings(effect.program, files, folder, *arguments), folder))
    assert seen[0] != seen[1]
    assert (seen[0], seen[1]) == (effect.before, effect.after)


def test_every_flag_is_here_or_tested_elsewhere() -> None:
    keys = {item.flag.name: item.key for kind in CONFIGS.values() for item in walk_settings(kind) if item.flag}
    assert {effect.flag for effect in EFFECTS} | TESTED_ELSEWHERE.keys() == keys.keys()
    assert {effect.flag for effect in EFFECTS} & TESTED_ELSEWHERE.keys() == set()
    for name, path in TESTED_ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"--{name}" in text or keys[name] in text, f"{name} is not in {path}"
