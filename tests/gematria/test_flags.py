"""The flags: all of the public runner's sequence-model flags, with their types and defaults, and what they set."""

import subprocess
import sys

import pytest
from absl import flags

from gematria_ops.config import LossType, RunnerConfig
from gematria_ops.flags import config_from_flags, define_flags
from ops_common.config import walk_settings
from ops_common.errors import UsageError

# Specification 6.1, 6.4 and 6.11: flag, absl's flag type, default as parsed.
PUBLIC_FLAGS = [
    ("gematria_action", "string enum", "TRAIN"),
    ("gematria_input_file", "comma separated list of strings", []),
    ("gematria_input_file_scaling", "float", 1.0),
    ("gematria_throughput_source_filter", "multi string", [".*"]),
    ("gematria_task_names", "multi string", []),
    ("gematria_model_name", "string", None),
    ("gematria_output_file", "string", ""),
    ("gematria_drop_invalid_blocks", "bool", False),
    ("gematria_training_throughput_selection", "string enum", "MEAN"),
    ("gematria_max_blocks_in_batch", "int", None),
    ("gematria_max_instructions_in_batch", "int", 1_000_000),
    ("gematria_training_num_epochs", "int", 10_000),
    ("gematria_training_randomize_batches", "bool", True),
    ("gematria_use_seq2seq_loss", "bool", True),
    ("gematria_random_seed", "int", 123456789),
    ("gematria_numpy_print_edgeitems", "int", 20),
    ("gematria_checkpoint_dir", "string", ""),
    ("gematria_checkpoint_max_to_keep", "int", 100),
    ("gematria_checkpoint_file", "string", ""),
    ("gematria_warmstart_checkpoint_file", "string", None),
    ("gematria_warmstart_checkpoint_dir", "string", None),
    ("gematria_load_global_step_from_ckpt", "bool", False),
    ("gematria_resume_from_dir", "string", None),
    ("gematria_resume_to_dir", "string", None),
    ("gematria_summary_dir", "string", ""),
    ("gematria_collected_percentile_ranks", "comma separated list of strings", ["50", "90", "95", "99"]),
    ("gematria_save_checkpoint_epochs", "int", 100),
    ("gematria_save_summaries_epochs", "int", 100),
    ("gematria_eval_interval_secs", "int", 60),
    ("gematria_loss_type", "string enum", "MEAN_SQUARED_ERROR"),
    ("gematria_loss_normalization", "string enum", "NONE"),
    ("gematria_learning_rate", "float", 0.001),
    ("gematria_optimizer_type", "string enum", "ADAM"),
    ("gematria_learning_rate_schedule", "string enum", "NONE"),
    ("gematria_decay_steps", "int", 0),
    ("gematria_decay_rate", "float", 0.0),
    ("gematria_grad_clip_norm", "float", None),
    ("gematria_trained_variables", "comma separated list of strings", []),
    ("gematria_training_task", "int", 0),
    ("gematria_training_ps_tasks", "int", 0),
    ("master", "string", ""),
    ("gematria_synchronous_training", "bool", True),
    ("gematria_num_training_worker_replicas", "int", 1),
    ("gematria_num_training_worker_replicas_to_aggregate", "int", 1),
    ("gematria_run_tf_profiler", "bool", False),
    ("gematria_tf_profiler_port", "int", 6009),
    ("gematria_save_checkpoint_secs", "int", 60),
    ("gematria_save_summaries_secs", "int", 60),
    ("gematria_log_device_placement", "bool", False),
    ("gematria_graph_def_file", "string", None),
    ("gematria_tokens_file", "string", None),
    ("gematria_annotation_names_file", "string", None),
    ("gematria_out_of_vocabulary_replacement_token", "string", "_UNKNOWN_"),
    ("gematria_out_of_vocabulary_injection_probability", "float", 0.0),
    ("gematria_token_embedding_size", "int", 256),
    ("gematria_instruction_embedding_size", "int", 256),
    ("gematria_block_embedding_size", "int", 256),
    ("gematria_output_layers", "string", ""),
    ("gematria_task_output_layers", "string", ""),
    ("gematria_bidirectional", "bool", False),
    ("gematria_seq2seq", "bool", False),
]

ENUM_MEMBERS = {
    "gematria_action": ["TRAIN", "EVAL", "PREDICT", "EXPORT_GRAPH_DEF"],
    "gematria_training_throughput_selection": ["RANDOM", "FIRST", "MEAN", "MIN"],
    "gematria_matmul_precision": ["FLOAT32", "BFLOAT16"],
    "gematria_loss_type": ["MEAN_SQUARED_ERROR", "MEAN_ABSOLUTE_ERROR", "HUBER"],
    "gematria_loss_normalization": ["NONE", "PERCENTAGE_ERROR", "EXPECTED_VALUE_GREATER_THAN_ONE"],
    "gematria_optimizer_type": ["ADAM", "SGD", "RMSPROP"],
    "gematria_learning_rate_schedule": [
        "NONE",
        "COSINE",
        "EXPONENTIAL",
        "INVERSE_TIME",
        "LINEAR_COSINE",
        "NATURAL_EXP",
        "NOISY_LINEAR_COSINE",
        "POLYNOMIAL",
        "COSINE_RESTARTS",
    ],
}


def parse(*arguments: str) -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(values)
    values(["program", *arguments])
    return values


def config(*arguments: str) -> RunnerConfig:
    return config_from_flags(parse(*arguments), RunnerConfig)


@pytest.mark.parametrize(("name", "kind", "default"), PUBLIC_FLAGS)
def test_public_flag(name: str, kind: str, default: object) -> None:
    flag = parse()[name]
    assert (flag.flag_type(), flag.value) == (kind, default)
    assert flag.help


@pytest.mark.parametrize(("name", "members"), ENUM_MEMBERS.items())
def test_enumerations(name: str, members: list[str]) -> None:
    assert list(parse()[name].parser.enum_values) == members
    assert parse(f"--{name}={members[-1].lower()}")[name].value == members[-1]


def test_flags_of_our_own_say_so() -> None:
    public = {name for name, _, _ in PUBLIC_FLAGS}
    ours = {item.flag.name for item in walk_settings(RunnerConfig) if item.flag and item.flag.help.startswith("(ours)")}
    every = {item.flag.name for item in walk_settings(RunnerConfig) if item.flag}
    assert every - public == ours
    # The kind of model is chosen by the program, or by the settings file.
    assert [item.key for item in walk_settings(RunnerConfig) if not item.flag] == ["model.kind"]


def test_without_arguments_flags_give_the_default_settings() -> None:
    assert config() == RunnerConfig()


# A value for every flag that is not its default; the setting must follow it.
OTHER_VALUES = {
    "string enum": lambda default, name: ENUM_MEMBERS[name][-1],
    "comma separated list of strings": lambda default, name: "1,2",
    "multi string": lambda default, name: "other",
    "string": lambda default, name: "7",
    "float": lambda default, name: "0.25",
    "int": lambda default, name: "8",
    "bool": lambda default, name: str(not default).lower(),
}


@pytest.mark.parametrize("name", [item.flag.name for item in walk_settings(RunnerConfig) if item.flag])
def test_each_flag_sets_its_own_setting_and_no_other(name: str) -> None:
    flag = parse()[name]
    keys = {item.flag.name: item.key for item in walk_settings(RunnerConfig) if item.flag}
    argument = f"--{name}={OTHER_VALUES[flag.flag_type()](flag.default, name)}"
    # What a value needs beside it, where a rule connects two settings.
    companions = {
        "gematria_learning_rate_schedule": ["--gematria_decay_steps=1"],
        "gematria_resume_from_dir": ["--gematria_resume_to_dir=x"],
        "gematria_resume_to_dir": ["--gematria_resume_from_dir=x"],
    }.get(name, [])
    before, after = (
        config(*(companions if name == "gematria_learning_rate_schedule" else [])),
        config(*companions, argument),
    )
    changed = {
        item.key for item in walk_settings(RunnerConfig) if value_at(before, item.key) != value_at(after, item.key)
    }
    allowed = {keys[name], *(keys[part.partition("=")[0].strip("-")] for part in companions)}
    assert keys[name] in changed <= allowed


def value_at(config: object, key: str) -> object:
    for part in key.split("."):
        config = getattr(config, part)
    return config


def test_absl_syntax() -> None:
    found = config(
        "--gematria_input_file=a.tfrecord,b.tfrecord",
        "--gematria_throughput_source_filter=ithemal: kind=KIND_MEASURED, uarch=ARCH_HASWELL",
        "--gematria_throughput_source_filter",
        "bhive: skl",
        "--gematria_bidirectional",
        "--nogematria_training_randomize_batches",
        "--gematria_loss_type=mean_Absolute_error",
        "--gematria_output_layers=32, 33, 34",
    )
    assert found.input.files == ("a.tfrecord", "b.tfrecord")
    assert found.input.source_filters == ("ithemal: kind=KIND_MEASURED, uarch=ARCH_HASWELL", "bhive: skl")
    assert found.model.bidirectional
    assert not found.batch.randomize
    assert found.loss.loss_type is LossType.MEAN_ABSOLUTE_ERROR
    assert found.model.output_layers == (32, 33, 34)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gematria_token_embedding_size=0"], "--gematria_token_embedding_size: Input should be greater than 0"),
        (["--gematria_output_layers=256,foo"], "--gematria_output_layers: Input should be a valid integer"),
        (["--gematria_output_layers=-1, 10"], "--gematria_output_layers: Input should be greater than 0"),
        (["--gematria_collected_percentile_ranks=50,x"], "--gematria_collected_percentile_ranks: Input should be"),
        (["--gematria_learning_rate=nan"], "--gematria_learning_rate: Input should be a finite number"),
        (["--gematria_task_names=a", "--gematria_task_names=b"], "--gematria_task_names"),
    ],
)
def test_values_that_flags_allow_and_settings_do_not(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        config(*arguments)
    assert message in caught.value.message


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gematria_ops.run_sequence_model", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_lists_every_flag() -> None:
    text = run("--help").stdout
    names = [item.flag.name for item in walk_settings(RunnerConfig) if item.flag]
    assert [name for name in names if f"--{name}:" not in text and f"--[no]{name}:" not in text] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gematria_lerning_rate=1"], "Unknown command line flag 'gematria_lerning_rate'. Did you mean"),
        (["--gematria_loss_type=L3"], "value should be one of <MEAN_SQUARED_ERROR|MEAN_ABSOLUTE_ERROR|HUBER>"),
        (["--gematria_training_num_epochs=many"], "--gematria_training_num_epochs=many"),
        (["train"], "not a flag: 'train'"),
        ([], "--gematria_tokens_file) is required"),
        (["--gematria_action=eval"], "--gematria_tokens_file) is required for the action eval"),
        (["--gematria_grad_clip_norm=-inf"], "--gematria_grad_clip_norm: Input should be a finite number"),
    ],
)
def test_a_wrong_command_line_ends_with_one_message_and_code_2(arguments: list[str], message: str) -> None:
    finished = run(*arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stdout == ""
