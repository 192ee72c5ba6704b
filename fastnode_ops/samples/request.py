"""What is asked of a session: the body of `POST /session` (specification 5.2.4), and of the next response.

Additions to the reference's body, with defaults that keep it as it was: `start_step`, to go on where a lost session
stood; `split`, so that validation batches come from held-out files; `graph` and `draws`, the limits that the reference
has in its code (`graph.max_hops` is the body's own `max_hops`).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastnode_ops.config import (
    EDGE_TYPES,
    TASKS,
    DrawConfig,
    EdgeType,
    ExpressionConfig,
    GraphConfig,
    Split,
    TaskName,
)
from fastnode_ops.samples.metainfo import Distribution, MetaInfo, ProductionIndex

Proportion = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskRequest(_Part):
    """One task: what to draw, and its weight."""

    symbols: Distribution = {}
    batch_proportion: Proportion = 0.0


class AttrRequest(TaskRequest):
    """Attributes also need to know the parent of each symbol."""

    parents: dict[str, str] = {}


class KwargRequest(TaskRequest):
    """Keywords also need to know those of each function."""

    keywords: dict[str, list[str]] = {}


class ExprRequest(_Part):
    """The six tasks and the number of graph samples per batch."""

    max_samples: Annotated[int, Field(ge=1, le=10_000)]
    call: TaskRequest = TaskRequest()
    attr: AttrRequest = AttrRequest()
    attr_base: TaskRequest = TaskRequest()
    arg_type: TaskRequest = TaskRequest()
    kwarg_name: KwargRequest = KwargRequest()
    arg_placeholder: TaskRequest = TaskRequest()

    def task(self, name: TaskName) -> TaskRequest:
        """Return one task's part."""
        part: TaskRequest = getattr(self, name)
        return part

    @model_validator(mode="after")
    def _has_work(self) -> Self:
        active = [name for name in TASKS if self.task(name).batch_proportion > 0]
        if not active:
            raise ValueError("at least one batch_proportion must be above 0")
        if self.max_samples < len(active):
            raise ValueError(f"max_samples must be at least {len(active)}, the number of tasks that are drawn")
        return self

    def counts(self) -> dict[TaskName, int]:
        """Return how many graph samples of each task a batch has: ceil(max_samples * share) (specification 5.5)."""
        # exact fractions: a share that comes out whole must not be rounded up because of a float
        weights = {name: Fraction(self.task(name).batch_proportion) for name in TASKS}
        total = sum(weights.values())
        return {name: math.ceil(self.max_samples * weight / total) for name, weight in weights.items()}


class GraphRequest(_Part):
    """Edge types to build."""

    edge_set: list[EdgeType] = list(EDGE_TYPES)


class Partition(_Part):
    """Which share of each symbol's files to use."""

    low: Annotated[float, Field(ge=0, le=1)] = 0.0
    high: Annotated[float, Field(ge=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class SessionRequest(_Part):
    """The body that creates a session."""

    session: int = 0
    config: GraphRequest = GraphRequest()
    random_seed: Annotated[int, Field(ge=0, lt=1 << 63)]
    partition: Partition = Partition()
    num_batches: Annotated[int, Field(ge=1, le=1_000)]
    max_hops: Annotated[int, Field(ge=1, le=10)] = 3
    name_subtoken_index: dict[str, int] = Field(min_length=1)
    type_subtoken_index: dict[str, int] = Field(min_length=1)
    production_index: ProductionIndex
    expr: ExprRequest
    start_step: Annotated[int, Field(ge=0)] = 0
    split: Split = "train"
    graph: GraphConfig = GraphConfig()
    draws: DrawConfig = DrawConfig()

    @model_validator(mode="after")
    def _has_productions(self) -> Self:
        if not self.production_index.indices:
            raise ValueError("production_index must not be empty")
        return self


def session_request(
    metainfo: MetaInfo,
    config: ExpressionConfig,
    *,
    num_batches: int,
    start_step: int = 0,
    split: Split = "train",
) -> SessionRequest:
    """Make the request that a trainer sends for a metainfo and its settings."""
    weights = config.samples.proportions()
    calls = metainfo.call.dist
    keywords = {name: info.kwarg_names for name, info in metainfo.call.infos.items()}
    # drawing a function with fewer than two keywords can never give a sample
    with_keywords = {name: entry for name, entry in calls.items() if len(keywords.get(name, ())) >= 2}
    return SessionRequest(
        random_seed=config.train.seed,
        num_batches=num_batches,
        max_hops=config.graph.max_hops,
        name_subtoken_index=metainfo.name_subtoken_index,
        type_subtoken_index=metainfo.type_subtoken_index,
        production_index=metainfo.production_index,
        start_step=start_step,
        split=split,
        graph=config.graph,
        draws=config.draws,
        expr=ExprRequest(
            max_samples=config.samples.max_samples,
            call=TaskRequest(symbols=calls, batch_proportion=weights["call"]),
            attr=AttrRequest(
                symbols=metainfo.attr.dist, batch_proportion=weights["attr"], parents=metainfo.attr.parents
            ),
            attr_base=TaskRequest(symbols=metainfo.attr_base.dist, batch_proportion=weights["attr_base"]),
            arg_type=TaskRequest(symbols=calls, batch_proportion=weights["arg_type"]),
            kwarg_name=KwargRequest(symbols=with_keywords, batch_proportion=weights["kwarg_name"], keywords=keywords),
            arg_placeholder=TaskRequest(symbols=calls, batch_proportion=weights["arg_placeholder"]),
        ),
    )
