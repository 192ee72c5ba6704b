"""The runner's settings: ranges, rules between settings, and what is refused before anything begins."""

import logging
from pathlib import Path

import pytest

from gematria_ops.config import (
    Action,
    BatchConfig,
    LearningRateScheduleType,
    LossType,
    ModelConfig,
    OptimizerConfig,
    RunnerConfig,
)
from gematria_ops.config.readiness import check_runner
from ops_common.errors import ConfigError

ROOT = Path(__file__).parents[2]


def settings(*overrides: str) -> RunnerConfig:
    return RunnerConfig.from_toml(None, overrides)


def test_a_toml_file_and_overrides_fill_the_sections(tmp_path: Path) -> None:
    path = tmp_path / "ithemal.toml"
    path.write_text('num_steps = 5\n[loss]\nloss_type = "HUBER"\n[batch]\nmax_blocks = 100\n')
    config = RunnerConfig.from_toml(path, ["model.output_layers=32, 33, 34", "optimizer.learning_rate=0.5"])
    assert config.num_steps == 5
    assert config.loss.loss_type is LossType.HUBER
    assert config.batch == BatchConfig(max_blocks=100)
    assert config.model == ModelConfig(output_layers=(32, 33, 34))
    assert config.optimizer == OptimizerConfig(learning_rate=0.5)
    assert config.fingerprint() != RunnerConfig().fingerprint()


@pytest.mark.parametrize("name", ["ithemal.toml", "smoke.toml"])
def test_the_committed_files_are_valid(name: str) -> None:
    assert RunnerConfig.from_toml(ROOT / "config" / "gematria" / name).action is Action.TRAIN


def test_an_unknown_key_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    path = tmp_path / "ithemal.toml"
    path.write_text("[optimizer]\nlerning_rate = 0.1\n")
    with pytest.raises(ConfigError) as caught:
        RunnerConfig.from_toml(path)
    assert caught.value.message == f"{path}: unknown setting 'optimizer.lerning_rate'"
    assert caught.value.hint == "did you mean 'optimizer.learning_rate'?"


@pytest.mark.parametrize("layers", ["", "255", "128,255", "128, 255", "[128, 255]"])
def test_layer_lists(layers: str) -> None:
    expected = tuple(int(part) for part in layers.strip("[]").split(",") if part)
    assert settings(f"model.output_layers={layers}").model.output_layers == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.output_layers=-1, 10", "model.output_layers.0: Input should be greater than 0"),
        ("model.output_layers=0.1, 0.2", "model.output_layers.0: Input should be a valid integer"),
        ("model.task_output_layers=256,foo,128", "model.task_output_layers.1: Input should be a valid integer"),
        ("model.task_output_layers=1,,2", "model.task_output_layers.1: Input should be a valid integer"),
        ("model.token_embedding_size=0", "model.token_embedding_size: Input should be greater than 0"),
        ("model.instruction_embedding_size=-2", "model.instruction_embedding_size: Input should be greater than 0"),
        ("model.instruction_embedding_size=3", "model.instruction_embedding_size: must be even"),
        ("model.block_embedding_size=255", "model.block_embedding_size: must be even"),
        ("loss.collected_percentile_ranks=50,a", "loss.collected_percentile_ranks.1: Input should be a valid integer"),
        ("loss.collected_percentile_ranks=50.5", "loss.collected_percentile_ranks.0: Input should be a valid integer"),
        ("loss.collected_percentile_ranks=101", "collected_percentile_ranks.0: Input should be less than or equal"),
        ("loss.loss_type=L1", "loss.loss_type: must be one of MEAN_SQUARED_ERROR, MEAN_ABSOLUTE_ERROR, HUBER"),
        ("optimizer.learning_rate=-0.1", "optimizer.learning_rate: Input should be greater than or equal to 0"),
        ("optimizer.decay_steps=-1", "optimizer.decay_steps: Input should be greater than or equal to 0"),
        (
            "tokens.out_of_vocabulary_injection_probability=1.01",
            "tokens.out_of_vocabulary_injection_probability: Input should be less than or equal to 1",
        ),
        (
            "tokens.out_of_vocabulary_injection_probability=-0.01",
            "tokens.out_of_vocabulary_injection_probability: Input should be greater than or equal to 0",
        ),
        ('input.source_filters=["a("]', "input.source_filters: 'a(' is not a regular expression"),
        ('input.task_names=["a", "a"]', "input.task_names: names must be distinct, repeated: a"),
        ("batch.max_blocks=-1", "batch.max_blocks: Input should be greater than or equal to 0"),
        ("checkpoint.max_to_keep=-1", "checkpoint.max_to_keep: Input should be greater than or equal to 0"),
        ("summary.tf_profiler_port=65536", "summary.tf_profiler_port: Input should be less than or equal to 65535"),
        ("distributed.num_replicas=0", "distributed.num_replicas: Input should be greater than 0"),
    ],
)
def test_values_out_of_range_are_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(override)
    assert message in caught.value.message


@pytest.mark.parametrize("value", [0, 1])
def test_the_ends_of_a_probability_are_allowed(value: int) -> None:
    settings(f"tokens.out_of_vocabulary_injection_probability={value}")


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (
            ['input.task_names=["a", "b"]'],
            ["--gematria_task_names", "--gematria_throughput_source_filter", "2 names, 1 filters"],
        ),
        (
            ['input.task_names=["a"]', 'input.source_filters=["a", "b"]', "action=predict"],
            ["--gematria_task_names", "1 names, 2 filters"],
        ),
        (
            ["optimizer.learning_rate_schedule=COSINE"],
            ["--gematria_learning_rate_schedule", "COSINE", "--gematria_decay_steps"],
        ),
        (
            [
                "tokens.out_of_vocabulary_injection_probability=0.1",
                'tokens.out_of_vocabulary_replacement_token=""',
            ],
            [
                "--gematria_out_of_vocabulary_injection_probability",
                "--gematria_out_of_vocabulary_replacement_token",
            ],
        ),
        (
            ["checkpoint.warmstart_file=a", "checkpoint.warmstart_dir=b"],
            ["--gematria_warmstart_checkpoint_file", "--gematria_warmstart_checkpoint_dir"],
        ),
        (["checkpoint.resume_from_dir=a"], ["--gematria_resume_from_dir", "--gematria_resume_to_dir"]),
        (["checkpoint.resume_to_dir=a"], ["--gematria_resume_from_dir", "--gematria_resume_to_dir"]),
        (
            ["summary.eval_whole_file=true", "summary.eval_max_evaluations=1"],
            ["--gematria_eval_whole_file", "--gematria_eval_max_evaluations"],
        ),
    ],
)
def test_contradictions_are_refused_with_both_names(overrides: list[str], names: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(*overrides)
    assert [name for name in names if name not in caught.value.message] == []


def test_the_export_does_not_look_at_task_names() -> None:
    settings('input.task_names=["a", "b"]', "action=export_graph_def")


def test_schedules_with_decay_steps_are_allowed() -> None:
    for schedule in LearningRateScheduleType:
        settings(f"optimizer.learning_rate_schedule={schedule.name}", "optimizer.decay_steps=1")


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ([], ("default",)),
        (["input.source_filters=[]"], ("default",)),
        (['input.source_filters=["a", "b"]'], ("task_1", "task_2")),
        (['input.source_filters=["a", "b"]', 'input.task_names=["x", "y"]'], ("x", "y")),
        (["input.task_names=x"], ("x",)),
    ],
)
def test_task_names(overrides: list[str], names: tuple[str, ...]) -> None:
    assert settings(*overrides).task_names() == names


READY = ("tokens.file=t", "input.files=i", "checkpoint.directory=c")


@pytest.mark.parametrize(
    ("overrides", "flag"),
    [
        (["distributed.num_replicas=2"], "--gematria_num_training_worker_replicas"),
        (["distributed.num_replicas_to_aggregate=2"], "--gematria_num_training_worker_replicas_to_aggregate"),
        (["distributed.ps_tasks=1"], "--gematria_training_ps_tasks"),
        (["distributed.task_index=1"], "--gematria_training_task"),
        (["distributed.master=grpc://x"], "--master"),
        (["tokens.annotation_names_file=a"], "--gematria_annotation_names_file"),
        (["optimizer.trained_variables=a"], "--gematria_trained_variables"),
        (["matmul_precision=BFLOAT16"], "--gematria_matmul_precision"),
    ],
)
def test_what_is_not_there_is_refused_by_name_and_with_advice(overrides: list[str], flag: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_runner(settings(*READY, *overrides))
    assert f"({flag})" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("overrides", "flag"),
    [
        (["input.files=i"], "--gematria_tokens_file"),
        (["tokens.file=t"], "--gematria_input_file"),
        (["tokens.file=t", "input.files=i", "action=predict", "output.file=o"], "--gematria_checkpoint_file"),
        (["tokens.file=t", "input.files=i", "action=predict", "checkpoint.file=c"], "--gematria_output_file"),
        (["tokens.file=t", "action=export_graph_def"], "--gematria_graph_def_file"),
        (["output.graph_def_file=g", "action=export_graph_def"], "--gematria_tokens_file"),
        (["tokens.file=t", "input.files=i", "action=eval", "summary.directory=s"], "--gematria_checkpoint_dir"),
        (["tokens.file=t", "input.files=i", "action=eval", "checkpoint.directory=c"], "--gematria_summary_dir"),
        (["tokens.file=t", "input.files=i", "action=eval", "summary.eval_whole_file=1"], "--gematria_checkpoint_dir"),
    ],
)
def test_what_an_action_needs_is_asked_for(overrides: list[str], flag: str) -> None:
    with pytest.raises(ConfigError, match=rf"\({flag}\) is required for the action [a-z_]+"):
        check_runner(settings(*overrides))


def test_what_an_action_needs_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check_runner(settings(*READY))
        check_runner(settings("tokens.file=t", "input.files=i", "action=predict", "output.file=o", "checkpoint.file=c"))
        check_runner(settings("tokens.file=t", "action=export_graph_def", "output.graph_def_file=g"))
        check_runner(settings(*READY, "action=eval", "summary.directory=s"))
        check_runner(settings(*READY, "action=eval", "summary.eval_whole_file=1"))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("override", "flag"),
    [
        ("distributed.synchronous=false", "--gematria_synchronous_training"),
        ("optimizer.grad_clip_norm=-1", "--gematria_grad_clip_norm"),
        ("checkpoint.directory=", "--gematria_checkpoint_dir"),
        ("optimizer.decay_steps=5", "--gematria_decay_steps"),
        ("optimizer.decay_rate=0.5", "--gematria_decay_rate"),
        ("checkpoint.load_global_step=true", "--gematria_load_global_step_from_ckpt"),
        ("summary.tf_profiler_port=7000", "--gematria_tf_profiler_port"),
        ("output.graph_def_file=g", "--gematria_graph_def_file"),
        ("model.rnn_output_size=8", "--gematria_rnn_output_size"),
        ("model.rnn_bidirectional=true", "--gematria_rnn_bidirectional"),
        ("model.rnn_dropout=0.5", "--gematria_rnn_dropout"),
    ],
)
def test_what_has_no_effect_is_warned_about(override: str, flag: str, caplog: pytest.LogCaptureFixture) -> None:
    kind = "graph" if "rnn" in override else "sequence"
    with caplog.at_level(logging.WARNING):
        check_runner(settings(*READY, f"model.kind={kind}", override))
    assert [message for message in caplog.messages if flag in message] == caplog.messages != []
