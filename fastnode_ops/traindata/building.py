"""Builds `metainfo.json` (specification 4)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fastnode_ops.samples.metainfo import Header, MetaInfo
from fastnode_ops.statistics.resources import Resources
from fastnode_ops.traindata.attributes import build_attributes
from fastnode_ops.traindata.checking import check_metainfo
from fastnode_ops.traindata.functions import build_bases, build_calls
from fastnode_ops.traindata.packages import PackageList, choose_packages
from fastnode_ops.traindata.productions import Grammar
from fastnode_ops.traindata.scores import Scores, index_scores
from fastnode_ops.traindata.subtoken_indexes import name_index, type_index
from fastnode_ops.traindata.thresholds import Thresholds, default_thresholds
from ops_common.errors import DataError


@dataclass(frozen=True, slots=True)
class MetaInfoCounts:
    """What a `metainfo.json` holds.

    Args:
        num_packages: Packages that were learned.
        num_packages_dropped: Packages of the list that are not known.
        num_functions: Functions whose calls are learned.
        num_attributes: Attributes.
        num_bases: Modules and types whose members are learned.
        num_name_subtokens: Rows of the words of names.
        num_type_subtokens: Rows of the words of types.
        num_productions: Rows of productions.
    """

    num_packages: int
    num_packages_dropped: int
    num_functions: int
    num_attributes: int
    num_bases: int
    num_name_subtokens: int
    num_type_subtokens: int
    num_productions: int


def build_metainfo(
    resources: Resources,
    *,
    packages: PackageList | None = None,
    packages_file: Path | None = None,
    thresholds: Thresholds | None = None,
    scores: Scores | None = None,
    created_at: str | None = None,
    dropped: Counter[str] | None = None,
) -> MetaInfo:
    """Build the distributions of symbols to train on, and every index of the model.

    The result depends on the arguments only, but for the time in its header (D10).

    Args:
        resources: The corpus.
        packages: The packages to learn; by default see `choose_packages`.
        packages_file: A package list, when `packages` are not given.
        thresholds: What is too rare; by default see `default_thresholds`.
        scores: Whom to ask how often symbols occur; by default the index of the corpus.
        created_at: The time of its making in ISO 8601; by default now.
        dropped: Gets the symbols that are left out, by reason.

    Raises:
        ConfigError: See `choose_packages`.
        DataError: Nothing is frequent enough to be learned.
    """
    packages = packages or choose_packages(resources, packages_file)
    thresholds = thresholds or default_thresholds(resources.index.num_files("train"))
    scores = scores or index_scores(resources)
    symbols, grammar = resources.symbols, Grammar()
    dropped = Counter() if dropped is None else dropped
    attributes = build_attributes(packages.names, symbols, scores, thresholds, grammar, dropped)
    calls = build_calls(packages.names, symbols, resources.calls, scores, thresholds, grammar, dropped)
    bases = build_bases(packages.names, symbols, scores, thresholds, dropped)
    if not (attributes.dist or calls.dist or bases.dist):
        raise DataError(
            f"no symbol of {len(packages.names)} packages occurs {thresholds.min_score:g} times in the corpus",
            "use a larger corpus, other packages or lower thresholds",
        )
    header = Header(
        created_at=datetime.now(UTC).isoformat(timespec="seconds") if created_at is None else created_at,
        corpus_digest=resources.digest,
        packages_digest=packages.digest,
        thresholds=thresholds.as_dict(),
    )
    metainfo = MetaInfo(
        header=header,
        attr=attributes,
        call=calls,
        attr_base=bases,
        name_subtoken_index=name_index(resources.index.subtokens()),
        type_subtoken_index=type_index(symbols, resources.index, thresholds),
        production_index=grammar.index(),
    )
    check_metainfo(metainfo)
    return metainfo


def count_metainfo(metainfo: MetaInfo, packages: PackageList) -> MetaInfoCounts:
    """Return what a step says about the file that it wrote."""
    return MetaInfoCounts(
        num_packages=len(packages.names),
        num_packages_dropped=len(packages.dropped),
        num_functions=len(metainfo.call.dist),
        num_attributes=len(metainfo.attr.dist),
        num_bases=len(metainfo.attr_base.dist),
        num_name_subtokens=len(metainfo.name_subtoken_index),
        num_type_subtokens=len(metainfo.type_subtoken_index),
        num_productions=len(metainfo.production_index.indices),
    )
