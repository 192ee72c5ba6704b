"""The attribute validation: every provider is asked at every situation, and its answers are judged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastnode_ops.validation.examples import Example, ExampleCompletion, ProviderOutput
from fastnode_ops.validation.fallback import FallbackRow, compare_by_symbol
from fastnode_ops.validation.providers import (
    MAX_SECONDS,
    MODEL_PROVIDER,
    POPULARITY_PROVIDER,
    Asked,
    Provider,
    ask,
)
from fastnode_ops.validation.ranking import (
    TOP,
    Outcome,
    ProviderFigures,
    SymbolFigures,
    outcome,
    provider_figures,
    symbol_figures,
)
from fastnode_ops.validation.situations import Situation
from ops_common.artifacts import write_text
from ops_common.progress import Progress

RECORDS_PER_FILE = 1_000


@dataclass(frozen=True)
class Judged:
    """What came of a validation.

    Args:
        situations: The situations, in order.
        outcomes: Per provider what it made of each.
        examples: The situations in which no provider failed, with all lists, as many as were asked for.
        records: One plain record per situation and provider, see `record_of`.
    """

    situations: list[Situation]
    outcomes: dict[str, list[Outcome]]
    examples: list[Example]
    records: list[dict[str, str | int | float]]

    def figures(self, providers: Sequence[Provider], seed: int = 0) -> dict[str, ProviderFigures]:
        """Compute the figures of every provider."""
        ranked = frozenset(one.name for one in providers if one.has_probabilities)
        return provider_figures(self.outcomes, [one.file_id for one in self.situations], ranked, seed)

    def symbols(self) -> list[SymbolFigures]:
        """Compute recall per symbol."""
        return symbol_figures(self.outcomes, [one.symbol for one in self.situations])

    def fallback(self) -> list[FallbackRow]:
        """Hold popularity against the model per symbol; nothing when one of them was not asked."""
        if not {POPULARITY_PROVIDER, MODEL_PROVIDER} <= self.outcomes.keys():
            return []
        symbols = [one.symbol for one in self.situations]
        return compare_by_symbol(symbols, self.outcomes[POPULARITY_PROVIDER], self.outcomes[MODEL_PROVIDER])


def judge(
    situations: Iterable[Situation],
    providers: Sequence[Provider],
    *,
    max_situations: int,
    num_examples: int,
    max_seconds: float = MAX_SECONDS,
) -> Judged:
    """Ask all providers at each of the first situations.

    Args:
        situations: Where to ask.
        providers: Whom to ask.
        max_situations: Stop after so many.
        num_examples: Keep the first so many in which every provider has a list; fewer when there are fewer.
        max_seconds: Time that a provider has for one answer.
    """
    judged = Judged([], {one.name: [] for one in providers}, [], [])
    with Progress("validate", total=max_situations, unit="situations") as progress:
        for situation in situations:
            if not judged.situations:
                _warm_up(providers, situation)
            answers = {one.name: ask(one, situation.question, max_seconds) for one in providers}
            judged.situations.append(situation)
            for name, asked in answers.items():
                judged.outcomes[name].append(outcome(asked, situation.expected))
                judged.records.append(record_of(situation, name, asked))
            if len(judged.examples) < num_examples and all(asked.answer for asked in answers.values()):
                judged.examples.append(example_of(situation, answers))
            progress.advance()
            if len(judged.situations) == max_situations:
                break
    return judged


def _warm_up(providers: Sequence[Provider], situation: Situation) -> None:
    """Ask once for nothing: the first answer of a model takes as long as loading it, which says nothing of the rest."""
    for provider in providers:
        ask(provider, situation.question, max_seconds=float("inf"))


def example_of(situation: Situation, answers: dict[str, Asked]) -> Example:
    """Make an example of a situation; providers that failed are absent."""
    return Example(
        Buffer=situation.question.source.decode(),
        Cursor=situation.question.cursor,
        Symbol=situation.symbol,
        Expected=situation.expected,
        Provided=outputs_of(answers),
    )


def outputs_of(answers: dict[str, Asked]) -> dict[str, ProviderOutput]:
    """Return the lists of the providers that did not fail, in the form of an example."""
    return {
        name: ProviderOutput(
            Completions=[
                ExampleCompletion(Identifier=one.identifier, Score=one.score) for one in asked.answer.completions
            ],
            MungedBuffer=asked.answer.munged,
        )
        for name, asked in answers.items()
        if asked.answer is not None
    }


def record_of(situation: Situation, provider: str, asked: Asked) -> dict[str, str | int | float]:
    """Make the record of one answer, with the reference's field names (specification 14.3)."""
    judged = outcome(asked, situation.expected)
    completions = asked.answer.completions if asked.answer else ()
    return {
        "message_id": situation.file_id,
        "cursor": situation.question.cursor,
        "symbol": situation.symbol,
        "parent_expr_type": situation.parent_kind,
        "label": provider,
        "expected": situation.expected,
        "count": len(completions),
        "first": completions[0].identifier if completions else "",
        "index": judged.rank,
        **{f"top_{number}": int(0 <= judged.rank < number) for number in TOP},
        "error": asked.reason,
    }


def write_records(folder: Path, records: Sequence[dict[str, str | int | float]]) -> None:
    """Write records as JSON lines, `file-shard-0-of-1-part-N.json`, and `DONE` last."""
    (folder / "DONE").unlink(missing_ok=True)
    for number, start in enumerate(range(0, len(records), RECORDS_PER_FILE)):
        part = records[start : start + RECORDS_PER_FILE]
        lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in part)
        write_text(folder / f"file-shard-0-of-1-part-{number}.json", lines)
    write_text(folder / "DONE", "")
