"""What is in a data set, counted by hand."""

import io
import math

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.data.describing import describe_record_files
from gematria_ops.data.description_tables import print_description
from gematria_ops.formats.block_encoding import encode_decoded_block
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.tfrecord import write_records


def block(code, *entries):
    message = BasicBlockWithThroughputProto()
    message.basic_block.ParseFromString(encode_decoded_block(decode_block(bytes.fromhex(code))))
    for source, samples in entries:
        message.inverse_throughputs.add(source=source, inverse_throughput_cycles=samples)
    return message


def write(path, *messages):
    write_records(path, (message.SerializeToString() for message in messages))
    return path


def make_data(tmp_path):
    # mov rax, [rbx] three times, mov [rbx], rax; add [rbx], eax; nop
    with_prefix = block("488b03", ("b", [8.0]))
    with_prefix.inverse_throughputs[0].prefix_inverse_throughputs.add(inverse_throughput_cycles=[8.0])
    canonical_only = block("90")
    del canonical_only.basic_block.machine_instructions[:]
    return write(
        tmp_path / "blocks",
        block("488b03488b03", ("a", [1.0, 3.0]), ("b", [])),
        block("488903010390", ("a", [4.0])),
        block("", ("a", [6.0])),
        with_prefix,
        block("90", ("a", [math.inf]), ("b", [0.0])),
        canonical_only,
    )


def test_all_figures(tmp_path):
    path = make_data(tmp_path)
    description = describe_record_files([path])
    assert description.files == (str(path),)
    assert (description.num_blocks, description.num_empty_blocks) == (6, 1)
    assert (description.num_without_machine_code, description.num_without_label) == (1, 1)
    assert (description.num_instructions, description.num_distinct_instructions) == (8, 4)
    assert description.block_lengths.num_blocks == {"0": 1, "1": 3, "2": 1, "3": 1}
    assert description.block_lengths.mean == 8 / 6
    assert description.mnemonics == {"MOV": 4, "nop": 3, "ADD": 1}
    assert description.opcodes == {"MOV64rm": 3, "NOOP": 3, "ADD32mr": 1, "MOV64mr": 1}
    assert description.accesses == {"load": 3, "none": 3, "load and store": 1, "store": 1}
    assert description.tokens["_D_"] == 24
    assert description.tokens["RBX"] == 5
    assert next(iter(description.tokens)) == "_D_"


def test_labels(tmp_path):
    sources = describe_record_files([make_data(tmp_path)]).sources
    assert list(sources) == ["a", "b"]
    first, second = sources["a"], sources["b"]
    assert (first.num_samples, first.num_unusable, first.num_with_prefixes) == (5, 1, 0)
    assert (first.labels.num_labels, first.labels.mean) == (3, 4.0)
    assert (first.labels.minimum, first.labels.maximum) == (2.0, 6.0)
    assert {percent: first.labels.percentiles[percent] for percent in ("1", "25", "50", "75", "99")} == {
        "1": 2.0,
        "25": 2.0,
        "50": 4.0,
        "75": 6.0,
        "99": 6.0,
    }
    assert (second.labels.num_labels, second.num_unusable, second.num_with_prefixes) == (1, 1, 1)


def test_tables(tmp_path):
    stream = io.StringIO()
    print_description(describe_record_files([make_data(tmp_path)]), stream)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in stream.getvalue().splitlines() if "│" in line]
    assert ["blocks", "6"] in rows
    assert ["1", "3", "█" * 30] in rows
    assert ["a", "3", "1", "4", "2", "2", "2", "4", "6", "6", "6"] in rows
    assert ["mnemonic", "MOV", "4", "50.0%"] in rows


def test_names_in_tables_are_text_and_nothing_else(tmp_path):
    path = write(tmp_path / "blocks", block("90", ("[bold]\x1b[31mred", [1.0])))
    stream = io.StringIO()
    print_description(describe_record_files([path]), stream)
    assert "[bold]\\x1b[31mred" in stream.getvalue()


def test_no_blocks(tmp_path):
    path = write(tmp_path / "blocks")
    description = describe_record_files([path])
    assert (description.num_blocks, description.sources, description.tokens) == (0, {}, {})
    print_description(description, io.StringIO())
