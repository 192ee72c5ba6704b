"""Data sets as streams: bad records named, labels selected in order, tasks without data refused by name."""

import re
from collections import Counter

import pytest

from gematria_ops.config import ThroughputSelection
from gematria_ops.data.dataset import collect_tokens, read_blocks, read_labelled_blocks, split_file, task_list
from gematria_ops.formats.proto_codec import instruction_to_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.artifacts import write_manifest
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.tfrecord import write_records
from tests.gematria.data.test_selecting import make_block, make_entry
from tests.gematria.formats.examples import FULL_INSTRUCTION, INSTRUCTIONS


@pytest.fixture
def write_blocks(tmp_path):
    def write(*blocks, name="blocks.tfrecord"):
        path = tmp_path / name
        write_records(path, [block.SerializeToString() for block in blocks])
        return path

    return write


def test_blocks_of_several_files_in_order(write_blocks):
    first = write_blocks(make_block(make_entry("a")), name="1.tfrecord")
    second = write_blocks(make_block(make_entry("b")), make_block(), name="2.tfrecord")
    assert list(read_blocks([second, first])) == [
        make_block(make_entry("b")),
        make_block(),
        make_block(make_entry("a")),
    ]


def test_a_record_that_is_no_block_is_named(tmp_path):
    path = tmp_path / "blocks.tfrecord"
    write_records(path, [make_block().SerializeToString(), b"\xff\xff not a message"])
    blocks = read_blocks(path)
    assert next(blocks) == make_block()
    with pytest.raises(DataError, match=re.escape(f"{path}: record 1 is not a BasicBlockWithThroughputProto")):
        next(blocks)


def test_select_drop_aggregate_scale_in_this_order(write_blocks):
    path = write_blocks(
        make_block(make_entry("a", [1.0, 3.0]), make_entry("b", [10.0])),
        make_block(make_entry("c", [5.0])),
        make_block(make_entry("b", [20.0, 40.0])),
        make_block(make_entry("a", [], [[1.0]])),
    )
    drop_counts = Counter()
    blocks = read_labelled_blocks(
        path, ["b", "a"], selection=ThroughputSelection.MIN, scaling=0.5, drop_counts=drop_counts
    )
    assert list(blocks) == [
        make_block(make_entry("b", [5.0]), make_entry("a", [0.5])),
        make_block(make_entry("b", [10.0]), make_entry("")),
    ]
    assert drop_counts == {"drop_blocks_with_no_throughputs": 2}


def test_prefixes_keep_a_block_when_they_are_used(write_blocks):
    path = write_blocks(make_block(make_entry("a", [], [[1.0, 2.0]])), make_block(make_entry("a", [1.0])))
    kept = list(read_labelled_blocks(path, ["a"], use_prefixes=True))
    assert kept == [make_block(make_entry("a", [], [[1.5]])), make_block(make_entry("a", [1.0]))]
    assert len(list(read_labelled_blocks(path, ["a"]))) == 1


def test_by_default_the_first_source_is_used(write_blocks):
    path = write_blocks(make_block(make_entry("x", [1.0]), make_entry("y", [2.0])))
    assert list(read_labelled_blocks(path)) == [make_block(make_entry("x", [1.0]))]


def test_without_filters_nothing_is_selected(write_blocks):
    block = make_block(make_entry("x", [1.0]), make_entry("y", [2.0]))
    assert list(read_labelled_blocks(write_blocks(block), [])) == [block]


SOURCES = (make_entry("bhive: hsw", [1.0]), make_entry("bhive: skl", [2.0]), make_entry("bhive: ivb"))

UNUSABLE = {
    "unknown source": (
        {"source_filters": ["bhive: hsw", "bhive: zen"], "task_names": ["hsw", "zen"]},
        "throughput source filter 'bhive: zen' of task 'zen' matches no source in",
        "the sources are 'bhive: hsw', 'bhive: ivb', 'bhive: skl'",
    ),
    "matched within, not at the beginning": (
        {"source_filters": ["hsw"]},
        "throughput source filter 'hsw' of task 'default' matches no source in",
        "at the beginning",
    ),
    "task without label": (
        {"source_filters": ["bhive: hsw", "bhive: ivb"], "task_names": ["hsw", "ivb"]},
        "task 'ivb' has no label in",
        "the sources are 'bhive: hsw'",
    ),
    "automatic name": ({"source_filters": [".*", "bhive: ivb"]}, "task 'task_2' has no label in", "import data"),
}


@pytest.mark.parametrize("arguments, message, hint", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_task_without_data_is_named(write_blocks, arguments, message, hint):
    path = write_blocks(make_block(*SOURCES), make_block(*SOURCES[:2]))
    blocks = read_labelled_blocks(path, **arguments)
    with pytest.raises(DataError) as caught:
        list(blocks)
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint


def test_labels_may_come_late(write_blocks):
    path = write_blocks(*[make_block(SOURCES[0])] * 20, make_block(SOURCES[1]))
    assert len(list(read_labelled_blocks(path, ["bhive: hsw", "bhive: skl"]))) == 21


def test_many_sources_are_not_all_listed_and_still_matched(write_blocks):
    path = write_blocks(*[make_block(make_entry(f"s{number:05d}", [1.0])) for number in range(1500)])
    with pytest.raises(DataError) as caught:
        list(read_labelled_blocks(path, ["zen"]))
    assert "'s00009' and 990 more" in caught.value.hint
    assert len(list(read_labelled_blocks(path, ["s01499"]))) == 1


def test_a_file_without_blocks_is_refused(write_blocks):
    with pytest.raises(DataError, match=r"there is no block in .*blocks"):
        list(read_labelled_blocks(write_blocks()))
    with pytest.raises(DataError, match="there is no block in no file"):
        list(read_labelled_blocks([]))


def test_names_of_tasks():
    assert task_list([], [".*"]) == ("default",)
    assert task_list([], []) == ("default",)
    assert task_list([], ["a", "b"]) == ("task_1", "task_2")
    assert task_list(["x", "y"], ["a", "b"]) == ("x", "y")
    with pytest.raises(ConfigError, match="1 task names, but 2 throughput source filters"):
        task_list(["x"], ["a", "b"])


def make_instructions(*instructions):
    block = BasicBlockWithThroughputProto()
    block.basic_block.canonicalized_instructions.extend(map(instruction_to_proto, instructions))
    return block


def test_tokens_that_occur(write_blocks, monkeypatch):
    path = write_blocks(
        make_instructions(INSTRUCTIONS["mnemonic only"]), make_instructions(FULL_INSTRUCTION, FULL_INSTRUCTION)
    )
    expected = {
        "nop", "LOCK", "REP", "ADC", "RAX", "RBX", "RSI", "FS", "EFLAGS",
        "_D_", "_MEMORY_", "_ADDRESS_", "_DISPLACEMENT_", "_IMMEDIATE_", "_NO_REGISTER_",
    }  # fmt: skip
    assert collect_tokens(path) == expected
    monkeypatch.setattr("gematria_ops.data.dataset._MAX_KEPT_INSTRUCTIONS", 1)
    assert collect_tokens([path, path]) == expected


def test_files_of_a_data_set(tmp_path, write_blocks):
    for split in ("train", "validation"):
        write_blocks(make_block(), name=f"{split}.tfrecord")
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist"):
        split_file(tmp_path, "train")
    write_manifest(tmp_path, ["train.tfrecord", "validation.tfrecord"])
    assert split_file(tmp_path, "train") == tmp_path / "train.tfrecord"
    with pytest.raises(ConfigError, match="no part 'training'"):
        split_file(tmp_path, "training")
    with pytest.raises(ConfigError, match=r"lists no test\.tfrecord"):
        split_file(tmp_path, "test")
    (tmp_path / "validation.tfrecord").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"validation\.tfrecord has 0 bytes"):
        split_file(tmp_path, "validation")
