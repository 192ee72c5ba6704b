"""The search for the arguments of a call (specification 13.6).

A call is built argument by argument: which kind comes next (or none), which keyword, whether its value is left open,
which variable. For each decision the text of the call so far, with a dummy for what is asked, is analysed and turned
into a sample as in training. The search keeps the few best unfinished calls of every depth (a beam), where the
reference follows the three best answers of every decision to the end.

A chosen variable is never a function (the scope of calls has none), so no call nests in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.markers import INFER_ARG_PLACEHOLDER, INFER_ARG_TYPE, KWARG_VALUE_PLACEHOLDER
from fastnode_ops.analysis.nodes import Node, enclosing_statement
from fastnode_ops.config import TaskName
from fastnode_ops.inference.completions import CallCompletion, CompletedArgument
from fastnode_ops.samples.argument_tasks import (
    KEYWORD_DUMMY,
    Feed,
    arg_type_feed,
    arg_type_rows,
    find_argument,
    keyword_feed,
    keyword_rows,
    placeholder_feed,
    placeholder_rows,
)
from fastnode_ops.samples.name_sites import name_feed
from fastnode_ops.samples.sample import (
    DUMMY,
    Answer,
    CallPattern,
    GraphSample,
    Rejected,
    SampleContext,
    analyse_edited,
    released,
    trim_end,
)

MAX_BRANCHES = 3
"""How many answers to one decision are followed."""
MAX_DEPTH = 12
"""How many decisions with more than one answer a call may have; it is cut off there."""
BEAM_WIDTH = 4
"""How many unfinished calls are followed at a time."""
MAX_DECISIONS = 48
"""How often the model is asked for one completion."""

Ask = Callable[[GraphSample], list[float]]
_NO_ANSWER = Answer(0, [])
_LEAST = 1e-30


@dataclass(frozen=True, slots=True)
class Partial:
    """A call in the making.

    Args:
        arguments: Those that are finished.
        asks: What is to be decided next: "kind", "keyword", "open" (is the value left open?), "name"; "" at the end.
        keyword: Of the argument that is being made.
        log_probability: Of all decisions so far.
        log_before: Of those before the argument that is being made.
        depth: Number of decisions with more than one answer.
        is_complete: Whether the model ended the call.
    """

    arguments: tuple[CompletedArgument, ...] = ()
    asks: str = "kind"
    keyword: str = ""
    log_probability: float = 0.0
    log_before: float = 0.0
    depth: int = 0
    is_complete: bool = False

    @property
    def score(self) -> float:
        """Mean logarithm, one value more than there are: short and long calls can be compared (13.6)."""
        return self.log_probability / (1 + len(self.arguments))

    @property
    def text(self) -> str:
        """The finished arguments; of use to order equals."""
        return ", ".join(argument.text for argument in self.arguments)

    def with_value(self, value: str, probability: float = 1.0) -> Partial:
        """Finish the argument that is being made by a last decision of this probability; `after` adds it."""
        probability *= math.exp(self.log_probability - self.log_before)
        argument = CompletedArgument(self.keyword, value, probability)
        return replace(self, arguments=(*self.arguments, argument), asks="kind", keyword="")

    def after(self, probability: float, is_choice: bool) -> Partial:
        """Count the decision that led here."""
        log = self.log_probability + math.log(max(probability, _LEAST))
        before = log if self.asks == "kind" else self.log_before
        return replace(self, log_probability=log, log_before=before, depth=self.depth + is_choice)


Options = list[tuple[Partial, float]]
"""What a decision may lead to, with the probability of each."""


class CallSearch:
    """The search in one buffer.

    Args:
        analysis: The buffer.
        call: The call; its arguments are not looked at.
        function: The function, as the productions spell it.
        context: What samples are made with.
        ask: Asks the model for the probabilities of a sample's candidates.

    Raises:
        Rejected: The function has no pattern of calls.
    """

    def __init__(self, analysis: Analysis, call: Node, function: str, context: SampleContext, ask: Ask) -> None:
        source = analysis.source
        self._original = analysis.tree
        self._paren = call.parts["left_paren"]
        self._head = source[: self._paren.end]
        self._tail = source[trim_end(source, call.end - 1, enclosing_statement(call)) :]
        self._function = function
        self._context = context
        self._ask = ask
        self._num_asked = 0
        pattern = context.patterns(context.canonical(function))
        if pattern is None:
            raise Rejected("no_call_pattern")
        self._pattern: CallPattern = pattern
        self._deciders = {"kind": self._kind, "keyword": self._keyword, "open": self._open, "name": self._name}

    def run(self) -> list[Partial]:
        """Return the calls that were found, in no particular order."""
        found: list[Partial] = []
        beam = [Partial()]
        while beam:
            following: list[Partial] = []
            for partial in beam:
                for child in self._expand(partial):
                    (following if child.asks else found).append(child)
            beam = sorted(following, key=lambda partial: (-partial.score, partial.text, partial.asks))[:BEAM_WIDTH]
        return found

    def _expand(self, partial: Partial) -> list[Partial]:
        if partial.depth >= MAX_DEPTH or self._num_asked >= MAX_DECISIONS:
            return [self._cut(partial)]
        try:
            options = self._deciders[partial.asks](partial)
        except Rejected:
            return [self._cut(partial)]
        best = sorted(options, key=lambda option: -option[1])[:MAX_BRANCHES]
        return [child.after(probability, len(options) > 1) for child, probability in best]

    @staticmethod
    def _cut(partial: Partial) -> Partial:
        """End a call where it is; a keyword without a value is left open."""
        ended = partial.with_value("") if partial.keyword else partial
        return replace(ended, asks="")

    def _kind(self, partial: Partial) -> Options:
        """Decide which kind of argument comes next, or that none does."""
        position = len(partial.arguments)
        has_keyword = any(argument.keyword for argument in partial.arguments)
        has_room = position < self._pattern.max_arguments
        options = ["stop"]
        if has_room and not has_keyword and self._pattern.positional_ok(position):
            options.append("positional")
        if has_room and self._unused_keywords(partial):
            options.append("keyword")
        rows = arg_type_rows(self._function, options, self._context)
        children = {
            "stop": replace(partial, asks="", is_complete=True),
            "positional": replace(partial, asks="open", keyword=""),
            "keyword": replace(partial, asks="keyword"),
        }
        return self._choose(
            [children[option] for option in options],
            (partial, INFER_ARG_TYPE),
            lambda edited, site: arg_type_feed(edited, site, rows, self._context),
        )

    def _unused_keywords(self, partial: Partial) -> list[str]:
        used = {
            argument.keyword or self._pattern.argument_name("", position)
            for position, argument in enumerate(partial.arguments)
        }
        return [
            name
            for name in self._context.keywords.get(self._function, ())
            if name not in used
            and self._pattern.keyword_ok(name)
            and self._context.row(f"choose_kwarg:{self._function}:{name}") is not None
        ]

    def _keyword(self, partial: Partial) -> Options:
        """Decide which keyword an argument has."""
        names = self._unused_keywords(partial)
        rows = keyword_rows(self._function, names, self._context)
        return self._choose(
            [replace(partial, asks="open", keyword=name) for name in names],
            (partial, KEYWORD_DUMMY),
            lambda edited, site: keyword_feed(edited, site, rows, self._context),
        )

    def _open(self, partial: Partial) -> Options:
        """Decide whether the value of an argument is left open."""
        position = len(partial.arguments)
        name = self._pattern.argument_name(partial.keyword, position)
        rows = placeholder_rows(self._function, name, self._context) if name else None
        to_name = replace(partial, asks="name")
        if rows is None:
            return [(to_name, 1.0)]
        types, _ = self._pattern.feed(partial.keyword, position)
        with self._edited(partial, INFER_ARG_PLACEHOLDER) as (edited, site):
            feed = placeholder_feed(edited, site, rows, types, self._context)
        named, left_open = self._ask_model("arg_placeholder", feed)
        return [(to_name, named), (partial.with_value("", left_open), left_open)]

    def _name(self, partial: Partial) -> Options:
        """Decide which variable an argument is; it is left open where there is no choice of variables."""
        types, words = self._pattern.feed(partial.keyword, len(partial.arguments))
        keyword = f"{partial.keyword}=" if partial.keyword else ""
        with self._edited(partial, keyword + DUMMY) as (edited, placed):
            site = placed.parts["value"]
            try:
                graph, feed, variables = name_feed(
                    edited, site, self._context, scope="call", types=types, subtokens=words
                )
                names = [variable.name for variable in variables]
            except Rejected as rejected:
                if rejected.reason == "too_few_candidates":
                    return [(partial.with_value(""), 1.0)]
                raise
        self._num_asked += 1
        probabilities = self._ask(GraphSample("call", graph, feed, _NO_ANSWER))
        return [(partial.with_value(name, p), p) for name, p in zip(names, probabilities)]

    def _choose(
        self, children: list[Partial], place: tuple[Partial, str], feed: Callable[[Analysis, Node], Feed]
    ) -> Options:
        """Ask the model which child it is; not when there is only one."""
        if len(children) == 1:
            return [(children[0], 1.0)]
        with self._edited(*place) as (edited, site):
            asked = feed(edited, site)
        return list(zip(children, self._ask_model("arg_type", asked)))

    def _ask_model(self, task: TaskName, feed: Feed) -> list[float]:
        self._num_asked += 1
        return self._ask(GraphSample(task, *feed, _NO_ANSWER))

    @contextmanager
    def _edited(self, partial: Partial, asked: str) -> Iterator[tuple[Analysis, Node]]:
        """Write the call so far with a dummy argument at the end, and analyse the buffer; see `cut_argument`."""
        # a value that is left open is written as the model knows it from training
        written = [replace(a, value=a.value or KWARG_VALUE_PLACEHOLDER).text for a in partial.arguments]
        text = ", ".join([*written, asked]) + ")"
        edited = analyse_edited(self._head + text.encode() + self._tail, self._context.symbols, self._original)
        with released(edited):
            yield edited, find_argument(edited, self._paren.start, len(partial.arguments))


def search_calls(
    analysis: Analysis, call: Node, function: str, context: SampleContext, ask: Ask
) -> list[CallCompletion]:
    """Complete a call; see `CallSearch`.

    Returns:
        The calls that were found, best first, each once; their scores sum up to 1.

    Raises:
        Rejected: The function has no pattern of calls, or no productions.
    """
    best: dict[tuple[str, bool], Partial] = {}
    for partial in CallSearch(analysis, call, function, context, ask).run():
        key = partial.text, partial.is_complete
        if key not in best or partial.score > best[key].score:
            best[key] = partial
    total = math.fsum(math.exp(partial.score) for partial in best.values())
    order = sorted(best.items(), key=lambda item: (-item[1].score, item[0]))
    return [
        CallCompletion(partial.arguments, partial.is_complete, math.exp(partial.score) / total) for _, partial in order
    ]
