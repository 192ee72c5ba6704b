"""From the blocks of a data set to numbers: the instructions' tokens, each distinct instruction worked out once.

A block is a dataclass or a protocol buffer message. Messages are looked up by their serialized instruction, so that
reading a large data set costs one dictionary look-up an instruction.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from gematria_ops.blocks.basic_block import BasicBlock, Instruction
from gematria_ops.blocks.throughput import BasicBlockWithThroughput
from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.blocks.vocabulary import UnknownTokenError, Vocabulary
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.errors import DataError

AnyBlock = BasicBlock | BasicBlockWithThroughput | BasicBlockProto | BasicBlockWithThroughputProto


class TokenNotFoundError(DataError):
    """A block holds a token that the vocabulary does not have, and there is no replacement token.

    Attributes:
        token: The token.
    """

    def __init__(self, token: str, block: str) -> None:
        super().__init__(
            f"Token not found: {token!r} of {block} is not in the vocabulary",
            "Extract the tokens from the data that the model shall read, give a replacement token, or drop the block.",
        )
        self.token = token


class InstructionTable:
    """The distinct instructions met so far, as token indices; instructions with the same tokens are the same.

    Args:
        vocabulary: Gives a token its index, or says that it is unknown.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids_by_key: dict[Hashable, int] = {}
        self._ids_by_tokens: dict[tuple[int, ...], int] = {}
        self._tokens: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._tokens)

    def tokens(self, instruction_id: int) -> tuple[int, ...]:
        """Returns the vocabulary indices of an instruction's tokens."""
        return self._tokens[instruction_id]

    def encode(self, block: AnyBlock) -> list[int]:
        """Returns the id of each instruction of a block, in order.

        Raises:
            UnknownTokenError: A token is not in the vocabulary and there is no replacement token.
        """
        known = self._ids_by_key
        ids = []
        for key, instruction in keyed_instructions(block):
            instruction_id = known.get(key)
            if instruction_id is None:
                instruction_id = known[key] = self._add(instruction)
            ids.append(instruction_id)
        return ids

    def _add(self, instruction: Any) -> int:
        if not isinstance(instruction, Instruction):
            instruction = instruction_from_proto(instruction)
        row = tuple(self._vocabulary.indices(instruction_tokens(instruction)))
        instruction_id = self._ids_by_tokens.setdefault(row, len(self._tokens))
        if instruction_id == len(self._tokens):
            self._tokens.append(row)
        return instruction_id


def keyed_instructions(block: AnyBlock) -> Iterator[tuple[Hashable, Any]]:
    """Yields the instructions of a block, dataclasses or messages, each with a key that equal ones share."""
    if isinstance(block, BasicBlockWithThroughputProto):
        block = block.basic_block
    elif isinstance(block, BasicBlockWithThroughput):
        block = block.block
    if isinstance(block, BasicBlock):
        return ((instruction, instruction) for instruction in block.instructions)
    return ((proto.SerializeToString(), proto) for proto in block.canonicalized_instructions)


def num_instructions(block: AnyBlock) -> int:
    """Counts the instructions of a block that a model reads."""
    if isinstance(block, BasicBlockWithThroughputProto):
        return len(block.basic_block.canonicalized_instructions)
    if isinstance(block, BasicBlockProto):
        return len(block.canonicalized_instructions)
    return len(block.block.instructions if isinstance(block, BasicBlockWithThroughput) else block.instructions)


def describe_block(block: AnyBlock, block_index: int) -> str:
    """Says which block of an input this is: its position, and its fingerprint or machine code where it has one."""
    message = block.basic_block if isinstance(block, BasicBlockWithThroughputProto) else block
    name = ""
    if isinstance(message, BasicBlockProto):
        code = b"".join(part.machine_code for part in message.machine_instructions).hex()
        name = message.fingerprint or (code if len(code) <= 64 else f"{code[:64]}...")
    return f"block {block_index} ({name})" if name else f"block {block_index}"


def is_encodable(block: AnyBlock, table: InstructionTable) -> bool:
    """Answers whether a model with this vocabulary can read a block: it has instructions and knows all their tokens."""
    try:
        return bool(table.encode(block))
    except UnknownTokenError:
        return False
