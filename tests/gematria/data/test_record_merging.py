"""Several TFRecord files to one record per block."""

from pathlib import Path

import pytest

from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.importing import import_bhive
from gematria_ops.data.merging import import_and_merge
from gematria_ops.data.record_files import find_record_files
from gematria_ops.data.record_merging import MergeReport, merge_record_files
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.errors import ConfigError, DataError
from ops_common.tfrecord import write_records

SAMPLES = Path(__file__).parents[2] / "data" / "bhive"
UARCHS = ("ivb", "hsw", "skl")


def record(code, labels, mnemonic="NOP"):
    message = BasicBlockWithThroughputProto()
    if code is not None:
        message.basic_block.machine_instructions.add(machine_code=bytes.fromhex(code))
    message.basic_block.canonicalized_instructions.add(mnemonic=mnemonic)
    for source, cycles in labels.items():
        message.inverse_throughputs.add(source=source, inverse_throughput_cycles=cycles)
    return message


def write(path, *messages):
    write_records(path, (message.SerializeToString() for message in messages))
    return path


def labels_by_block(path):
    return [
        (
            b"".join(item.machine_code for item in message.basic_block.machine_instructions).hex(),
            [(entry.source, *entry.inverse_throughput_cycles) for entry in message.inverse_throughputs],
        )
        for message in read_blocks(path)
    ]


def test_blocks_and_labels_in_the_order_of_first_appearance(tmp_path):
    first = write(tmp_path / "1", record("90", {"a": [1.0]}), record("c3", {"a": [2.0, 3.0]}), record("f4", {}))
    second = write(tmp_path / "2", record("cc", {"b": [4.0]}), record("90", {"b": [5.0], "c": [6.0]}))
    output = tmp_path / "merged"
    report = merge_record_files([first, second], output)
    assert labels_by_block(output) == [
        ("90", [("a", 1.0), ("b", 5.0), ("c", 6.0)]),
        ("c3", [("a", 2.0, 3.0)]),
        ("f4", []),
        ("cc", [("b", 4.0)]),
    ]
    assert report == MergeReport(num_records=5, num_blocks=4, num_sources=3, num_labels=5)


def test_a_block_twice_with_the_same_source_keeps_the_first_label(tmp_path):
    first = write(tmp_path / "1", record("90", {"a": [1.0]}), record("90", {"a": [1.0]}), record("90", {"a": [2.0]}))
    report = merge_record_files([first], first)  # the output may be the input
    assert labels_by_block(first) == [("90", [("a", 1.0)])]
    assert (report.num_repeated_labels, report.num_conflicting_labels, report.num_labels) == (1, 1, 1)


def test_blocks_without_machine_code_are_told_apart_by_their_canonical_form(tmp_path):
    messages = [record(None, {"a": [1.0]}), record(None, {"a": [2.0]}, "ADD"), record(None, {"b": [3.0]})]
    report = merge_record_files([write(tmp_path / "1", *messages)], tmp_path / "merged")
    assert (report.num_blocks, report.num_labels) == (2, 3)


def test_other_canonical_forms_of_the_same_code_are_counted(tmp_path):
    first = write(tmp_path / "1", record("90", {"a": [1.0]}, "nop"))
    second = write(tmp_path / "2", record("90", {"b": [2.0]}, "NOP"))
    report = merge_record_files([first, second], tmp_path / "merged")
    assert (report.num_differing_blocks, report.num_blocks) == (1, 1)
    (message,) = read_blocks(tmp_path / "merged")
    assert message.basic_block.canonicalized_instructions[0].mnemonic == "nop"


def test_three_imports_merged_are_the_import_of_three_files(tmp_path):
    csv_files = [SAMPLES / f"sample_{uarch}.csv" for uarch in UARCHS]
    for csv_file, uarch in zip(csv_files, UARCHS, strict=True):
        import_bhive(csv_file, f"bhive: {uarch}", tmp_path / uarch, num_workers=1)
    merge_record_files([tmp_path / uarch for uarch in UARCHS], tmp_path / "merged")
    import_and_merge(csv_files, [f"bhive: {uarch}" for uarch in UARCHS], tmp_path / "dataset", num_workers=1)
    expected = {message.SerializeToString() for message in read_blocks(find_record_files([tmp_path / "dataset"]))}
    assert {message.SerializeToString() for message in read_blocks(tmp_path / "merged")} == expected


def test_a_torn_input_leaves_no_output(tmp_path):
    first = write(tmp_path / "1", record("90", {"a": [1.0]}))
    first.write_bytes(first.read_bytes()[:-2])
    with pytest.raises(DataError, match="record 0 is damaged"):
        merge_record_files([first], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_what_names_stand_for(tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    parts = [write(folder / f"{split}.tfrecord") for split in ("train", "test")]
    single = write(tmp_path / "1", record("90", {}))
    assert find_record_files([single, folder]) == [single, *parts]


BAD_NAMES = {
    "missing": (lambda path: path, "does not exist"),
    "text": (lambda path: path.write_text("90,100.0\n"), "is not a TFRecord file"),
    "short": (lambda path: path.write_text("90"), "is not a TFRecord file"),
    "folder": (lambda path: path.mkdir(), "holds no part of a data set"),
}


@pytest.mark.parametrize("make, message", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_bad_names(tmp_path, make, message):
    path = tmp_path / "input"
    make(path)
    with pytest.raises(DataError, match=message):
        find_record_files([path])


def test_no_names():
    with pytest.raises(ConfigError, match="no input"):
        find_record_files([])
