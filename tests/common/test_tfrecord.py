"""TFRecord framing: what was written is read, and every kind of damage is named with file and record."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops_common import tfrecord
from ops_common.errors import ArtifactError, DataError
from ops_common.tfrecord import RecordWriter, frame_record, read_located_records, read_records, write_records

PAYLOADS = [b"", b"one", bytes(range(256)) * 20, b"\x00" * 12]


@pytest.fixture
def blocks_file(tmp_path):
    path = tmp_path / "blocks.tfrecord"
    write_records(path, PAYLOADS)
    return path


def test_a_record_by_hand():
    # The CRC-32C of "123456789" is the check value of the algorithm: 0xE3069283.
    crc = 0xE3069283
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert tfrecord.masked_crc32c(b"123456789") == masked
    framed = frame_record(b"123456789")
    assert framed[:8] == struct.pack("<Q", 9)
    assert framed[12:] == b"123456789" + struct.pack("<I", masked)


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_written_records_are_read(tmp_path_factory, payloads):
    path = tmp_path_factory.mktemp("records") / "blocks.tfrecord"
    assert write_records(path, payloads) == len(payloads)
    assert list(read_records(path)) == payloads


def test_one_name_or_several(blocks_file, tmp_path):
    other = tmp_path / "other.tfrecord"
    write_records(other, [b"more"])
    assert list(read_records(str(blocks_file))) == PAYLOADS
    assert list(read_records([other, str(blocks_file)])) == [b"more", *PAYLOADS]
    assert list(read_records([])) == []


def test_records_know_where_they_stand(blocks_file):
    records = list(read_located_records([blocks_file, blocks_file]))
    assert [record.record_index for record in records] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert {record.path for record in records} == {blocks_file}


def test_no_records_make_an_empty_valid_file(tmp_path):
    path = tmp_path / "new" / "folder" / "empty.tfrecord"
    assert write_records(path, []) == 0
    assert path.read_bytes() == b""
    assert list(read_records(path)) == []


def test_a_bare_file_name_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_records("bare.tfrecord", [b"x"])
    assert list(read_records("bare.tfrecord")) == [b"x"]
    assert (tmp_path / "bare.tfrecord").is_file()


def test_a_missing_file_is_an_error_of_the_iteration(tmp_path):
    records = read_records(tmp_path / "missing.tfrecord")
    with pytest.raises(DataError, match=r"missing\.tfrecord does not exist"):
        next(records)


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        list(read_records(tmp_path))
    with pytest.raises(ArtifactError, match="is a folder"):
        write_records(tmp_path, [])


def _end_of_record_one():
    return len(frame_record(PAYLOADS[0]) + frame_record(PAYLOADS[1]))


def _flip(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


DAMAGES = {
    "length changed": (lambda c: _flip(c, _end_of_record_one()), "record 2 .*checksum of its length"),
    "length checksum changed": (lambda c: _flip(c, _end_of_record_one() + 9), "record 2 .*checksum of its length"),
    "content changed": (lambda c: _flip(c, _end_of_record_one() + 12), "record 2 .*checksum of its content"),
    "checksum changed": (lambda c: _flip(c, len(c) - 1), "record 3 .*checksum of its content"),
    "cut in the header": (lambda c: c[: _end_of_record_one() + 11], r"record 2 .*ends within its header \(11 of 12"),
    "cut in the content": (lambda c: c[: _end_of_record_one() + 100], "record 2 .*ends within its content of 5120"),
    "cut in the checksum": (lambda c: c[:-1], "record 3 .*ends within its content of 12"),
    "text": (lambda c: b"this is no TFRecord file", "record 0 .*checksum of its length"),
    "gzip": (lambda c: b"\x1f\x8b\x08" + c, "record 0 .*checksum of its length"),
}


@pytest.mark.parametrize("damage, message", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_named(blocks_file, damage, message):
    blocks_file.write_bytes(damage(blocks_file.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        list(read_records(blocks_file))
    assert str(blocks_file) in caught.value.message
    assert caught.value.hint


def test_records_before_the_damage_are_read(blocks_file):
    blocks_file.write_bytes(blocks_file.read_bytes()[:-1])
    records = read_records(blocks_file)
    assert [next(records) for _ in range(3)] == PAYLOADS[:3]
    with pytest.raises(DataError, match="record 3"):
        next(records)


@pytest.mark.parametrize(
    "length, message",
    [(2**31, "unreasonable"), (2**64 - 1, "unreasonable"), (2**31 - 1, r"0 of 2147483651 bytes left")],
)
def test_a_forged_length_is_refused_before_anything_is_allocated(tmp_path, length, message):
    path = tmp_path / "forged.tfrecord"
    packed = struct.pack("<Q", length)
    path.write_bytes(packed + struct.pack("<I", tfrecord.masked_crc32c(packed)))
    with pytest.raises(DataError, match=message):
        list(read_records(path))


def test_nothing_stands_there_after_an_error(tmp_path):
    path = tmp_path / "blocks.tfrecord"
    path.write_bytes(b"what was there before")
    with pytest.raises(RuntimeError, match="stop"), RecordWriter(path) as writer:
        writer.write(b"one")
        raise RuntimeError("stop")
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_stands_there_only_when_it_is_whole(tmp_path):
    path = tmp_path / "blocks.tfrecord"
    with RecordWriter(path) as writer:
        writer.write(b"one")
        assert not path.exists()
    assert writer.num_records == 1
    assert list(read_records(path)) == [b"one"]


def test_a_writer_outside_of_its_block_is_refused(tmp_path):
    writer = RecordWriter(tmp_path / "blocks.tfrecord")
    with pytest.raises(ValueError, match="outside of its with block"):
        writer.write(b"one")
    with writer:
        pass
    with pytest.raises(ValueError, match="outside of its with block"):
        writer.write(b"two")


def test_a_record_is_read_where_it_begins(blocks_file):
    offsets = [0, 16, 16 + 19]
    with blocks_file.open("rb") as file:
        for index in (2, 0, 1):
            assert tfrecord.read_record_at(file, blocks_file, index, offsets[index]) == PAYLOADS[index]
        with pytest.raises(DataError, match=r"record 1 is damaged: the checksum of its length"):
            tfrecord.read_record_at(file, blocks_file, 1, 17)
        with pytest.raises(DataError, match=r"record 9 is damaged: the file ends within its header \(0 of 12 bytes\)"):
            tfrecord.read_record_at(file, blocks_file, 9, 10**9)
