"""Two vocabularies side by side: which tokens only one of them has, and how many blocks that concerns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gematria_ops.blocks.tokens import STRUCTURAL_TOKENS, instruction_tokens
from gematria_ops.blocks.vocabulary import read_tokens_file
from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.record_files import find_record_files
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto
from gematria_ops.formats.protos.canonicalized_instruction_pb2 import CanonicalizedInstructionProto
from ops_common.progress import Progress
from ops_common.tfrecord import is_record_file

_MAX_KEPT_INSTRUCTIONS = 1 << 16


@dataclass(frozen=True)
class TokenSource:
    """The tokens of a tokens file or of TFRecord files.

    Attributes:
        name: What it was given as.
        tokens: Its tokens, without the structural ones: every vocabulary has those.
        record_files: The TFRecord files; none for a tokens file.
    """

    name: str
    tokens: frozenset[str]
    record_files: tuple[Path, ...]


@dataclass(frozen=True)
class MissingTokens:
    """What one side has and the other lacks.

    Attributes:
        tokens: Token to number of blocks with it, the most frequent first; 0 where the side is no data.
        num_blocks: Blocks with one of these tokens or more.
        num_all_blocks: All blocks.
    """

    tokens: dict[str, int]
    num_blocks: int
    num_all_blocks: int


@dataclass(frozen=True)
class VocabularyDifference:
    """How two sides differ.

    Attributes:
        num_first: Tokens of the first, without the structural ones.
        num_second: Tokens of the second.
        num_shared: Tokens of both.
        only_first: What only the first has.
        only_second: What only the second has.
    """

    num_first: int
    num_second: int
    num_shared: int
    only_first: MissingTokens
    only_second: MissingTokens


def compare_vocabularies(first: Path, second: Path) -> VocabularyDifference:
    """Compares two sets of tokens.

    Args:
        first: A tokens file, a TFRecord file, or the folder of a data set, whose blocks are meant.
        second: The same.

    Raises:
        DataError: A file is missing or neither of the two.
    """
    sides = [_read_side(path) for path in (first, second)]
    only_first, only_second = sides[0].tokens - sides[1].tokens, sides[1].tokens - sides[0].tokens
    return VocabularyDifference(
        len(sides[0].tokens),
        len(sides[1].tokens),
        len(sides[0].tokens & sides[1].tokens),
        _count_blocks(sides[0], only_first),
        _count_blocks(sides[1], only_second),
    )


def _read_side(path: Path) -> TokenSource:
    if not path.is_dir() and not (path.exists() and is_record_file(path) and path.stat().st_size):
        return TokenSource(str(path), frozenset(read_tokens_file(path)) - STRUCTURAL_TOKENS, ())
    files = find_record_files([path])
    tokens: set[str] = set()
    memory = _TokenMemory()
    with Progress(f"read {path.name}", None, "blocks") as progress:
        for message in read_blocks(files):
            tokens |= memory.tokens_of(message.basic_block)
            progress.advance()
    return TokenSource(str(path), frozenset(tokens) - STRUCTURAL_TOKENS, tuple(files))


def _count_blocks(side: TokenSource, wanted: frozenset[str]) -> MissingTokens:
    """Counts the blocks that have tokens; a second pass over the data, and none when there is nothing to find."""
    num_by_token: Counter[str] = Counter(dict.fromkeys(wanted, 0))
    num_blocks = num_all_blocks = 0
    memory = _TokenMemory()
    for message in read_blocks(side.record_files) if wanted else ():
        found = memory.tokens_of(message.basic_block) & wanted
        num_by_token.update(found)
        num_blocks += bool(found)
        num_all_blocks += 1
    tokens = dict(sorted(num_by_token.items(), key=lambda item: (-item[1], item[0])))
    return MissingTokens(tokens, num_blocks, num_all_blocks)


class _TokenMemory:
    """Remembers the tokens of instructions, of which there are few different ones."""

    def __init__(self) -> None:
        self._known: dict[bytes, frozenset[str]] = {}

    def tokens_of(self, block: BasicBlockProto) -> set[str]:
        tokens: set[str] = set()
        for instruction in block.canonicalized_instructions:
            tokens |= self._tokens_of_instruction(instruction)
        return tokens

    def _tokens_of_instruction(self, instruction: CanonicalizedInstructionProto) -> frozenset[str]:
        key = instruction.SerializeToString()
        if key not in self._known:
            if len(self._known) >= _MAX_KEPT_INSTRUCTIONS:
                self._known.clear()
            self._known[key] = frozenset(instruction_tokens(instruction_from_proto(instruction)))
        return self._known[key]
