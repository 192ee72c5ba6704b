"""What a person may ask of a search for good settings, whatever model it is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator

from ops_common.config import Section
from ops_common.errors import ConfigError
from ops_common.sweep import (
    MAX_CONFIGURATIONS,
    MAX_RUNGS,
    Configuration,
    SweepPlan,
    draw,
    grid,
    read_space,
    rung_steps,
)


class SearchRequest(Section):
    """Which settings to search, and how far."""

    config_file: str = Field(min_length=1, description="Settings (TOML) that all configurations share.")
    overrides: list[str] | None = Field(
        None, max_length=1_000, description="Settings of config_file to replace in all, each as section.key=value."
    )
    space: dict[str, Any] = Field(
        description="What to search: setting to a list of values, or to a range with low, high, scale (linear, log), "
        "type (int, float) and, for a grid, num."
    )
    search: Literal["grid", "random"] = Field("random", description="All combinations, or some drawn at random.")
    num_configurations: int = Field(
        8, ge=1, le=MAX_CONFIGURATIONS, description="How many a random search draws; a grid has all of its own."
    )
    sweep_seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of a random search.")
    training_steps: int = Field(5_000, ge=1, le=100_000_000, description="Steps of a whole training.")
    min_steps: int = Field(500, ge=1, le=100_000_000, description="Fewest steps after which one is stopped early.")
    eta: int = Field(
        3,
        ge=2,
        le=100,
        description=f"At each of at most {MAX_RUNGS} rungs the best one of so many trains on, to so many times as many "
        "steps.",
    )

    @field_validator("space")
    @classmethod
    def _is_a_space(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            read_space(values)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return values

    @field_validator("overrides")
    @classmethod
    def _look_like_settings(cls, values: list[str] | None) -> list[str] | None:
        for value in values or ():
            if "=" not in value:
                raise ValueError(f"{value!r} is not section.key=value")
        return values

    def configurations(self, check: Callable[[list[str]], object], reserved: tuple[str, ...]) -> list[Configuration]:
        """The configurations that this asks for, each of them checked.

        Args:
            check: Builds the settings with some overrides; raises ConfigError when they are wrong.
            reserved: What the sweep decides itself: settings, or what their names begin with.

        Raises:
            ConfigError: A setting cannot be searched, or a configuration has a wrong one; the message names it.
        """
        space = read_space(self.space)
        for key in space:
            if key.startswith(reserved):
                raise ConfigError(
                    f"space: {key} cannot be searched", "the sweep decides how long and from what to train"
                )
        points = grid(space) if self.search == "grid" else draw(space, self.num_configurations, self.sweep_seed)
        for point in points:
            try:
                check([*(self.overrides or ()), *point.overrides])
            except ConfigError as error:
                raise ConfigError(f"configuration {point.label}: {error.message}", error.hint) from None
        return points

    def plan(self, points: Sequence[Configuration], figure: str, **details: Any) -> SweepPlan:
        """What a sweep of these configurations does; `figure` decides, `details` is what its trainings need to know."""
        steps = rung_steps(self.training_steps, self.min_steps, self.eta)
        num_asked = len(points) if self.search == "grid" else self.num_configurations
        return SweepPlan(
            points, steps, self.eta, figure, num_asked, {**details, "overrides": list(self.overrides or ())}
        )
