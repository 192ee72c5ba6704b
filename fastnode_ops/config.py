"""Every setting of the completion model's pipeline, with its default and its limits.

TOML files under `config/fastnode/` and the variables of the Makefile fill these records; nothing below the command line
reads anything else. The defaults are the reference's (specification 1.5 and 8.1).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ops_common.config import Section, fingerprint

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, le=1e9)]
Share = Annotated[float, Field(ge=0, le=1)]

EdgeType = Literal["ast_child", "next_token", "data_flow", "scope"]
EDGE_TYPES: tuple[EdgeType, ...] = ("ast_child", "next_token", "data_flow", "scope")

TaskName = Literal["call", "attr", "attr_base", "arg_type", "kwarg_name", "arg_placeholder"]
TASKS: tuple[TaskName, ...] = ("call", "attr", "attr_base", "arg_type", "kwarg_name", "arg_placeholder")
"""The six tasks, in the order in which a batch is built."""

NAME_TASKS: tuple[TaskName, ...] = ("call", "attr_base")
"""Tasks of the name decoder; the others are the production decoder's."""

Split = Literal["train", "validation", "test"]


class GraphConfig(Section):
    """How much of a file the network sees; the limits are there because a server takes it from its clients."""

    max_hops: Annotated[int, Field(ge=1, le=10)] = 3
    max_subtokens: Annotated[int, Field(ge=1, le=100)] = 9
    max_type_subtokens: Annotated[int, Field(ge=1, le=100)] = 9
    max_context_tokens: Annotated[int, Field(ge=1, le=1_000)] = 10
    max_nodes: Annotated[int, Field(ge=1, le=100_000)] = 3_000
    max_file_bytes: Annotated[int, Field(ge=1, le=1_000_000)] = 30_000


class DrawConfig(Section):
    """How symbols, files and wrong answers are drawn."""

    num_negatives: Annotated[int, Field(ge=1, le=1_000)] = 5
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] = 20
    max_files_per_symbol: Annotated[int, Field(ge=1, le=1_000_000)] = 5_000


class SampleConfig(Section):
    """How a training batch is put together: target size, weights of the tasks."""

    max_samples: Positive = 40
    call_proportion: Weight = 15
    attr_proportion: Weight = 15
    attr_base_proportion: Weight = 5
    arg_type_proportion: Weight = 15
    kwarg_name_proportion: Weight = 15
    arg_placeholder_proportion: Weight = 45

    def proportions(self) -> dict[TaskName, float]:
        """Return the weight of each task, in the order of `TASKS`."""
        return {task: getattr(self, f"{task}_proportion") for task in TASKS}


class ModelConfig(Section):
    """Sizes and choices of the network (specification 8.1)."""

    type_depth: Positive = 150
    subtoken_depth: Positive = 150
    num_hops: NotNegative = 3
    pooling: Literal["max", "sum", "mean"] = "max"
    tie_directions: bool = True
    edge_attention: bool = True
    separate_cells: bool = False
    concatenate_contexts: bool = False
    loss: Literal["max_margin", "cross_entropy"] = "max_margin"
    margin: Annotated[float, Field(gt=0)] = 1.0
    target_prior: bool = False

    @property
    def depth(self) -> int:
        """Width of a node's state: types beside subtokens."""
        return self.type_depth + self.subtoken_depth


class TrainConfig(Section):
    """The optimiser, and how often to save, report and validate."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    warmup_steps: NotNegative = 0
    decay_steps: NotNegative = 0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    seed: NotNegative = 243
    checkpoint_steps: Positive = 100_000
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 600.0
    summary_steps: Positive = 50
    validation_steps: NotNegative = 500
    num_validation_batches: Positive = 4
    batches_per_response: Positive = 20


class CodebookConfig(Section):
    """How the three tables are compressed: codes per row, entries per codebook (specification 12.1)."""

    type_books: Positive = 32
    type_entries: Annotated[int, Field(ge=2, le=256)] = 64
    subtoken_books: Positive = 32
    subtoken_entries: Annotated[int, Field(ge=2, le=256)] = 32
    production_books: Positive = 32
    production_entries: Annotated[int, Field(ge=2, le=256)] = 64
    max_epochs: Positive = 1_500
    max_relative_error: Share = 0.75  # fresh tables of the default sizes, which are noise, come to 0.46 to 0.65


class ExpressionConfig(Section):
    """Everything about one model."""

    graph: GraphConfig = GraphConfig()
    draws: DrawConfig = DrawConfig()
    samples: SampleConfig = SampleConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    codebook: CodebookConfig = CodebookConfig()

    @model_validator(mode="after")
    def _is_trainable(self) -> ExpressionConfig:
        active = [task for task, weight in self.samples.proportions().items() if weight > 0]
        if not active:
            raise ValueError("samples: at least one task needs a proportion above 0")
        if self.samples.max_samples < len(active):
            raise ValueError(f"samples.max_samples: must be at least {len(active)}, the number of tasks that are drawn")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all settings."""
        return fingerprint(self)
