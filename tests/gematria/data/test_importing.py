"""One CSV file to one TFRecord file: records as specified, every bad row counted by reason and shown once."""

import re
from pathlib import Path

import pytest

from gematria_ops.blocks.decoding import CANONICALIZER_VERSION, decode_block
from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.importing import import_bhive
from gematria_ops.formats.bhive_csv import CsvLayout
from gematria_ops.formats.proto_codec import instruction_to_proto
from gematria_ops.formats.protos.throughput_pb2 import ThroughputWithSourceProto
from ops_common.errors import ArtifactError, ConfigError, DataError

SAMPLE = Path(__file__).parents[2] / "data" / "bhive" / "sample_hsw.csv"

# Bytes of "mov eax, imm32" whose last byte is missing; and the opcode that x86-64 took away from PUSH ES.
TRUNCATED = "b8000000"
UNDECODABLE = "90069090"
UNDECODABLE_REASONS = ("truncated_instruction", "undecodable_instruction")

BAD_ROWS = [
    ("4929d,100", "odd_hex", "4929d,100"),
    ("4929dz,100", "not_hex", "4929dz,100"),
    ("4929d2", "missing_column", "4929d2"),
    ("4929d2,fast", "not_a_number", "4929d2,fast"),
    ("4929d2,-1", "negative", "4929d2,-1"),
    ("4929d2,nan", "nan", "4929d2,nan"),
    ("4929d2,0", "zero", "4929d2,0"),
    ("4929d2,inf", "infinite", "4929d2,inf"),
    (f"{TRUNCATED},100", "truncated_instruction", f"byte 0 of {TRUNCATED}"),
    (f"{UNDECODABLE},100", "undecodable_instruction", f"byte 1 of {UNDECODABLE}"),
    (",100", "empty_block", ",100"),
    ("90,200", "conflicting_duplicate", "2 cycles per iteration, but 1 for the same block in line 1"),
    ("90,1e2", "exact_duplicate", "the same as line 1"),
    ("", "blank_line", ""),
    ("ff" * 200_000 + ",1", "line_too_long", "more than 262144 bytes"),
]


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out" / "blocks.tfrecord"


def test_a_record_has_machine_code_canonical_form_and_label(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "4929d2418b0424,207.000000")
    report = import_bhive(csv_file, "bhive: hsw", output)
    (block,) = read_blocks(output)
    machine = block.basic_block.machine_instructions
    assert [(instruction.address, instruction.machine_code.hex()) for instruction in machine] == [
        (0, "4929d2"),
        (3, "418b0424"),
    ]
    decoded = decode_block(bytes.fromhex("4929d2418b0424"))
    assert [instruction.assembly for instruction in machine] == [one.assembly for one in decoded]
    assert list(block.basic_block.canonicalized_instructions) == [
        instruction_to_proto(one.instruction) for one in decoded
    ]
    assert list(block.inverse_throughputs) == [
        ThroughputWithSourceProto(source="bhive: hsw", inverse_throughput_cycles=[207.0 * 0.01])
    ]
    assert (report.num_blocks, report.num_rejected) == (1, 0)
    assert report.canonicalizer_version == CANONICALIZER_VERSION
    assert report.block_lengths.num_blocks == {"2": 1}


def test_the_order_of_the_rows_is_kept_whatever_the_number_of_workers(tmp_path):
    # More chunks than are done in this process.
    filler = [f"b8{number:08x},100" for number in range(3000)]
    csv_file = write(tmp_path / "blocks.csv", *SAMPLE.read_text().splitlines(), *filler)
    outputs = [tmp_path / f"{num_workers}.tfrecord" for num_workers in (1, 2)]
    for num_workers, path in enumerate(outputs, start=1):
        import_bhive(csv_file, "bhive: hsw", path, num_workers=num_workers)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    codes = []
    for block in read_blocks(outputs[0]):
        codes.append(b"".join(one.machine_code for one in block.basic_block.machine_instructions).hex())
    assert codes == [line.split(",")[0] for line in csv_file.read_text().splitlines()]


def test_labels_are_described(output):
    report = import_bhive(SAMPLE, "bhive: hsw", output)
    (source,) = report.sources
    assert (source.num_rows, source.num_accepted, source.num_rejected) == (2000, 2000, 0)
    cycles = sorted(float(line.split(",")[1]) * 0.01 for line in SAMPLE.read_text().splitlines())
    assert source.labels.minimum == cycles[0]
    assert source.labels.percentiles["50"] == cycles[999]
    assert source.labels.mean == pytest.approx(sum(cycles) / 2000)


@pytest.mark.parametrize("line, reason, text", BAD_ROWS, ids=[reason for _, reason, _ in BAD_ROWS])
def test_a_bad_row_is_counted_shown_and_left_out(tmp_path, output, line, reason, text):
    csv_file = write(tmp_path / "blocks.csv", "90,100", line, "c3,200", line, "cc,300")
    report = import_bhive(csv_file, "test", output, max_rejected_share=0.9)
    assert [len(block.basic_block.machine_instructions) for block in read_blocks(output)] == [1, 1, 1]
    rejected = report.sources[0].rejected
    assert (rejected[reason].first_line_number, rejected[reason].first_text) == (2, text)
    # Whether a block can be decoded is known later; its repetition is a repetition first of all.
    num_repeated = rejected["exact_duplicate"].num_rows if reason in UNDECODABLE_REASONS else 0
    assert rejected[reason].num_rows + num_repeated == 2


def test_what_is_counted_does_not_depend_on_the_workers(tmp_path):
    filler = [f"b8{number:08x},100" for number in range(4000)]
    lines = [line for number in range(0, 4000, 100) for line in (f"{UNDECODABLE},7", *filler[number : number + 100])]
    csv_file = write(tmp_path / "blocks.csv", *lines)
    reports = [
        import_bhive(csv_file, "test", tmp_path / "out.tfrecord", max_rejected_share=1, num_workers=num_workers)
        for num_workers in (1, 2)
    ]
    assert reports[0] == reports[1]
    assert {reason: rows.num_rows for reason, rows in reports[0].sources[0].rejected.items()} == {
        "exact_duplicate": 39,
        "undecodable_instruction": 1,
    }


def test_rejections_are_in_the_summary(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "90,100", *(line for line, _, _ in BAD_ROWS))
    report = import_bhive(csv_file, "test", output, max_rejected_share=1)
    text = "\n".join(report.summary_lines())
    for line_number, (_, reason, shown) in enumerate(BAD_ROWS, start=2):
        assert f"{reason}: 1 rows, first in line {line_number}: {shown!r}" in text


def test_too_many_bad_rows_fail_with_every_reason_named(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "90,100", "c3,1", "zz,1", "zz,2", "4929d,1")
    with pytest.raises(DataError) as caught:
        import_bhive(csv_file, "test", output, max_rejected_share=0.59)
    assert caught.value.message.splitlines() == [
        f"{csv_file}: 3 of 5 rows (60.00%) cannot be used, more than the allowed 59.00%",
        "  not_hex: 2 rows, first in line 3: 'zz,1'",
        "  odd_hex: 1 rows, first in line 5: '4929d,1'",
    ]
    assert "max_rejected_share" in caught.value.hint
    assert not output.exists()
    assert list(output.parent.iterdir()) == []
    assert import_bhive(csv_file, "test", output, max_rejected_share=0.6).num_blocks == 2


def test_harmless_rows_do_not_count_against_the_share(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "90,100", "90,100", "", "90,100")
    report = import_bhive(csv_file, "test", output, max_rejected_share=0)
    assert (report.num_blocks, report.num_rejected, report.sources[0].num_harmless) == (1, 0, 3)


def test_undecodable_blocks_count_against_the_share(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "90,100", f"{UNDECODABLE},1")
    with pytest.raises(DataError, match="undecodable_instruction: 1 rows, first in line 2"):
        import_bhive(csv_file, "test", output, max_rejected_share=0.4)


def test_an_undecodable_block_is_not_among_the_labels(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "90,100", f"{UNDECODABLE},900")
    report = import_bhive(csv_file, "test", output, max_rejected_share=1)
    assert report.sources[0].labels.maximum == 1.0


def test_an_empty_file_makes_an_empty_file(tmp_path, output):
    report = import_bhive(write(tmp_path / "empty.csv"), "test", output, max_rejected_share=0)
    assert (report.num_blocks, report.block_lengths.mean, output.read_bytes()) == (0, 0.0, b"")


def test_other_columns_and_unit(tmp_path, output):
    csv_file = write(tmp_path / "blocks.csv", "a,100.0,x,90")
    import_bhive(csv_file, "test", output, layout=CsvLayout(3, 1, 0.5))
    (block,) = read_blocks(output)
    assert list(block.inverse_throughputs[0].inverse_throughput_cycles) == [50.0]


def test_carriage_returns_and_byte_order_mark(tmp_path, output):
    csv_file = tmp_path / "windows.csv"
    csv_file.write_bytes(b"\xef\xbb\xbf90,100\r\nc3,200\r\n")
    assert import_bhive(csv_file, "test", output, max_rejected_share=0).num_blocks == 2


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_bad_shares(output, share):
    with pytest.raises(ConfigError, match=re.escape(f"max_rejected_share = {share}")):
        import_bhive(SAMPLE, "test", output, max_rejected_share=share)


def test_missing_input_and_impossible_output(tmp_path, output):
    with pytest.raises(DataError, match="does not exist"):
        import_bhive(tmp_path / "missing.csv", "test", output)
    assert not output.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be made"):
        import_bhive(SAMPLE, "test", tmp_path / "file" / "blocks.tfrecord")
