"""The analysis of one file: its tree, its variables, what its expressions may be."""

from __future__ import annotations

from fastnode_ops.analysis.inference import Inference
from fastnode_ops.analysis.inference_cells import MAX_STEPS
from fastnode_ops.analysis.inference_terms import to_values
from fastnode_ops.analysis.nodes import Node, Tree
from fastnode_ops.analysis.scopes import Scopes, resolve_scopes
from fastnode_ops.analysis.syntax import parse
from fastnode_ops.analysis.values import Value, ValueKind, Values
from fastnode_ops.symbols.store import SymbolStore


class Analysis:
    """What is known about one file.

    Attributes:
        source: Its text in UTF-8.
        tree: Its syntax tree.
        scopes: Its variables.
        symbols: The store that it was analysed with.
        calls: Its calls by the canonical path of the function, as far as `calls_of` was asked.
    """

    def __init__(
        self,
        tree: Tree,
        scopes: Scopes,
        symbols: SymbolStore,
        max_steps: int = MAX_STEPS,
        calls: dict[str, list[Node]] | None = None,
    ) -> None:
        self.source = tree.source
        self.tree = tree
        self.scopes = scopes
        self.symbols = symbols
        self.calls = {} if calls is None else calls
        self._inference = Inference(tree, scopes, symbols, max_steps)
        self._values: dict[int, Values] = {}

    def values(self, node: Node) -> Values:
        """Return what an expression may be, sorted; empty when unknown, and for nodes that are no expressions.

        Every name of a variable has the union over all assignments of the variable (specification 6.1). The value is
        found when it is asked for first; within a file at most `max_steps` expressions are evaluated.
        """
        found = self._values.get(node.index)
        if found is None:
            found = self._values[node.index] = to_values(self._inference.terms(node))
        return found

    def symbols_of(self, node: Node) -> list[Value]:
        """Return the members of an expression's union that count as symbols (specification 3.3).

        Those are modules, types, functions and variables of modules, and instances, which count as their type. What
        the file defines itself and results of unknown type are none.
        """
        return [value for value in self.values(node) if not value.is_local and value.kind is not ValueKind.RETURN]

    def close(self, *, with_tree: bool = False) -> None:
        """Let go of what was inferred; no values can be asked for after that.

        Links in circles are cut, so that memory is free at once and the garbage collector finds nothing to do.

        Args:
            with_tree: Whether to let go of the tree, too: nobody else uses it.
        """
        self._inference.close()
        if with_tree:
            self.tree.unlink()

    @property
    def steps(self) -> int:
        """How many expressions were evaluated so far."""
        return self._inference.cells.steps

    @property
    def num_cut(self) -> int:
        """How many evaluations were given up because of a limit."""
        return self._inference.cells.num_cut


def analyse(source: bytes, symbols: SymbolStore, *, keep: bool = False, edited: Tree | None = None) -> Analysis:
    """Analyse a file, however broken it is.

    Args:
        source: Its text.
        symbols: What is known about modules.
        keep: Whether edited forms of the text will be analysed; see `parse`.
        edited: The tree of a text that this one is an edited form of, if it was kept; see `parse`.

    Raises:
        SourceError: The bytes are no text, or too large or too deep; see `parse`.
    """
    tree = parse(source, keep=keep, edited=edited)
    return Analysis(tree, resolve_scopes(tree), symbols)
