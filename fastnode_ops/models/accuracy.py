"""How often the true choice is among the best (specification 8.8), per decoder and per task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastnode_ops.samples.batch import NameSamples, TrainingBatch

AT_K = 3

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Hits:
    """How many samples of a kind there were, and how many of them were right."""

    num_samples: int = 0
    num_right: int = 0

    def __add__(self, other: Hits) -> Hits:
        return Hits(self.num_samples + other.num_samples, self.num_right + other.num_right)

    @property
    def share(self) -> float:
        """Right ones among all; 0 without any."""
        return self.num_right / self.num_samples if self.num_samples else 0.0


def count_hits(batch: TrainingBatch, name_logits: Floats, production_logits: Floats) -> dict[str, Hits]:
    """Count the right answers to a batch.

    Args:
        batch: The batch.
        name_logits: [C] of its candidates.
        production_logits: [C] of its targets.

    Returns:
        For each name of the summaries (`name_accuracy`, ..., `accuracy/<task>`) that the batch has samples of.
    """
    name, production = batch.infer_name, batch.infer_production
    name_ranks = ranks(name_logits, name.usages.sample_ids, name.labels)
    production_ranks = ranks(production_logits, production.decoder_targets.sample_ids, production.labels)
    type_ranks = _type_ranks(name, name_logits)
    hits = {
        "name_accuracy": _hits(name_ranks, 1),
        "name_accuracy_atk": _hits(name_ranks, AT_K),
        "name_type_accuracy": _hits(type_ranks, 1),
        "name_type_accuracy_atk": _hits(type_ranks, AT_K),
        "production_accuracy": _hits(production_ranks, 1),
        "production_accuracy_atk": _hits(production_ranks, AT_K),
    }
    tasks = np.array([*name.tasks, *production.tasks], dtype=object)
    all_ranks = np.concatenate([name_ranks, production_ranks])
    for task in sorted(set(tasks.tolist())):
        hits[f"accuracy/{task}"] = _hits(all_ranks[tasks == task], 1)
    return {key: value for key, value in hits.items() if value.num_samples}


def add_hits(totals: dict[str, Hits], more: Mapping[str, Hits]) -> None:
    """Add counts to totals."""
    for name, hits in more.items():
        totals[name] = totals.get(name, Hits()) + hits


def ranks(logits: Floats, samples: npt.NDArray[np.int32], labels: npt.NDArray[np.int32]) -> Ints:
    """Return the rank of each sample's label among its choices, from 0; of equal ones the earlier is better.

    Args:
        logits: [C] of all choices.
        samples: [C] the sample of each, ascending without gaps.
        labels: [S] one choice per sample.
    """
    own = logits[labels][samples]
    is_before = (logits > own) | ((logits == own) & (np.arange(len(logits)) < labels[samples]))
    return np.bincount(samples[is_before], minlength=len(labels)).astype(np.int64)


def _type_ranks(name: NameSamples, logits: Floats) -> Ints:
    """Return the best rank of a candidate that carries the same type string as the true one."""
    samples = name.usages.sample_ids
    order = np.lexsort((np.arange(len(logits)), -logits, samples))
    starts = np.searchsorted(samples, np.arange(len(name.labels)))
    types = np.array(name.type_names, dtype=object)
    is_same = types[order] == types[name.labels][samples[order]]
    places = np.arange(len(logits)) - starts[samples[order]]
    best = np.full(len(name.labels), len(logits), np.int64)
    np.minimum.at(best, samples[order][is_same], places[is_same])
    return best


def _hits(ranks_of_labels: Ints, k: int) -> Hits:
    return Hits(len(ranks_of_labels), int((ranks_of_labels < k).sum()))
