"""Every setting of the Gematria runner, declared once: type, range, default, flag and help.

Flag names, types, defaults and validators are those of the public runner; a flag of ours alone begins with "(ours)".
Read from top to bottom: what is trained (model, loss, optimizer), on what (tokens, input, batch), what is written while
it trains (checkpoint, summary, validation), where it runs (distributed), and what comes out (output).

A range is checked here, a rule between settings in ``runner.py``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gematria_ops.config.choices import (
    ErrorNormalization,
    LearningRateScheduleType,
    LossType,
    OptimizerType,
    ThroughputSelection,
)
from ops_common.config import Section, setting


def _split_commas(value: Any) -> Any:
    """Take "32, 33" for (32, 33) and 32 for (32,), so that a list may be one word in a flag or an override."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",")) if value.strip() else ()
    return (value,) if isinstance(value, int | float) else value


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _check_even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even: one half is the LSTM's output, the other its state")
    return value


def _check_regexes(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return patterns


def _check_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"names must be distinct, repeated: {', '.join(repeated)}")
    return names


PositiveInt = Annotated[int, Field(gt=0)]
NaturalInt = Annotated[int, Field(ge=0)]
EvenSize = Annotated[int, Field(gt=0), AfterValidator(_check_even)]
NonNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
LayerSizes = Annotated[tuple[PositiveInt, ...], BeforeValidator(_split_commas)]
PercentileRanks = Annotated[tuple[Annotated[int, Field(ge=0, le=100)], ...], BeforeValidator(_split_commas)]
CommaWords = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]
Regexes = Annotated[tuple[str, ...], BeforeValidator(_one_or_many), AfterValidator(_check_regexes)]
DistinctNames = Annotated[tuple[str, ...], BeforeValidator(_one_or_many), AfterValidator(_check_distinct)]


class ModelConfig(Section):
    """The hierarchical LSTM (Ithemal and Ithemal+)."""

    kind: Literal["sequence"] = "sequence"
    token_embedding_size: PositiveInt = setting(256, "gematria_token_embedding_size", "Size of a token's embedding.")
    instruction_embedding_size: EvenSize = setting(
        256, "gematria_instruction_embedding_size", "Size of an instruction's embedding; even."
    )
    block_embedding_size: EvenSize = setting(
        256, "gematria_block_embedding_size", "Size of a basic block's embedding; even."
    )
    output_layers: LayerSizes = setting(
        (), "gematria_output_layers", "Sizes of the decoder layers shared by all tasks, comma-separated.", as_text=True
    )
    task_output_layers: LayerSizes = setting(
        (), "gematria_task_output_layers", "Sizes of the decoder layers of each task, comma-separated.", as_text=True
    )
    bidirectional: bool = setting(
        False, "gematria_bidirectional", "Read the instructions of a block in both directions."
    )
    seq2seq: bool = setting(
        False, "gematria_seq2seq", "Predict a contribution for every instruction; a block is the sum of its own."
    )


class LossConfig(Section):
    """What the training minimises, and which error statistics it reports."""

    loss_type: LossType = setting(
        LossType.MEAN_SQUARED_ERROR, "gematria_loss_type", "How the normalised error becomes the loss."
    )
    loss_normalization: ErrorNormalization = setting(
        ErrorNormalization.NONE, "gematria_loss_normalization", "By what the error is divided."
    )
    use_seq2seq_loss: bool = setting(
        True,
        "gematria_use_seq2seq_loss",
        "Seq2seq models: loss on the instructions' contributions (true) or on whole blocks (false).",
    )
    collected_percentile_ranks: PercentileRanks = setting(
        (50, 90, 95, 99),
        "gematria_collected_percentile_ranks",
        "Percentile ranks of the error statistics: integers from 0 to 100.",
    )


class OptimizerConfig(Section):
    """The optimiser, its learning rate, and the gradients it sees."""

    optimizer_type: OptimizerType = setting(OptimizerType.ADAM, "gematria_optimizer_type", "The optimiser.")
    learning_rate: NonNegative = setting(0.001, "gematria_learning_rate", "Learning rate, before the schedule.")
    learning_rate_schedule: LearningRateScheduleType = setting(
        LearningRateScheduleType.NONE, "gematria_learning_rate_schedule", "How the rate falls with the global step."
    )
    decay_steps: NaturalInt = setting(0, "gematria_decay_steps", "Steps over which a schedule decays.")
    decay_rate: float = setting(
        0.0, "gematria_decay_rate", "Rate of the schedules EXPONENTIAL, INVERSE_TIME and NATURAL_EXP."
    )
    grad_clip_norm: float | None = setting(
        None, "gematria_grad_clip_norm", "Clip each variable's gradient to this L2 norm; unset or 0: no clipping."
    )
    trained_variables: CommaWords = setting(
        (), "gematria_trained_variables", "Groups of variables to train, comma-separated; empty: everything."
    )


class TokensConfig(Section):
    """The vocabulary, and what happens to a token outside it."""

    file: str | None = setting(
        None, "gematria_tokens_file", "The vocabulary: one token per line, # begins a comment. Required."
    )
    annotation_names_file: str | None = setting(
        None, "gematria_annotation_names_file", "Names of instruction annotations, one per line (graph models)."
    )
    out_of_vocabulary_replacement_token: str = setting(
        "_UNKNOWN_",
        "gematria_out_of_vocabulary_replacement_token",
        "Stands for every unknown token; empty: an unknown token is an error.",
    )
    out_of_vocabulary_injection_probability: Probability = setting(
        0.0,
        "gematria_out_of_vocabulary_injection_probability",
        "Probability of putting the replacement token in a token's place while training.",
    )


class InputConfig(Section):
    """Which blocks are read, and what their labels are."""

    files: CommaWords = setting((), "gematria_input_file", "TFRecord files of basic blocks, comma-separated.")
    scaling: float = setting(
        1.0, "gematria_input_file_scaling", "Multiplies every throughput that is read (train and eval)."
    )
    source_filters: Regexes = setting(
        (".*",),
        "gematria_throughput_source_filter",
        "Regular expression of a task's throughput source, matched at its beginning; given once per task.",
        repeated=True,
    )
    task_names: DistinctNames = setting(
        (), "gematria_task_names", "Name of a task, given once per task; or never, for automatic names.", repeated=True
    )
    throughput_selection: ThroughputSelection = setting(
        ThroughputSelection.MEAN,
        "gematria_training_throughput_selection",
        "Which of a block's throughput samples is its label.",
    )
    drop_invalid_blocks: bool = setting(
        False, "gematria_drop_invalid_blocks", "Drop blocks the model cannot encode instead of failing."
    )


class BatchConfig(Section):
    """How blocks are grouped. A block over a limit is counted, never cut."""

    max_blocks: NaturalInt | None = setting(
        None, "gematria_max_blocks_in_batch", "Blocks in a batch; unset or 0: the whole data set."
    )
    max_instructions: NaturalInt = setting(
        1_000_000, "gematria_max_instructions_in_batch", "Instructions in a batch; 0: no limit."
    )
    randomize: bool = setting(
        True, "gematria_training_randomize_batches", "Draw each step's blocks at random instead of cycling in order."
    )


class CheckpointConfig(Section):
    """Where the state of a training is kept, and what a training starts from."""

    directory: str = setting(
        "", "gematria_checkpoint_dir", "Folder of the checkpoints; training resumes from the newest one in it."
    )
    max_to_keep: NaturalInt = setting(100, "gematria_checkpoint_max_to_keep", "Newest checkpoints kept; 0: all.")
    file: str = setting("", "gematria_checkpoint_file", "Checkpoint that predict uses, e.g. DIR/model.ckpt-1000.")
    save_steps: NaturalInt = setting(100, "gematria_save_checkpoint_epochs", "Save every N steps; 0: not by steps.")
    save_seconds: NaturalInt = setting(60, "gematria_save_checkpoint_secs", "Save every N seconds; 0: not by time.")
    warmstart_file: str | None = setting(
        None, "gematria_warmstart_checkpoint_file", "Checkpoint whose weights a fresh training starts from."
    )
    warmstart_dir: str | None = setting(
        None, "gematria_warmstart_checkpoint_dir", "Folder whose newest checkpoint a fresh training starts from."
    )
    load_global_step: bool = setting(
        False, "gematria_load_global_step_from_ckpt", "A warm start also takes over the global step."
    )
    resume_from_dir: str | None = setting(
        None, "gematria_resume_from_dir", "Folder copied to gematria_resume_to_dir before a fresh training."
    )
    resume_to_dir: str | None = setting(
        None, "gematria_resume_to_dir", "Copy of gematria_resume_from_dir; the checkpoint folder lies in it."
    )


class SummaryConfig(Section):
    """What is told about a training while it runs."""

    directory: str = setting("", "gematria_summary_dir", "Folder of the TensorBoard event files; empty: none.")
    save_steps: NaturalInt = setting(100, "gematria_save_summaries_epochs", "Write every N steps; 0: not by steps.")
    save_seconds: NaturalInt = setting(60, "gematria_save_summaries_secs", "Write every N seconds; 0: not by time.")
    eval_interval_seconds: NaturalInt = setting(
        60, "gematria_eval_interval_secs", "Least seconds between two evaluations of the eval action."
    )
    eval_max_evaluations: NaturalInt = setting(
        0, "gematria_eval_max_evaluations", "(ours) End the eval action after N evaluations; 0: never."
    )
    eval_whole_file: bool = setting(
        False,
        "gematria_eval_whole_file",
        "(ours) The eval action evaluates all blocks once, with gematria_checkpoint_file or else with the newest "
        "checkpoint, prints a table, and ends.",
    )
    numpy_print_edgeitems: PositiveInt = setting(
        20, "gematria_numpy_print_edgeitems", "Items shown at each end of a long array in the log."
    )
    run_tf_profiler: bool = setting(False, "gematria_run_tf_profiler", "Start TensorFlow's profiler server.")
    tf_profiler_port: Port = setting(6009, "gematria_tf_profiler_port", "Port of the profiler server.")


class ValidationConfig(Section):
    """Held-out blocks that are predicted now and then while training, for the learning curve."""

    files: CommaWords = setting(
        (),
        "gematria_validation_input_file",
        "(ours) TFRecord files of held-out blocks, comma-separated; none: no curve.",
    )
    every_steps: PositiveInt = setting(1000, "gematria_validation_steps", "(ours) Predict them every N steps.")
    max_blocks: NaturalInt = setting(
        5000, "gematria_validation_max_blocks", "(ours) How many of them, drawn once with the seed; 0: all."
    )


class DistributedConfig(Section):
    """Training by several workers."""

    task_index: NaturalInt = setting(0, "gematria_training_task", "Number of this worker; 0 is the chief.")
    ps_tasks: NaturalInt = setting(0, "gematria_training_ps_tasks", "Number of parameter servers.")
    master: str = setting("", "master", "Address of the TensorFlow runtime.")
    synchronous: bool = setting(True, "gematria_synchronous_training", "Workers update the weights together.")
    num_replicas: PositiveInt = setting(1, "gematria_num_training_worker_replicas", "Number of workers.")
    num_replicas_to_aggregate: PositiveInt = setting(
        1, "gematria_num_training_worker_replicas_to_aggregate", "Gradients joined in one synchronous step."
    )
    log_device_placement: bool = setting(
        False, "gematria_log_device_placement", "Log which device runs each operation."
    )


class OutputConfig(Section):
    """What predict and export write."""

    file: str = setting("", "gematria_output_file", "TFRecord file that predict writes.")
    model_name: str | None = setting(
        None, "gematria_model_name", "Name of the model in a prediction's source; unset: made from its settings."
    )
    graph_def_file: str | None = setting(
        None, "gematria_graph_def_file", "Text GraphDef file that export_graph_def writes."
    )
    prefix_deltas: bool = setting(
        False,
        "gematria_predict_prefix_deltas",
        "(ours) Prefix predictions of seq2seq models hold each instruction's own share, not the running sum.",
    )
