"""The tokens that a model knows, and their indices.

The index of a token is its position in the sorted set of tokens, so the set alone decides the indices: a tokens file
may be sorted or not, and may hold the structural tokens or not. Specification sections 2.5, 6.4 and 8.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from gematria_ops.blocks.tokens import STRUCTURAL_TOKENS
from ops_common.artifacts import write_text
from ops_common.errors import ConfigError, DataError


class UnknownTokenError(DataError):
    """A token is not in the vocabulary and there is no replacement token.

    Attributes:
        token: The token.
    """

    def __init__(self, token: str) -> None:
        super().__init__(
            f"Token not found: {token!r} is not in the vocabulary",
            "Extract the tokens from the data that the model shall read, or give a replacement token.",
        )
        self.token = token


class Vocabulary:
    """An immutable set of tokens with an index for each.

    Args:
        tokens: The tokens that occur in the data, in any order; the structural tokens are added.
        replacement_token: Stands in for every unknown token. Empty: unknown tokens are errors.

    Raises:
        ConfigError: The replacement token is not in the vocabulary.
    """

    def __init__(self, tokens: Iterable[str], replacement_token: str = "") -> None:
        self._tokens = tuple(sorted(STRUCTURAL_TOKENS.union(tokens)))
        self._indices = {token: index for index, token in enumerate(self._tokens)}
        if replacement_token and replacement_token not in self._indices:
            raise ConfigError(
                f"the replacement token {replacement_token!r} is not in the vocabulary",
                "Use _UNKNOWN_, or add the token to the tokens file.",
            )
        self._replacement_token = replacement_token

    @classmethod
    def from_tokens(cls, tokens: Iterable[str], replacement_token: str = "") -> Vocabulary:
        """Makes a vocabulary of tokens; see the class."""
        return cls(tokens, replacement_token)

    @classmethod
    def from_file(cls, path: Path | str, replacement_token: str = "") -> Vocabulary:
        """Reads a tokens file and makes a vocabulary of it.

        Args:
            path: Tokens file; see `read_tokens_file`.
            replacement_token: See the class.

        Raises:
            DataError: The file cannot be read, is not UTF-8, or holds no token.
            ConfigError: The replacement token is not in the vocabulary.
        """
        tokens = read_tokens_file(path)
        if not tokens:
            raise DataError(f"{path}: the tokens file holds no token", "Make it with extract_tokens_file.")
        return cls(tokens, replacement_token)

    def save(self, path: Path | str) -> None:
        """Writes all tokens, one a line, in the order of their indices."""
        write_tokens_file(path, self._tokens)

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens; the position of a token is its index."""
        return self._tokens

    @property
    def replacement_token(self) -> str:
        """The token that stands in for unknown ones; empty: none."""
        return self._replacement_token

    @property
    def replacement_index(self) -> int | None:
        """The index of the replacement token, or None."""
        return self._indices[self._replacement_token] if self._replacement_token else None

    def index(self, token: str) -> int:
        """Looks up one token.

        Args:
            token: Any string.

        Returns:
            The index of the token, or that of the replacement token when it is unknown.

        Raises:
            UnknownTokenError: The token is unknown and there is no replacement token.
        """
        index = self._indices.get(token)
        if index is None:
            if not self._replacement_token:
                raise UnknownTokenError(token)
            return self._indices[self._replacement_token]
        return index

    def indices(self, tokens: Iterable[str]) -> list[int]:
        """Looks up several tokens, in order; see `index`."""
        return [self.index(token) for token in tokens]

    def unknown_tokens(self, tokens: Iterable[str]) -> tuple[str, ...]:
        """Lists the tokens that are not in the vocabulary, sorted, each once."""
        return tuple(sorted(set(tokens).difference(self._indices)))

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._indices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._tokens == other._tokens and self._replacement_token == other._replacement_token

    def __hash__(self) -> int:
        return hash((self._tokens, self._replacement_token))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, replacement_token={self._replacement_token!r})"


def read_tokens_file(path: Path | str) -> tuple[str, ...]:
    """Reads a file of names: one a line, stripped; empty lines and lines that begin with `#` are left out.

    Annotation names are kept in files of the same form. Structural tokens are not added here.

    Args:
        path: A text file in UTF-8.

    Returns:
        The names, each once, in code-point order.

    Raises:
        DataError: The file cannot be read or is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot read the tokens file: {error.strerror}", "Check the name.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: the tokens file is not UTF-8 text (byte {error.start})", "Is this really a tokens file?"
        ) from error
    stripped = (line.strip() for line in text.split("\n"))
    return tuple(sorted({line for line in stripped if line and not line.startswith("#")}))


def write_tokens_file(path: Path | str, tokens: Iterable[str]) -> None:
    """Writes a tokens file: sorted, each token once and on a line of its own."""
    write_text(Path(path), "".join(f"{token}\n" for token in sorted(set(tokens))))
