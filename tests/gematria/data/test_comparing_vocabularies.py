"""Tokens that only one of two vocabularies has, and the blocks that have them."""

import pytest

from gematria_ops.blocks.vocabulary import Vocabulary
from gematria_ops.data.comparing_vocabularies import MissingTokens, VocabularyDifference, compare_vocabularies
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.errors import DataError
from ops_common.tfrecord import write_records

NOTHING = MissingTokens({}, 0, 0)


def write_blocks(path, *blocks):
    messages = []
    for mnemonics in blocks:
        message = BasicBlockWithThroughputProto()
        for mnemonic in mnemonics.split():
            message.basic_block.canonicalized_instructions.add(mnemonic=mnemonic)
        messages.append(message.SerializeToString())
    write_records(path, messages)
    return path


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("# our tokens\nADD\nSUB\n\nXOR\n")
    return path


def test_two_tokens_files(tmp_path, tokens):
    other = tmp_path / "other.txt"
    Vocabulary.from_tokens(["SUB", "MOV"]).save(other)  # with all structural tokens
    assert compare_vocabularies(tokens, other) == VocabularyDifference(
        3, 2, 1, MissingTokens({"ADD": 0, "XOR": 0}, 0, 0), MissingTokens({"MOV": 0}, 0, 0)
    )
    assert compare_vocabularies(tokens, tokens) == VocabularyDifference(3, 3, 3, NOTHING, NOTHING)


def test_blocks_with_tokens_that_are_not_in_the_file(tmp_path, tokens):
    blocks = write_blocks(tmp_path / "blocks", "ADD MOV", "SUB", "LEA LEA MOV", "XOR", "LEA")
    expected = MissingTokens({"LEA": 2, "MOV": 2}, 3, 5)
    assert compare_vocabularies(tokens, blocks) == VocabularyDifference(3, 5, 3, NOTHING, expected)
    assert compare_vocabularies(blocks, tokens) == VocabularyDifference(5, 3, 3, expected, NOTHING)


def test_a_data_set_is_its_blocks(tmp_path, tokens):
    folder = tmp_path / "dataset"
    folder.mkdir()
    write_blocks(folder / "train.tfrecord", "ADD")
    write_blocks(folder / "test.tfrecord", "MOV")
    difference = compare_vocabularies(folder, tokens)
    assert difference.only_first == MissingTokens({"MOV": 1}, 1, 2)
    assert difference.only_second.tokens == {"SUB": 0, "XOR": 0}


def test_files_that_are_neither(tmp_path, tokens):
    with pytest.raises(DataError, match="cannot read the tokens file"):
        compare_vocabularies(tokens, tmp_path / "missing")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff" * 40)
    with pytest.raises(DataError, match="is not UTF-8 text"):
        compare_vocabularies(binary, tokens)
