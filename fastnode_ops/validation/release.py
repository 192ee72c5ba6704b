"""The release gate: a model's validation against popularity, and against the model that is pinned now.

judge_release       says of every check what was found and what is allowed
judge_differences   the same of the two models situation by situation, with paired bootstrap intervals
check_release       as judge_release, and raises when a check failed, naming each number
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fastnode_ops.validation.attribute_report import AttributeReport
from fastnode_ops.validation.providers import MODEL_PROVIDER, POPULARITY_PROVIDER
from fastnode_ops.validation.ranking import ProviderFigures, Recall, bootstrap_mean
from fastnode_ops.validation.situation_ranks import SituationRanks
from ops_common.errors import ConfigError, GateError
from ops_common.release_record import FigureInterval
from ops_common.seeding import derived_seed

MIN_SITUATIONS = 50
MIN_ANSWERED_SHARE = 0.2


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReleaseLimits(_Record):
    """What a model needs. Margins are differences of top-1 shares, 0 to 1; one below 0 allows a loss.

    Args:
        min_margin_over_pop: Over popularity, where both answered.
        min_margin_over_pinned: Over the pinned model, on all situations.
        min_situations: Fewest situations in which both the model and popularity answered.
        min_answered_share: Smallest share of the situations that the model answers, 0 to 1.
        confidence: Share of the resampled differences that an interval holds, 0.5 to below 1.
        num_resamples: Resamples of the paired bootstrap.
        seed: Seed of the bootstrap.
    """

    min_margin_over_pop: float = 0.0
    min_margin_over_pinned: float = 0.0
    min_situations: int = MIN_SITUATIONS
    min_answered_share: float = MIN_ANSWERED_SHARE
    confidence: float = 0.95
    num_resamples: int = 1_000
    seed: int = 0


class ReleaseCheck(_Record):
    """One number against what is allowed."""

    name: Literal[
        "num_situations",
        "answered_share",
        "margin_over_pop",
        "margin_over_pinned",
        "top_1_share",
        "top_5_share",
        "mean_reciprocal_rank",
    ]
    value: float | None
    limit: float
    passed: bool
    text: str


class ReleaseVerdict(_Record):
    """What the gate found."""

    passed: bool
    checks: tuple[ReleaseCheck, ...]

    @property
    def failures(self) -> tuple[ReleaseCheck, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)


def judge_release(
    report: AttributeReport, pinned: AttributeReport | None = None, limits: ReleaseLimits | None = None
) -> ReleaseVerdict:
    """Hold a report against the limits.

    The pinned model is compared on all situations, where a failure counts as not found: a model that answers less is
    worse. Popularity is compared where both answered, since it takes over wherever the model has nothing to say.

    Args:
        report: The validation of the new model.
        pinned: That of the pinned model on the same situations; None when none is pinned.
        limits: What is needed.

    Raises:
        ConfigError: A limit is out of its range, a report lacks the model or popularity, or the two reports are of
            different situations, so that their shares do not compare.
    """
    limits = limits or ReleaseLimits()
    _check_limits(limits)
    model = _figures(report, MODEL_PROVIDER)
    popularity = _figures(report, POPULARITY_PROVIDER)
    checks = [
        _situations_check(model.common, limits.min_situations),
        _answered_check(model.answered, model.all, limits.min_answered_share),
        _margin_check(
            "margin_over_pop",
            model.common,
            popularity.common,
            limits.min_margin_over_pop,
            f"popularity's where all providers answered ({model.common.num_situations:,d} situations)",
        ),
    ]
    if pinned is not None:
        if report.situations_digest != pinned.situations_digest:
            raise ConfigError(
                f"{report.model} and the pinned model {pinned.model} were validated on different situations",
                "validate the pinned model on this corpus too, then compare",
            )
        checks.append(
            _margin_check(
                "margin_over_pinned",
                model.all,
                _figures(pinned, MODEL_PROVIDER).all,
                limits.min_margin_over_pinned,
                f"that of the pinned model {pinned.model} ({model.all.num_situations:,d} situations)",
            )
        )
    return ReleaseVerdict(passed=all(check.passed for check in checks), checks=tuple(checks))


def judge_differences(
    mine: SituationRanks, theirs: SituationRanks, other: str, limits: ReleaseLimits
) -> tuple[tuple[ReleaseCheck, ...], tuple[FigureInterval, ...]]:
    """Hold a model against the released one, situation by situation.

    Every figure's difference has an interval of the paired bootstrap over files, and it is the lower end that may not
    lie below the margin: a model has to show that it is not worse.

    Args:
        mine: What the new model answered.
        theirs: What the released one answered, at the same situations.
        other: What the released model is called.
        limits: What is needed.

    Raises:
        ConfigError: A limit is out of its range, or the situations are not the same.
    """
    _check_limits(limits)
    if mine.situations_digest != theirs.situations_digest or mine.file_index != theirs.file_index:
        raise ConfigError(
            f"the ranks of {other} are of other situations", "validate the released model on this corpus too"
        )
    checks, intervals = [], []
    files = [mine.files[index] for index in mine.file_index]
    theirs_by_figure = theirs.figures()
    for name, values in mine.figures().items():
        changes = values - theirs_by_figure[name]
        bounds = None
        if len(mine.files) > 1:
            seed = derived_seed(limits.seed, "comparison", name)
            bounds = bootstrap_mean(changes.tolist(), files, seed, limits.num_resamples, limits.confidence)
        interval = FigureInterval(
            figure=name,
            difference=float(changes.mean()) if changes.size else 0.0,
            low=bounds[0] if bounds else None,
            high=bounds[1] if bounds else None,
            confidence=limits.confidence,
        )
        intervals.append(interval)
        checks.append(_difference_check(interval, float(values.mean()), len(files), other, limits))
    return tuple(checks), tuple(intervals)


def _difference_check(
    interval: FigureInterval, value: float, num_situations: int, other: str, limits: ReleaseLimits
) -> ReleaseCheck:
    limit = limits.min_margin_over_pinned
    what = interval.figure.replace("_", " ")
    if interval.low is None or interval.high is None:
        low, text = None, f"{what}: the situations of one file are too few to compare with the released model {other}"
    else:
        low = round(interval.low, 9)  # a margin that is met exactly passes
        text = (
            f"{what} is {value:.4f}, that of the released model {other} {value - interval.difference:.4f} at the same "
            f"{num_situations:,d} situations: {interval.difference:+.4f} ({100 * limits.confidence:g} % interval "
            f"{interval.low:+.4f} to {interval.high:+.4f}), at least {limit:+g} is needed at the lower end"
        )
    passed = low is not None and low >= limit
    return ReleaseCheck.model_validate(
        {"name": interval.figure, "value": low, "limit": limit, "passed": passed, "text": text}
    )


def check_release(
    report: AttributeReport, pinned: AttributeReport | None = None, limits: ReleaseLimits | None = None
) -> ReleaseVerdict:
    """Pass a report through the gate; arguments as in `judge_release`.

    Raises:
        GateError: A check failed; the message holds every number that failed and its limit.
        ConfigError: As `judge_release`.
    """
    verdict = judge_release(report, pinned, limits)
    if not verdict.passed:
        reasons = "; ".join(check.text for check in verdict.failures)
        raise GateError(
            f"{report.model} is not released: {reasons}",
            "read reports/attributes.html, then train longer, change the model, or set other limits on purpose",
        )
    return verdict


def _check_limits(limits: ReleaseLimits) -> None:
    for name in ("min_margin_over_pop", "min_margin_over_pinned"):
        if not -1 <= getattr(limits, name) <= 1:
            raise ConfigError(f"{name} must lie in -1..1, got {getattr(limits, name)}", "0.01 is one percent point")
    if not 0 <= limits.min_answered_share <= 1:
        raise ConfigError(f"min_answered_share must lie in 0..1, got {limits.min_answered_share}", "for example 0.5")
    if not 0.5 <= limits.confidence < 1:
        raise ConfigError(f"confidence must lie in 0.5..1, got {limits.confidence}", "for example 0.95")
    if not 1 <= limits.num_resamples <= 100_000:
        raise ConfigError(f"num_resamples must lie in 1..100000, got {limits.num_resamples}", "for example 1000")
    if limits.min_situations < 1:
        raise ConfigError(f"min_situations must be at least 1, got {limits.min_situations}", "for example 50")


def _figures(report: AttributeReport, provider: str) -> ProviderFigures:
    if provider not in report.providers:
        raise ConfigError(
            f"the report of {report.model} has no figures of {provider}", "run validate-attributes with all providers"
        )
    return report.providers[provider]


def _situations_check(common: Recall, limit: int) -> ReleaseCheck:
    number = common.num_situations
    text = f"all providers answered in {number:,d} situations, at least {limit:,d} are needed to judge"
    return ReleaseCheck(name="num_situations", value=number, limit=limit, passed=number >= limit, text=text)


def _answered_check(answered: Recall, everything: Recall, limit: float) -> ReleaseCheck:
    total = everything.num_situations
    share = answered.num_situations / total if total else 0.0
    text = (
        f"the model answered {answered.num_situations:,d} of {total:,d} situations ({100 * share:.1f} %), "
        f"at least {100 * limit:g} % are needed"
    )
    return ReleaseCheck(name="answered_share", value=share, limit=limit, passed=share >= limit, text=text)


def _margin_check(
    name: Literal["margin_over_pop", "margin_over_pinned"], model: Recall, other: Recall, limit: float, whose: str
) -> ReleaseCheck:
    mine, theirs = model.share(1), other.share(1)
    if mine is None or theirs is None:
        text = f"there is no top-1 share to hold against {whose}"
        return ReleaseCheck(name=name, value=None, limit=limit, passed=False, text=text)
    # rounded: 0.3 - 0.2 is not 0.1 to a computer, and a margin that is met exactly passes
    margin = round(mine - theirs, 9)
    needed = f"the margin must be at least {100 * limit:g} points"
    text = f"top-1 is {100 * mine:.1f} %, {whose} is {100 * theirs:.1f} %: {needed}"
    return ReleaseCheck(name=name, value=margin, limit=limit, passed=margin >= limit, text=text)
