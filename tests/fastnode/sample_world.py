"""What samples of the tests are made with: vocabularies that know every word, productions of a few functions and
parents, call patterns written by hand; and samples in a form to read."""

from dataclasses import dataclass, field

from fastnode_ops.analysis.markers import UNKNOWN_TOKEN, UNKNOWN_TYPE
from fastnode_ops.analysis.subtokens import split_name
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.samples.assembly import assemble
from fastnode_ops.samples.metainfo import Production, ProductionIndex, production_id
from fastnode_ops.samples.sample import GraphSample, NameFeed, SampleContext
from fastnode_ops.symbols.store import SymbolStore


class OpenIndex(dict[str, int]):
    """Gives every word that is asked for a row of its own."""

    def get(self, word, default=None):
        return self.setdefault(word, len(self))

    def words(self, rows) -> str:
        by_row = list(self)
        return ".".join(by_row[row].removeprefix("FASTNODE_") for row in rows)


@dataclass(frozen=True)
class Pattern:
    """A call pattern: parameters in order, those by keyword only, types of some."""

    positional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    types: dict[str, str] = field(default_factory=dict)

    @property
    def args_by_name(self) -> tuple[str, ...]:
        return (*self.positional, *self.keywords)

    @property
    def max_arguments(self) -> int:
        return len(self.args_by_name)

    def positional_ok(self, position: int) -> bool:
        return position < len(self.positional)

    def keyword_ok(self, name: str) -> bool:
        return name in self.args_by_name

    def matches(self, num_unnamed: int, keywords: list[str]) -> bool:
        return num_unnamed <= len(self.positional) and all(name in self.args_by_name for name in keywords)

    def argument_name(self, keyword: str, position: int) -> str:
        if keyword:
            return keyword if keyword in self.args_by_name else ""
        return self.positional[position] if position < len(self.positional) else ""

    def feed(self, keyword: str, position: int) -> tuple[list[str], list[str]]:
        name = self.argument_name(keyword, position)
        return [self.types.get(name, UNKNOWN_TYPE)], split_name(name) or [UNKNOWN_TOKEN]


PATTERNS = {
    "json.dumps": Pattern(("obj",), ("skipkeys", "indent", "sort_keys"), {"obj": "builtins.dict.INSTANCE"}),
    "shutil.copyfile": Pattern(("src", "dst"), ("follow_symlinks",), {"src": "builtins.str.INSTANCE"}),
    "shutil.move": Pattern(("src", "dst"), ("copy_function",)),
    "posixpath.join": Pattern(("a", "p"), ()),
    "posixpath.exists": Pattern(("path",), ()),
    "builtins.print": Pattern(("value", "values"), ("sep", "end", "file")),
    "builtins.open": Pattern(("file", "mode"), ("encoding", "errors")),
    "builtins.len": Pattern(("obj",), ()),
    "builtins.isinstance": Pattern(("obj", "class_or_tuple"), ()),
    "builtins.getattr": Pattern(("o", "name", "default"), ()),
}
KEYWORDS = {name: sorted({*p.keywords, *p.positional[-1:]}) for name, p in PATTERNS.items()}
PARENTS = ("os", "posixpath", "os.path", "json", "sys", "builtins.str", "builtins.list", "builtins.dict", "re")


@dataclass(frozen=True)
class World:
    context: SampleContext
    names: OpenIndex
    types: OpenIndex
    ids: dict[int, str]
    """Id string of each production row."""

    @property
    def attributes(self) -> list[str]:
        return list(self.context.attr_parents)


def make_world(symbols: SymbolStore, **settings) -> World:
    """Make a world in which all members of `PARENTS` and all functions of `PATTERNS` can be asked for."""
    children: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    for parent in PARENTS:
        members = [f"{parent}.{name}" for name in symbols.children(parent) if not name.startswith("_")]
        children[parent] = members
        parents.update((member, parent) for member in members)
    for name, pattern in PATTERNS.items():
        children[f"choose_kwarg:{name}"] = [f"choose_kwarg:{name}:{keyword}" for keyword in KEYWORDS[name]]
        children[f"choose_argtype:{name}"] = [f"choose_argtype:{name}:{k}" for k in ("stop", "positional", "keyword")]
        children[f"choose_arg_placeholder:{name}"] = [
            f"choose_arg_placeholder:{name}:{argument}:{kind}"
            for argument in pattern.args_by_name
            for kind in ("placeholder", "no_placeholder")
        ]
    texts = {production_id(text): text for parent in children for text in (parent, *children[parent])}
    index = ProductionIndex(
        indices={str(number): row for row, number in enumerate(sorted(texts))},
        productions={
            str(production_id(parent)): Production(
                id=production_id(parent), children=sorted(map(production_id, members))
            )
            for parent, members in children.items()
        },
    )
    names, types = OpenIndex({UNKNOWN_TOKEN: 0}), OpenIndex({UNKNOWN_TOKEN: 0})
    context = SampleContext(
        symbols=symbols,
        patterns=PATTERNS.get,
        vocabulary=Vocabulary(names, types),
        productions=index,
        attr_parents=parents,
        keywords=KEYWORDS,
        **settings,
    )
    return World(context, names, types, {row: texts[number] for row, number in enumerate(sorted(texts))})


@dataclass(frozen=True)
class Readable:
    """A sample in words. Nodes are `words/type words`."""

    nodes: list[str]
    edges: dict[str, list[str]]
    expansion_nodes: list[str]
    expansion_edges: dict[str, list[str]]
    site: str
    scope: list[str]
    tokens: list[str]
    candidates: list[str]
    answer: str


def read(sample: GraphSample, world: World) -> Readable:
    graph, feed = sample.graph, sample.feed
    nodes = _words(world, graph.subtokens, graph.types)
    new = _words(world, graph.lookup_subtokens, graph.lookup_types)
    expansion = [*(nodes[node] for node in graph.context_nodes), *new]
    if isinstance(feed, NameFeed):
        candidates, scope, tokens = feed.names, [], []
    else:
        candidates = [world.ids[row] for row in feed.targets]
        scope = [expansion[node] for node in feed.scope_nodes]
        tokens = [expansion[node] for node in feed.context_tokens]
    return Readable(
        nodes,
        {key: _arrows(nodes, pairs) for key, pairs in graph.edges.items()},
        expansion,
        {key: _arrows(expansion, pairs) for key, pairs in graph.expansion_edges.items()},
        expansion[feed.site],
        scope,
        tokens,
        candidates,
        candidates[sample.answer.label],
    )


def _words(world: World, subtokens, types) -> list[str]:
    return [f"{world.names.words(a)}/{world.types.words(b)}" for a, b in zip(subtokens, types)]


def _arrows(nodes: list[str], pairs) -> list[str]:
    return [f"{nodes[a].split('/')[0]} > {nodes[b].split('/')[0]}" for a, b in pairs.tolist()]


def batch_bytes(*samples: GraphSample) -> bytes:
    """Everything that the network gets, as bytes."""
    import orjson

    return orjson.dumps(assemble(samples).to_json(), option=orjson.OPT_SERIALIZE_NUMPY)


def vocabulary_sizes(world: World):
    from fastnode_ops.models.inputs import Vocabulary as Sizes

    return Sizes(len(world.types), len(world.names), len(world.ids))
