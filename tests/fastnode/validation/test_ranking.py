"""Ranks, recall with its three denominators, latency and intervals, against figures worked out by hand."""

import numpy as np
import pytest

from fastnode_ops.inference.completions import Completion
from fastnode_ops.validation.providers import Answer, Asked
from fastnode_ops.validation.ranking import (
    Outcome,
    Recall,
    bootstrap_mean,
    outcome,
    provider_figures,
    recall,
    symbol_figures,
)


def ranked(rank: int, seconds: float = 0.01) -> Outcome:
    return Outcome(rank, "", seconds, np.array([0.6, 0.4], np.float32))


def failed(reason: str) -> Outcome:
    return Outcome(-1, reason, 3.0, np.zeros(0, np.float32))


def test_the_rank_is_the_index_of_the_expected_identifier() -> None:
    answer = Answer((Completion("a", 0.5), Completion("b", 0.25), Completion("c", 0.25)), "")
    assert [outcome(Asked(answer, "", 0.1), name).rank for name in ("a", "c", "d")] == [0, 2, -1]
    assert outcome(Asked(None, "why", 0.1), "a") == failed("why") or outcome(Asked(None, "why", 0.1), "a").has_failed


def test_recall_of_ranks_by_hand() -> None:
    # below 1: one; below 3: 0 and 2; below 5: 0, 2, 4; below 10: and 9; 1 + 1/3 + 1/5 + 1/10 over 6
    found = recall([0, 2, 4, 9, 10, -1])
    assert (found.top_1, found.top_3, found.top_5, found.top_10) == (1, 2, 3, 4)
    assert found.num_situations == 6
    assert found.mean_reciprocal_rank == pytest.approx((1 + 1 / 3 + 1 / 5 + 1 / 10 + 1 / 11) / 6)
    assert found.share(3) == pytest.approx(2 / 6)


def test_recall_of_nothing_has_no_share() -> None:
    assert recall([]) == Recall(num_situations=0, top_1=0, top_3=0, top_5=0, top_10=0, mean_reciprocal_rank=None)
    assert recall([]).share(1) is None


def test_the_three_denominators() -> None:
    outcomes = {
        "model": [ranked(0), failed("unsupported"), ranked(3), failed("too slow"), failed("unsupported")],
        "pop": [ranked(1), ranked(0), failed("unknown"), ranked(0), ranked(-1)],
    }
    figures = provider_figures(outcomes, list("abcde"), frozenset({"model"}))
    model, pop = figures["model"], figures["pop"]
    assert [(one.num_situations, one.top_1, one.top_5) for one in (model.all, model.answered, model.common)] == [
        (5, 1, 2),
        (2, 1, 2),
        (1, 1, 1),
    ]
    assert [(one.num_situations, one.top_1) for one in (pop.all, pop.answered, pop.common)] == [(5, 2), (4, 2), (1, 0)]
    assert model.failures == {"too slow": 1, "unsupported": 2}
    assert model.calibration is not None and model.calibration.num_answers == 2
    assert pop.calibration is None


def test_latency_is_that_of_the_answers() -> None:
    outcomes = {"model": [*(ranked(0, 0.001 * n) for n in range(1, 102)), failed("took longer than 3 s")]}
    latency = provider_figures(outcomes, ["f"] * 102, frozenset())["model"].latency
    assert latency is not None
    assert (latency.median_ms, latency.p95_ms) == (51.0, 96.0)
    assert provider_figures({"m": [failed("x")]}, ["f"], frozenset())["m"].latency is None


def test_symbols_with_most_situations_come_first() -> None:
    rows = symbol_figures({"pop": [ranked(0), ranked(7), ranked(-1), ranked(2)]}, ["re", "os", "json", "os"])
    assert [(row.symbol, row.num_situations) for row in rows] == [("os", 2), ("json", 1), ("re", 1)]
    assert (rows[0].all["pop"].top_3, rows[0].all["pop"].top_10) == (1, 2)


def test_the_interval_is_over_files_and_repeatable() -> None:
    hits = [True] * 5 + [False] * 5
    same_file = bootstrap_mean(hits, ["a"] * 5 + ["b"] * 5, seed=1)
    own_files = bootstrap_mean(hits, list("abcdefghij"), seed=1)
    assert same_file == (0.0, 1.0)  # two files of one kind each: every resample is one of 0, a half, 1
    assert own_files is not None and 0.1 <= own_files[0] < 0.5 < own_files[1] <= 0.9
    assert bootstrap_mean(hits, list("abcdefghij"), seed=1) == own_files
    assert bootstrap_mean([], [], seed=1) is None
