"""A block as a graph (GRANITE's input): instructions, the values they read and write, and how these hang together.

Values are in static single assignment form: every write makes a new node, every immediate is a node of its own, and a
value that is read again is the same node. The order of nodes and edges is part of the format (specification 8.4); it is
that of the creation below. Graphs are kept in flat arrays with splits, as everything that is encoded once.
"""

from __future__ import annotations

import enum
from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gematria_ops.blocks import tokens as token_names
from gematria_ops.blocks.basic_block import Instruction, InstructionOperand, OperandType
from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.encode.ragged import Int64, splits_of
from gematria_ops.encode.tokenizing import AnyBlock, keyed_instructions
from gematria_ops.encode.tries import Int32
from gematria_ops.formats.proto_codec import instruction_from_proto
from ops_common.errors import DataError

Float32 = NDArray[np.float32]

MISSING_ANNOTATION = -1.0
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_WRITABLE = (OperandType.UNKNOWN, OperandType.REGISTER, OperandType.MEMORY)


class NodeType(enum.IntEnum):
    """What a node stands for; no model reads it, but instructions are found by it."""

    INSTRUCTION = 0
    REGISTER = 1
    IMMEDIATE = 2
    FP_IMMEDIATE = 3
    ADDRESS_OPERAND = 4
    MEMORY_OPERAND = 5
    PREFIX = 6


class EdgeType(enum.IntEnum):
    """What an edge says; the value is the edge's feature. REVERSE_STRUCTURAL_DEPENDENCY is never made."""

    STRUCTURAL_DEPENDENCY = 0
    INPUT_OPERANDS = 1
    OUTPUT_OPERANDS = 2
    ADDRESS_BASE_REGISTER = 3
    ADDRESS_INDEX_REGISTER = 4
    ADDRESS_SEGMENT_REGISTER = 5
    ADDRESS_DISPLACEMENT = 6
    REVERSE_STRUCTURAL_DEPENDENCY = 7
    INSTRUCTION_PREFIX = 8


# A plain number is much faster than a member in the loops below.
_STRUCTURAL, _INPUT, _OUTPUT, _BASE, _INDEX, _SEGMENT, _DISPLACEMENT, _, _PREFIX = map(int, EdgeType)


@dataclass(frozen=True, eq=False)
class BlockGraphs:
    """The graphs of some blocks. B blocks, N nodes, E edges, I instructions, A annotations.

    Attributes:
        node_tokens: [N] int32. Vocabulary index of each node's token.
        node_types: [N] uint8. The NodeType of each node.
        node_splits: [B + 1] int64. Where each block's nodes begin and end.
        senders: [E] int32. The node an edge starts from, counted from the first of its block.
        receivers: [E] int32. The node an edge goes to, counted likewise.
        edge_types: [E] int32. The EdgeType of each edge.
        edge_splits: [B + 1] int64. Where each block's edges begin and end.
        instruction_nodes: [I] int32. The node of each instruction, counted from the first of its block.
        annotations: [I, A] float32. The chosen statistics of each instruction; -1 where it has none.
    """

    node_tokens: Int32
    node_types: NDArray[np.uint8]
    node_splits: Int64
    senders: Int32
    receivers: Int32
    edge_types: Int32
    edge_splits: Int64
    instruction_nodes: Int32
    annotations: Float32


_NO_REGISTER = ("", -1)


class _Operand(NamedTuple):
    """An operand as the loops want it, with tokens as indices."""

    kind: OperandType
    register: tuple[str, int] = _NO_REGISTER  # name and token
    address_registers: tuple[tuple[str, int], ...] = ()  # base, index and segment
    has_displacement: bool = False
    alias_group: int = 0


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What one distinct instruction adds to any graph."""

    mnemonic: int
    prefixes: tuple[int, ...]
    inputs: tuple[_Operand, ...]
    outputs: tuple[_Operand, ...]
    annotations: tuple[float, ...]


class GraphBuilder:
    """Grows the graphs of blocks, one after the other.

    Args:
        vocabulary: Gives tokens their indices.
        annotation_names: The A annotations that become features, in order.
    """

    def __init__(self, vocabulary: Vocabulary, annotation_names: Sequence[str] = ()) -> None:
        self._vocabulary = vocabulary
        self._annotation_names = tuple(annotation_names)
        self._recipes: dict[Hashable, _Recipe] = {}
        self._immediate, self._address, self._memory = (
            vocabulary.index(token) for token in (token_names.IMMEDIATE, token_names.ADDRESS, token_names.MEMORY)
        )
        self._node_tokens, self._node_types = array("i"), array("B")
        self._senders, self._receivers, self._edge_types = array("i"), array("i"), array("i")
        self._node_counts, self._edge_counts = array("q"), array("q")
        self._instruction_nodes, self._annotations = array("i"), array("f")

    def add(self, block: AnyBlock) -> None:
        """Adds the graph of a block; one that raises leaves no trace.

        Raises:
            UnknownTokenError: A token is not in the vocabulary and there is no replacement token.
            DataError: An instruction writes to what cannot be written, or an annotation is not a finite number.
        """
        recipes = [self._recipe(key, instruction) for key, instruction in keyed_instructions(block)]
        first_node, first_edge = len(self._node_tokens), len(self._senders)
        graph = _OpenGraph(self, first_node)
        for recipe in recipes:
            graph.add(recipe)
            self._annotations.extend(recipe.annotations)
        self._node_counts.append(len(self._node_tokens) - first_node)
        self._edge_counts.append(len(self._senders) - first_edge)

    def finish(self) -> BlockGraphs:
        """Returns the graphs of all blocks."""
        annotations = np.array(self._annotations, dtype=np.float32)
        return BlockGraphs(
            node_tokens=np.array(self._node_tokens, dtype=np.int32),
            node_types=np.array(self._node_types, dtype=np.uint8),
            node_splits=splits_of(self._node_counts),
            senders=np.array(self._senders, dtype=np.int32),
            receivers=np.array(self._receivers, dtype=np.int32),
            edge_types=np.array(self._edge_types, dtype=np.int32),
            edge_splits=splits_of(self._edge_counts),
            instruction_nodes=np.array(self._instruction_nodes, dtype=np.int32),
            annotations=annotations.reshape(len(self._instruction_nodes), len(self._annotation_names)),
        )

    def node(self, token: int, kind: NodeType) -> None:
        """Adds a node."""
        self._node_tokens.append(token)
        self._node_types.append(kind)

    def edge(self, sender: int, receiver: int, kind: int) -> None:
        """Adds an edge between two nodes of the block that is being added."""
        self._senders.append(sender)
        self._receivers.append(receiver)
        self._edge_types.append(kind)

    def instruction(self, node: int) -> None:
        """Notes which node stands for the next instruction."""
        self._instruction_nodes.append(node)

    @property
    def num_nodes(self) -> int:
        """How many nodes there are in all graphs."""
        return len(self._node_tokens)

    @property
    def special_tokens(self) -> tuple[int, int, int]:
        """The tokens of immediates, addresses and memory."""
        return self._immediate, self._address, self._memory

    def _recipe(self, key: Hashable, instruction: Any) -> _Recipe:
        recipe = self._recipes.get(key)
        if recipe is None:
            if not isinstance(instruction, Instruction):
                instruction = instruction_from_proto(instruction)
            recipe = self._recipes[key] = self._new_recipe(instruction)
        return recipe

    def _new_recipe(self, instruction: Instruction) -> _Recipe:
        outputs = (*instruction.output_operands, *instruction.implicit_output_operands)
        for operand in outputs:
            if operand.type not in _WRITABLE:
                raise DataError(
                    f"instruction {instruction.mnemonic} writes to an operand of type {operand.type.name}",
                    "Import the data set again: only registers and memory can be outputs.",
                )
        values = {annotation.name: annotation.value for annotation in instruction.instruction_annotations}
        annotations = tuple(values.get(name, MISSING_ANNOTATION) for name in self._annotation_names)
        for name, value in zip(self._annotation_names, annotations, strict=True):
            if not abs(value) <= _LARGEST_FLOAT32:  # true for NaN as well
                raise DataError(
                    f"instruction {instruction.mnemonic} has annotation {name} = {value}, not a finite float32 number",
                    "Correct the annotation, or leave its name out of the file of annotation names.",
                )
        return _Recipe(
            mnemonic=self._vocabulary.index(instruction.mnemonic),
            prefixes=tuple(self._vocabulary.indices(instruction.prefixes)),
            inputs=tuple(map(self._operand, (*instruction.input_operands, *instruction.implicit_input_operands))),
            outputs=tuple(map(self._operand, outputs)),
            annotations=annotations,
        )

    def _operand(self, operand: InstructionOperand) -> _Operand:
        if operand.register_name is not None:
            return _Operand(operand.type, register=self._register(operand.register_name))
        address = operand.address
        if address is None:
            return _Operand(operand.type, alias_group=operand.alias_group_id or 0)
        names = (address.base_register, address.index_register, address.segment_register)
        registers = tuple(self._register(name) if name else _NO_REGISTER for name in names)
        return _Operand(operand.type, address_registers=registers, has_displacement=address.displacement != 0)

    def _register(self, name: str) -> tuple[str, int]:
        return name, self._vocabulary.index(name)


class _OpenGraph:
    """The graph that is being built, with the node that holds each register and memory group now."""

    def __init__(self, builder: GraphBuilder, first_node: int) -> None:
        self._builder = builder
        self._first_node = first_node
        self._registers: dict[str, int] = {}
        self._memory: dict[int, int] = {}
        self._previous: int | None = None

    def add(self, recipe: _Recipe) -> None:
        edge = self._builder.edge
        node = self._new(recipe.mnemonic, NodeType.INSTRUCTION)
        self._builder.instruction(node)
        for prefix in recipe.prefixes:
            edge(self._new(prefix, NodeType.PREFIX), node, _PREFIX)
        if self._previous is not None:
            edge(self._previous, node, _STRUCTURAL)
        self._previous = node
        for operand in recipe.inputs:
            value = self._read(operand)
            if value is not None:
                edge(value, node, _INPUT)
        for operand in recipe.outputs:
            self._write(operand, node)

    def _new(self, token: int, kind: NodeType) -> int:
        self._builder.node(token, kind)
        return self._builder.num_nodes - 1 - self._first_node

    def _read(self, operand: _Operand) -> int | None:
        immediate, _, memory = self._builder.special_tokens
        kind = operand.kind
        if kind is OperandType.REGISTER:
            return self._value(*operand.register)
        if kind is OperandType.IMMEDIATE_VALUE:
            return self._new(immediate, NodeType.IMMEDIATE)
        if kind is OperandType.FP_IMMEDIATE_VALUE:
            return self._new(immediate, NodeType.FP_IMMEDIATE)
        if kind is OperandType.ADDRESS:
            return self._read_address(operand)
        if kind is OperandType.MEMORY:
            group = operand.alias_group
            if group not in self._memory:
                self._memory[group] = self._new(memory, NodeType.MEMORY_OPERAND)
            return self._memory[group]
        return None  # an operand of unknown kind has no token, hence no node

    def _value(self, name: str, token: int) -> int:
        node = self._registers.get(name)
        if node is None:
            node = self._registers[name] = self._new(token, NodeType.REGISTER)
        return node

    def _read_address(self, operand: _Operand) -> int:
        immediate, token, _ = self._builder.special_tokens
        node = self._new(token, NodeType.ADDRESS_OPERAND)
        for register, kind in zip(operand.address_registers, (_BASE, _INDEX, _SEGMENT), strict=True):
            if register is not _NO_REGISTER:
                self._builder.edge(self._value(*register), node, kind)
        if operand.has_displacement:
            self._builder.edge(self._new(immediate, NodeType.IMMEDIATE), node, _DISPLACEMENT)
        return node

    def _write(self, operand: _Operand, instruction: int) -> None:
        if operand.kind is OperandType.REGISTER:
            name, token = operand.register
            value = self._registers[name] = self._new(token, NodeType.REGISTER)
        elif operand.kind is OperandType.MEMORY:
            value = self._new(self._builder.special_tokens[2], NodeType.MEMORY_OPERAND)
            self._memory[operand.alias_group] = value
        else:
            return
        self._builder.edge(instruction, value, _OUTPUT)
