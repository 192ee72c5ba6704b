"""Valid training batches out of random numbers, in the shape of real ones: a syntax tree per sample, tokens in a row,
variables with their references and a scope node each, a site in the expansion graph.

`make_batch` makes small ones for tests; with `REFERENCE` sizes it has the statistics of the reference's.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnode_ops.samples.batch import (
    ContextGraph,
    ExpansionGraph,
    Ints,
    NameSamples,
    ProductionSamples,
    Segmented,
    TrainingBatch,
)

PRODUCTION_TASKS = ("attr", "arg_type", "kwarg_name", "arg_placeholder")
NAME_TASKS = ("call", "attr_base")


@dataclass(frozen=True)
class Sizes:
    """How large a batch is. Numbers are per sample."""

    num_name: int = 2
    num_production: int = 4
    num_nodes: int = 14
    num_variables: int = 3
    num_targets: int = 5
    num_references: int = 3
    num_types: int = 20
    num_subtokens: int = 30
    num_productions: int = 25
    max_subtokens: int = 3
    mean_flows: float = 1.2


REFERENCE = Sizes(
    num_name=8,
    num_production=35,
    num_nodes=298,
    num_variables=16,
    num_targets=12,
    num_references=5,
    num_types=8_000,
    num_subtokens=30_200,
    num_productions=20_000,
    max_subtokens=9,
    mean_flows=1.6,
)
"""43 graph samples, 12,800 context nodes and 45,800 edges."""

Pairs = list[tuple[int, int]]


def make_batch(seed: int, sizes: Sizes = Sizes()) -> TrainingBatch:
    """Make a batch; the same seed gives the same one."""
    maker = _Maker(np.random.default_rng(seed), sizes)
    for index in range(sizes.num_name):
        maker.add_name(NAME_TASKS[index % 2])
    for index in range(sizes.num_production):
        maker.add_production(PRODUCTION_TASKS[index % 4])
    return maker.batch()


def make_batches(num: int, sizes: Sizes = Sizes()) -> list[TrainingBatch]:
    """Make several different ones."""
    return [make_batch(seed, sizes) for seed in range(num)]


class _Maker:
    def __init__(self, rng: np.random.Generator, sizes: Sizes) -> None:
        self.rng, self.sizes = rng, sizes
        self.num_context = self.num_expansion = 0
        self.types: list[list[int]] = []
        self.subtokens: list[list[int]] = []
        self.edges: dict[str, Pairs] = {}
        self.expansion_edges: dict[str, Pairs] = {}
        self.copied: list[int] = []
        self.copied_to: list[int] = []
        self.lookup_types: list[list[int]] = []
        self.lookup_subtokens: list[list[int]] = []
        self.lookup_to: list[int] = []
        self.name: dict[str, list[Any]] = {key: [] for key in NameSamples.__slots__}
        self.production: dict[str, list[Any]] = {key: [] for key in ProductionSamples.__slots__}
        # features repeat in real code: most nodes have one of few lists
        self.common = [(self._rows(sizes.num_types), self._rows(sizes.num_subtokens)) for _ in range(40)]

    def add_name(self, task: str) -> None:
        _, _, neighbours, references = self._context_graph()
        copies = self._copies([*dict.fromkeys([*neighbours, *(r for refs in references for r in refs)])])
        site = self._lookup_node()
        for node in neighbours:
            self._expand("ast_child_forward", copies[node], site)
        usages = []
        for refs in references:
            usage = self._lookup_node()
            for node in neighbours:
                self._expand("ast_child_forward", copies[node], usage)
            for reference in refs:
                self._expand("data_flow_forward", copies[reference], usage)
            usages.append(usage)
        first = sum(len(items) for items in self.name["usages"])
        label = int(self.rng.integers(len(usages)))
        self.name["prediction_nodes"].append(site)
        self.name["labels"].append(first + label)
        self.name["corrupted"].append(self._negatives(first, len(usages), label))
        self.name["types"].append(self._rows(self.sizes.num_types))
        self.name["subtokens"].append(self._rows(self.sizes.num_subtokens))
        self.name["usages"].append(usages)
        self.name["names"].extend(f"v{index}" for index in range(len(usages)))
        self.name["type_names"].extend("ab"[int(self.rng.integers(2))] for _ in usages)
        self.name["tasks"].append(task)

    def add_production(self, task: str) -> None:
        scope, tokens, neighbours, _ = self._context_graph()
        copies = self._copies([*dict.fromkeys([*scope, *tokens, *neighbours])])
        site = self._lookup_node()
        for index, node in enumerate(neighbours):
            self._expand("next_token_forward" if index % 2 else "ast_child_forward", copies[node], site)
        count = int(self.rng.integers(2, 2 * self.sizes.num_targets))
        count = min(count, self.sizes.num_productions)
        first = sum(len(items) for items in self.production["decoder_targets"])
        label = int(self.rng.integers(count))
        targets = self.rng.choice(self.sizes.num_productions, count, replace=False).tolist()
        self.production["prediction_nodes"].append(site)
        self.production["labels"].append(first + label)
        self.production["decoder_targets"].append(targets)
        self.production["corrupted"].append(self._negatives(first, count, label))
        self.production["scope_encoder"].append([copies[node] for node in scope])
        self.production["context_tokens"].append([copies[node] for node in tokens])
        self.production["tasks"].append(task)

    def batch(self) -> TrainingBatch:
        name, production = self.name, self.production
        lists = Segmented.from_lists
        return TrainingBatch(
            ContextGraph(lists(self.subtokens), lists(self.types), _arrays(self.edges)),
            ExpansionGraph(
                _arrays(self.expansion_edges),
                _ints(self.copied),
                _ints(self.copied_to),
                lists(self.lookup_types),
                lists(self.lookup_subtokens),
                _ints(self.lookup_to),
            ),
            NameSamples(
                _ints(name["prediction_nodes"]),
                _ints(name["labels"]),
                lists(name["corrupted"]),
                lists(name["types"]),
                lists(name["subtokens"]),
                lists(name["usages"]),
                name["names"],
                name["type_names"],
                name["tasks"],
            ),
            ProductionSamples(
                _ints(production["prediction_nodes"]),
                _ints(production["labels"]),
                lists(production["decoder_targets"]),
                lists(production["corrupted"]),
                lists(production["scope_encoder"]),
                lists(production["context_tokens"]),
                production["tasks"],
            ),
        )

    def _context_graph(self) -> tuple[list[int], list[int], list[int], list[list[int]]]:
        """Add a sample's context graph; return scope nodes, context tokens, neighbours of the site, references."""
        first = self.num_context
        num_tree = int(self.sizes.num_nodes * self.rng.uniform(0.7, 1.2)) + 2
        # a tree in depth-first order: a parent is one of the last few nodes
        parents = [max(0, node - int(self.rng.geometric(0.35))) for node in range(1, num_tree)]
        for child, parent in enumerate(parents, 1):
            self._both("ast_child", first + parent, first + child)
        leaves = [first + node for node in range(num_tree) if node not in set(parents)] or [first]
        for one, other in itertools.pairwise(leaves):
            self._both("next_token", one, other)
        num_variables = int(self.rng.integers(1, 2 * self.sizes.num_variables))
        references, scope = [], []
        self._nodes(num_tree + num_variables)
        for index in range(num_variables):
            wanted = int(self.rng.integers(1, 2 * self.sizes.num_references))
            chosen = sorted(self.rng.choice(leaves, min(wanted, len(leaves)), replace=False).tolist())
            references.append(chosen)
            scope.append(first + num_tree + index)
            for reference in chosen:
                self.edges.setdefault("scope_forward", []).append((reference, scope[-1]))
            for position, reference in enumerate(chosen):
                for other in chosen[position + 1 : position + 1 + int(self.rng.poisson(self.sizes.mean_flows))]:
                    self._both("data_flow", reference, other)
        tokens = self.rng.choice(leaves, min(10, len(leaves)), replace=False).tolist()
        neighbours = self.rng.choice(np.arange(first, first + num_tree), min(3, num_tree), replace=False).tolist()
        return scope, tokens, neighbours, references

    def _nodes(self, num: int) -> None:
        self.num_context += num
        for _ in range(num):
            types, subtokens = self.common[int(self.rng.geometric(0.06)) % len(self.common)]
            self.types.append(types if self.rng.random() < 0.8 else self._rows(self.sizes.num_types))
            self.subtokens.append(subtokens if self.rng.random() < 0.6 else self._rows(self.sizes.num_subtokens))

    def _copies(self, nodes: list[int]) -> dict[int, int]:
        copies = {}
        for node in nodes:
            copies[node] = self.num_expansion
            self.copied.append(node)
            self.copied_to.append(self.num_expansion)
            self.num_expansion += 1
        return copies

    def _lookup_node(self) -> int:
        self.lookup_types.append(self._rows(self.sizes.num_types))
        self.lookup_subtokens.append(self._rows(self.sizes.num_subtokens))
        self.lookup_to.append(self.num_expansion)
        self.num_expansion += 1
        return self.num_expansion - 1

    def _both(self, edge_type: str, source: int, target: int) -> None:
        self.edges.setdefault(f"{edge_type}_forward", []).append((source, target))
        self.edges.setdefault(f"{edge_type}_backward", []).append((target, source))

    def _expand(self, key: str, source: int, target: int) -> None:
        self.expansion_edges.setdefault(key, []).append((source, target))

    def _rows(self, size: int) -> list[int]:
        length = int(self.rng.integers(1, self.sizes.max_subtokens + 1))
        return [int(row) for row in self.rng.integers(size, size=length)]

    def _negatives(self, first: int, count: int, label: int) -> list[int]:
        others = [first + index for index in range(count) if index != label]
        return [int(choice) for choice in self.rng.permutation(others)[:5]]


def _ints(items: list[int]) -> Ints:
    return np.asarray(items, np.int32)


def _arrays(edges: dict[str, Pairs]) -> dict[str, Ints]:
    return {key: np.asarray(sorted(pairs), np.int32).reshape(-1, 2) for key, pairs in sorted(edges.items())}
