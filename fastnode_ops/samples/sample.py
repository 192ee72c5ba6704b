"""A graph sample: one file turned into one instance of a task; what a task needs; why a sample is rejected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.config import GraphConfig, TaskName
from fastnode_ops.graphs.expansion import SplitGraph
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.samples.metainfo import ProductionIndex, production_id
from fastnode_ops.symbols.store import SymbolStore


class Rejected(Exception):
    """A file gives no sample for a symbol; counted by reason, and another draw is made.

    Args:
        reason: A short name in lower case, e.g. "no_site".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CallPattern(Protocol):
    """What is known of the calls of a function (specification 3.6)."""

    def matches(self, num_unnamed: int, keywords: list[str]) -> bool:
        """Say whether a call has known arguments only."""

    def argument_name(self, keyword: str, position: int) -> str:
        """Return the name of a parameter by keyword, else by position; "" when it is not known."""

    def feed(self, keyword: str, position: int) -> tuple[list[str], list[str]]:
        """Return at most one type string and at most nine subtokens of a parameter; markers when not known."""

    def positional_ok(self, position: int) -> bool:
        """Say whether an argument may be passed at a position."""

    def keyword_ok(self, name: str) -> bool:
        """Say whether an argument may be passed by a keyword."""

    @property
    def max_arguments(self) -> int:
        """How many arguments a call has at most."""


@dataclass(frozen=True, slots=True)
class SampleContext:
    """What samples are made with, beside the file and the symbol.

    Args:
        symbols: The symbol store.
        patterns: Call patterns by canonical function; None for functions without.
        vocabulary: Rows of words.
        productions: Rows of productions.
        attr_parents: For the task attr: the parent of each symbol.
        keywords: For the task kwarg_name: the keywords of each function.
        graph: Limits of graphs.
        num_negatives: How many wrong answers a sample has at most.
    """

    symbols: SymbolStore
    patterns: Callable[[str], CallPattern | None]
    vocabulary: Vocabulary
    productions: ProductionIndex
    attr_parents: Mapping[str, str] = field(default_factory=dict)
    keywords: Mapping[str, list[str]] = field(default_factory=dict)
    graph: GraphConfig = field(default_factory=GraphConfig)
    num_negatives: int = 5

    def canonical(self, symbol: str) -> str:
        """Return the canonical path of a symbol; itself when the store does not know it."""
        found = self.symbols.find(symbol)
        return found.canonical if found is not None else symbol

    def row(self, id_string: str) -> int | None:
        """Return the production row of an id string; None when it has none."""
        return self.productions.indices.get(str(production_id(id_string)))


@dataclass(frozen=True, slots=True)
class Answer:
    """The right answer among the candidates, and some wrong ones.

    Args:
        label: Index of the right candidate.
        negatives: Indices of wrong ones, at least one.
    """

    label: int
    negatives: list[int]


@dataclass(frozen=True, slots=True)
class ProductionFeed:
    """What the production decoder needs; node numbers are those of the sample's own expansion graph.

    Args:
        site: The prediction node.
        targets: Production rows of the candidates.
        scope_nodes: A node per variable in scope.
        context_tokens: The words nearest to the site.
    """

    site: int
    targets: list[int]
    scope_nodes: list[int]
    context_tokens: list[int]


@dataclass(frozen=True, slots=True)
class NameFeed:
    """What the name decoder needs; node numbers are those of the sample's own expansion graph.

    Args:
        site: The prediction node.
        usages: The usage node of each candidate.
        types: Rows of the decoder's type features.
        subtokens: Rows of the decoder's subtoken features.
        names: Words of each candidate joined by ":", to read.
        type_names: Type words of each candidate joined by ":".
    """

    site: int
    usages: list[int]
    types: list[int]
    subtokens: list[int]
    names: list[str]
    type_names: list[str]


@dataclass(frozen=True, slots=True)
class GraphSample:
    """One file turned into one task instance, in its own numbers.

    Args:
        task: The task.
        graph: Context graph and expansion graph.
        feed: What its decoder needs.
        answer: The label and the negatives.
    """

    task: TaskName
    graph: SplitGraph
    feed: ProductionFeed | NameFeed
    answer: Answer


DUMMY = "GUESS_ME__34578032"
"""The name that stands for the answer in the edited text."""


def choose(rng: np.random.Generator, num: int) -> int:
    """Draw one of `num` sites.

    Raises:
        Rejected: There is none.
    """
    if num == 0:
        raise Rejected("no_site")
    return int(rng.integers(num))


def answer_of(rng: np.random.Generator, label: int, num_candidates: int, num_negatives: int) -> Answer:
    """Draw the wrong answers: a random permutation of the other candidates, cut (specification 7.11).

    Raises:
        Rejected: There is no other candidate.
    """
    others = [index for index in range(num_candidates) if index != label]
    if not others:
        raise Rejected("no_negatives")
    order = rng.permutation(len(others))[:num_negatives]
    return Answer(label, [others[place] for place in order])


def analyse_edited(text: bytes, symbols: SymbolStore, original: Tree | None = None) -> Analysis:
    """Analyse an edited text; it is the same function as for files. The tree of the text before it saves time."""
    return analyse(text, symbols, edited=original)


@contextmanager
def released(edited: Analysis) -> Iterator[None]:
    """Let go of an edited text after its use; there are many, and the garbage collector needs long to find them."""
    try:
        yield
    finally:
        edited.close(with_tree=True)


def line_end(source: bytes, position: int) -> int:
    """Return where the line of a position ends, without its line break."""
    found = source.find(b"\n", position)
    end = len(source) if found < 0 else found
    return end - 1 if end > position and source[end - 1 : end] == b"\r" else end


def trim_end(source: bytes, position: int, statement: Node | None) -> int:
    """Return up to where the text is cut away: the end of the line, or of the statement if that is later.

    Text that does not parse may be taken for a statement that reaches far beyond its own lines; then the line counts.

    Args:
        source: The text.
        position: In the line in question.
        statement: The innermost statement of the site.
    """
    end = line_end(source, position)
    return end if statement is None or _is_broken(statement) else max(end, statement.end)


def _is_broken(statement: Node) -> bool:
    """Say whether it holds text that does not parse; what was put in to make it parse has no length."""
    return any(node.kind in ("BadExpr", "BadStmt") and node.end > node.start for node in statement.walk())
