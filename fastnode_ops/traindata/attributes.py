"""The attributes to learn: their weights and their parents (specification 4.3)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from fastnode_ops.samples.metainfo import AttrInfo, Entry
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import SymbolKind
from fastnode_ops.traindata.productions import Grammar
from fastnode_ops.traindata.scores import Scores
from fastnode_ops.traindata.thresholds import Thresholds
from fastnode_ops.traindata.walking import walk

MAX_PARTS = 3
MAX_PARTS_OF_GOOGLE = 5


def is_skipped(path: str) -> bool:
    """Say whether an attribute is not looked at: it lies too deep, or its name begins with an underscore."""
    parts = path.split(".")
    return len(parts) > (MAX_PARTS_OF_GOOGLE if parts[0] == "google" else MAX_PARTS) or parts[-1].startswith("_")


def attribute_weights(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the weights of the members of one parent (specification 4.3, step 5).

    `sqrt(S) * H * c / S` for a member's score c, the sum S of all scores, and the entropy H of the scores in nats. The
    weight of an only child is 0.

    Args:
        scores: Positive scores by member.
    """
    total = math.fsum(scores.values())
    shares = {member: score / total for member, score in scores.items()}
    entropy = -math.fsum(share * math.log(share) for share in shares.values())
    return {member: math.sqrt(total) * entropy * share for member, share in shares.items()}


def build_attributes(
    packages: Iterable[str],
    symbols: SymbolStore,
    scores: Scores,
    thresholds: Thresholds,
    grammar: Grammar,
    dropped: Counter[str],
) -> AttrInfo:
    """Return the attributes of some packages, and add the choice among the members of each parent to the grammar.

    Args:
        packages: Top-level names.
        symbols: The store.
        scores: How often symbols occur.
        thresholds: What is too rare.
        grammar: Gets a production per parent.
        dropped: Gets the attributes that are left out, by reason.
    """
    of_modules, of_types = _candidates(packages, symbols)
    counted = {
        **{path: (score, True) for path, score in scores(of_types, "attribute", canonicalize=True).items()},
        **{path: (score, False) for path, score in scores(of_modules, "attribute", canonicalize=False).items()},
    }
    members: dict[str, dict[str, float]] = defaultdict(dict)
    for path in sorted(counted):
        score, _ = counted[path]
        if score > 0 and score >= thresholds.score_of(path):
            members[path.rpartition(".")[0]][path] = score
        else:
            dropped["attribute_too_rare"] += 1
    distribution: dict[str, Entry] = {}
    parents: dict[str, str] = {}
    canonical: dict[str, list[str]] = defaultdict(list)
    for parent in sorted(members):
        kept = {path: weight for path, weight in attribute_weights(members[parent]).items() if weight > 0}
        dropped["attribute_without_sibling"] += len(members[parent]) - len(kept)
        for path, weight in kept.items():
            distribution[path] = Entry(symbol=path, canonicalize=counted[path][1], weight=weight)
            parents[path] = parent
            symbol = symbols.find(path)
            canonical[path if symbol is None else symbol.canonical].append(path)
        grammar.add(parent, kept)
    return AttrInfo(CanonToSyms=dict(sorted(canonical.items())), dist=distribution, parents=parents)


def _candidates(packages: Iterable[str], symbols: SymbolStore) -> tuple[list[str], list[str]]:
    """Return the members of modules and those of types. What is both counts as a module's."""
    of_modules: list[str] = []
    of_types: list[str] = []
    visited: set[str] = set()
    for package in packages:
        for symbol, parent in walk(symbols, package, visited, canonical=False, skip=is_skipped):
            if parent is not None:
                (of_types if parent.kind is SymbolKind.TYPE else of_modules).append(symbol.path)
    return of_modules, of_types
