"""Vocabularies: indices, unknown tokens, tokens files."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from gematria_ops.blocks.tokens import STRUCTURAL_TOKENS
from gematria_ops.blocks.vocabulary import UnknownTokenError, Vocabulary, read_tokens_file, write_tokens_file
from ops_common.errors import ConfigError, DataError


def test_the_index_is_the_place_among_the_sorted_tokens() -> None:
    vocabulary = Vocabulary.from_tokens(["nop", "ADD", "RAX", "ADD"])
    assert vocabulary.tokens == tuple(sorted({"nop", "ADD", "RAX", *STRUCTURAL_TOKENS}))
    assert [vocabulary.index(token) for token in vocabulary] == list(range(len(vocabulary)))
    assert vocabulary.indices(["RAX", "ADD"]) == [1, 0]
    assert "RAX" in vocabulary
    assert "RBX" not in vocabulary
    assert vocabulary == Vocabulary(["RAX", "nop", "ADD", "_D_"])
    assert vocabulary != Vocabulary(["RAX"])
    assert hash(vocabulary) == hash(Vocabulary(["RAX", "nop", "ADD"]))


def test_an_unknown_token_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownTokenError, match="Token not found: 'RBX'") as caught:
        Vocabulary(["RAX"]).indices(["RAX", "RBX"])
    assert caught.value.token == "RBX"
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (copied.token, str(copied)) == ("RBX", str(caught.value))


def test_a_replacement_token_stands_in_for_unknown_tokens() -> None:
    vocabulary = Vocabulary(["RAX"], replacement_token="_UNKNOWN_")
    assert vocabulary.index("RBX") == vocabulary.replacement_index == vocabulary.index("_UNKNOWN_")
    assert vocabulary.replacement_token == "_UNKNOWN_"
    assert vocabulary.unknown_tokens(["RBX", "RAX", "RBX", "AL"]) == ("AL", "RBX")
    assert Vocabulary(["RAX"]).replacement_index is None
    with pytest.raises(ConfigError, match="replacement token 'RBX' is not in the vocabulary"):
        Vocabulary(["RAX"], replacement_token="RBX")


def test_a_vocabulary_is_saved_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "tokens.txt"
    vocabulary = Vocabulary(["nop", "ADD"], "_UNKNOWN_")
    vocabulary.save(path)
    assert path.read_text() == "".join(f"{token}\n" for token in vocabulary.tokens)
    assert Vocabulary.from_file(path, "_UNKNOWN_") == vocabulary


def test_reading_strips_and_drops_comments(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("  RAX \n\n# comment\n   # another\nADD\t\r\nRAX\nnop # kept")
    assert read_tokens_file(path) == ("ADD", "RAX", "nop # kept")
    write_tokens_file(path, ["b", "a", "b"])
    assert path.read_text() == "a\nb\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the tokens file holds no token"),
        (b"# only a comment\n\n", "the tokens file holds no token"),
        (b"RAX\n\xff\xfe", "the tokens file is not UTF-8 text"),
        (None, "cannot read the tokens file: No such file or directory"),
    ],
)
def test_bad_tokens_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "tokens.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Vocabulary.from_file(path)
    assert str(path) in caught.value.message


def test_the_vocabulary_does_not_load_the_disassembler() -> None:
    program = "import sys, gematria_ops.blocks.vocabulary; sys.exit('iced_x86' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
