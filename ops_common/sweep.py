"""Searches for good settings: which configurations there are, and who trains on (successive halving).

A space names settings and what they may be: a list of values, or a range `{"low", "high", "scale", "type"}`. `grid`
takes every combination, `random` draws some. All of them train for the steps of the first rung; the best 1/eta of a
rung train on, from their checkpoints, to the steps of the next, which are eta times as many. So most of the budget
goes to configurations that are worth it (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and
Hyperparameter Optimization", AISTATS 2016).

In the folder of a sweep: `sweep.json`, the plan; `configurations/<number>/rung-<n>.json`, what came of it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ops_common.artifacts import read_json, write_json
from ops_common.config import Section, build_config
from ops_common.errors import ArtifactError, ConfigError

MAX_CONFIGURATIONS = 256
MAX_RUNGS = 4
PLAN_NAME = "sweep.json"
_MAX_DRAWS_OF_ONE = 100


class Range(Section):
    """Numbers from low to high, both included."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    type: Literal["int", "float"] = "float"
    num: int | None = Field(None, ge=2, le=MAX_CONFIGURATIONS)
    """How many evenly spaced values a grid takes of it."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high (given: {self.low:g} and {self.high:g})")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"a range on a logarithmic scale begins above 0 (given: {self.low:g})")
        return self

    def at(self, share: float) -> int | float:
        """The value at a share of the way from low (0) to high (1), on the range's scale."""
        if self.scale == "log":
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + share * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.type == "int" else float(f"{value:.4g}")


Space = dict[str, list[Any] | Range]


@dataclass(frozen=True, slots=True)
class Configuration:
    """One point of the space.

    Attributes:
        number: From 1.
        values: Setting to value.
    """

    number: int
    values: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What people see: the number and the values, `3: learning_rate=0.01, max_blocks=20`."""
        return f"{self.number}: " + ", ".join(f"{k.rpartition('.')[2]}={_text(v)}" for k, v in self.values.items())

    @property
    def overrides(self) -> list[str]:
        """The values as `section.key=value`."""
        return [f"{key}={json.dumps(value)}" for key, value in self.values.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def number_of(label: str) -> int:
    """The number of a configuration, from its label.

    Raises:
        ConfigError: It is no label.
    """
    number = label.partition(":")[0].strip()
    if not number.isdigit():
        raise ConfigError(f"{label!r} is not the label of a configuration", "labels begin with a number and a colon")
    return int(number)


def read_space(values: Mapping[str, Any]) -> Space:
    """Check what settings may be.

    Raises:
        ConfigError: There is no setting, a list is empty, or a range is none; names the setting.
    """
    if not values:
        raise ConfigError(
            "space: there is nothing to search", 'give at least one setting, as {"optimizer.decay_rate": [0.5, 1]}'
        )
    space: Space = {}
    for key, choice in values.items():
        if isinstance(choice, Mapping):
            space[key] = build_config(Range, choice, where=f"space: {key}")
        elif isinstance(choice, list) and choice:
            space[key] = list(choice)
        else:
            raise ConfigError(f"space: {key}: neither a list of values nor a range (given: {choice!r})")
    return space


def grid(space: Space) -> list[Configuration]:
    """Every combination of the values, the last setting changing fastest.

    Raises:
        ConfigError: A range does not say how many values it has, or there are too many combinations.
    """
    for key, choice in space.items():
        if isinstance(choice, Range) and choice.num is None:
            raise ConfigError(f"space: {key}: a grid needs the number of values of a range", 'add "num"')
    choices = [_evenly(choice) if isinstance(choice, Range) else choice for choice in space.values()]
    size = math.prod(len(choice) for choice in choices)
    if size > MAX_CONFIGURATIONS:
        raise ConfigError(f"space: {size} combinations", f"at most {MAX_CONFIGURATIONS}; a random search takes some")
    points = itertools.product(*choices)
    return [Configuration(number, dict(zip(space, point))) for number, point in enumerate(points, 1)]


def _evenly(choice: Range) -> list[int | float]:
    assert choice.num is not None  # `grid` has seen to it
    return list(dict.fromkeys(choice.at(index / (choice.num - 1)) for index in range(choice.num)))


def draw(space: Space, num: int, seed: int) -> list[Configuration]:
    """Draw configurations, each another one; fewer when the space has no more.

    Args:
        space: What settings may be.
        num: How many.
        seed: The same seed draws the same; more of them begin with those of fewer.
    """
    found: list[Configuration] = []
    for _ in range(num):
        for attempt in range(_MAX_DRAWS_OF_ONE):
            values = {key: _draw(choice, seed, len(found), attempt, key) for key, choice in space.items()}
            if values not in [known.values for known in found]:
                found.append(Configuration(len(found) + 1, values))
                break
    return found


def _draw(choice: list[Any] | Range, seed: int, index: int, attempt: int, key: str) -> Any:
    from ops_common.seeding import stream  # NumPy is not installed where DAGs are parsed

    random = stream(seed, "sweep", index, attempt, key)
    return choice.at(float(random.random())) if isinstance(choice, Range) else choice[int(random.integers(len(choice)))]


def rung_steps(max_steps: int, min_steps: int, eta: int) -> list[int]:
    """The steps at which is chosen who trains on; the last are those of a whole training.

    Args:
        max_steps: Steps of a whole training.
        min_steps: No rung has fewer.
        eta: Each rung has this many times the steps of the one before, and 1/eta of its configurations.

    Returns:
        At most `MAX_RUNGS` numbers that rise.
    """
    steps = [max_steps]
    while len(steps) < MAX_RUNGS and steps[0] / eta >= min_steps:
        steps.insert(0, math.ceil(steps[0] / eta))
    return steps


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a configuration in a rung.

    Attributes:
        number: The configuration.
        rung: From 0.
        steps: Steps that it has done in all.
        value: The figure that decides, less is better; None when it failed.
        reason: Why it failed; empty when it did not.
        wall_seconds: What this rung took.
    """

    number: int
    rung: int
    steps: int
    value: float | None
    reason: str = ""
    wall_seconds: float = 0.0


def survivors(outcomes: Sequence[Outcome], eta: int) -> list[int]:
    """Who trains on: of a rung's configurations the best 1/eta, rounded up; those that failed are not among them."""
    passed = sorted((o.value, o.number) for o in outcomes if o.value is not None)
    return sorted(number for _, number in passed[: math.ceil(len(outcomes) / eta)])


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep does.

    Attributes:
        configurations: All of them, in the order of their numbers.
        rung_steps: Steps of each rung.
        eta: See `rung_steps`.
        figure: Name of the figure that decides; less is better.
        num_asked: How many configurations were asked for; a small space has fewer.
        details: What the trainings need to know, as plain values.
    """

    configurations: Sequence[Configuration]
    rung_steps: Sequence[int]
    eta: int
    figure: str
    num_asked: int
    details: Mapping[str, Any]

    def configuration(self, number: int) -> Configuration:
        """The configuration of a number."""
        if not 1 <= number <= len(self.configurations):
            raise ConfigError(f"there is no configuration {number}", f"there are {len(self.configurations)}")
        return self.configurations[number - 1]


class SweepDir:
    """The folder of a sweep."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def write_plan(self, plan: SweepPlan) -> None:
        """Write down what is going to be done."""
        write_json(self.path / PLAN_NAME, asdict(plan))

    def plan(self) -> SweepPlan:
        """What is to be done.

        Raises:
            ArtifactError: The folder is not that of a sweep.
        """
        try:
            values = read_json(self.path / PLAN_NAME)
            points = [Configuration(**point) for point in values.pop("configurations")]
            return SweepPlan(configurations=points, **values)
        except (TypeError, KeyError, AttributeError) as error:
            raise ArtifactError(f"{self.path / PLAN_NAME} is not the plan of a sweep: {error}") from None

    def folder(self, number: int) -> Path:
        """Where a configuration trains."""
        return self.path / "configurations" / str(number)

    def write_outcome(self, outcome: Outcome) -> None:
        """Keep what came of a configuration in a rung."""
        write_json(self._outcome_path(outcome.number, outcome.rung), asdict(outcome))

    def outcome(self, number: int, rung: int) -> Outcome | None:
        """What came of a configuration in a rung; None when it has left nothing."""
        path = self._outcome_path(number, rung)
        return Outcome(**read_json(path)) if path.exists() else None

    def entrants(self, rung: int) -> list[int]:
        """Who trains in a rung; nobody when the one before has not ended, or all of it failed."""
        plan = self.plan()
        entered = [point.number for point in plan.configurations]
        for before in range(rung):
            entered = survivors(self.outcomes(before, entered), plan.eta)
        return entered if rung < len(plan.rung_steps) else []

    def outcomes(self, rung: int, entrants: Sequence[int]) -> list[Outcome]:
        """What came of those who trained in a rung; who has left nothing has failed."""
        steps = self.plan().rung_steps[rung]
        lost = "its training left no result: it was killed, or could not start; its log says more"
        return [self.outcome(number, rung) or Outcome(number, rung, steps, None, lost) for number in entrants]

    def _outcome_path(self, number: int, rung: int) -> Path:
        return self.folder(number) / f"rung-{rung}.json"
