"""Sample files: what was written is read, byte for byte; everything else is refused by name."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnode_ops.config import ExpressionConfig, TrainConfig
from fastnode_ops.sample_files import reading
from fastnode_ops.sample_files.header import SampleFileIndex, request_digest
from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.reading import SampleFile, check_sample_file, finished_files
from fastnode_ops.sample_files.writing import encode_batch, write_index, write_records, write_sample_file
from fastnode_ops.samples.metainfo import MetaInfo, Production, ProductionIndex
from fastnode_ops.samples.request import SessionRequest, session_request
from ops_common.errors import ArtifactError, DataError
from ops_common.tfrecord import read_records
from tests.fastnode.batches import make_batch
from tests.fastnode.sample_files.files import (
    METAINFO_DIGEST,
    REQUEST_DIGEST,
    batches_of,
    make_sample_file,
    sample_header,
)

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/sample-index.schema.json").read_text())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample_file(tmp_path_factory.mktemp("files"), first_step=500)


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    """A file of the steps 500 to 502, to be damaged."""
    for each in (original, index_of(original)):
        shutil.copy(each, tmp_path)
    return tmp_path / original.name


def index_of(path: Path) -> Path:
    return path.with_suffix(".idx")


def change_index(path: Path, **changes: Any) -> None:
    index_of(path).write_bytes(orjson.dumps(orjson.loads(index_of(path).read_bytes()) | changes))


def refused(path: Path, **wanted: str) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        check_sample_file(path, **wanted)
    assert caught.value.hint
    return caught.value


def test_every_batch_is_read_as_the_server_sends_it(path: Path) -> None:
    header = sample_header(500)
    assert path.name == "000000500-3-243.samples"
    with SampleFile(path) as file:
        assert file.header == header
        for step in (502, 500, 501):
            assert file.json_text(step) == make_batch(step).to_json_text()
            assert file.batch(step).to_json_text() == make_batch(step).to_json_text()


def test_the_bytes_on_the_disk(path: Path) -> None:
    records = list(read_records(path))
    assert orjson.loads(records[0]) == {
        "schema_version": 1,
        "metainfo_digest": "a1" * 32,
        "corpus_digest": "c3" * 32,
        "request_digest": "b2" * 32,
        "seed": 243,
        "split": "train",
        "first_step": 500,
        "num_batches": 3,
        "tool_version": sample_header().tool_version,
    }
    texts = [zstandard.ZstdDecompressor().decompress(record) for record in records[1:]]
    assert texts == [make_batch(step).to_json_text() for step in (500, 501, 502)]
    index = orjson.loads(index_of(path).read_bytes())
    assert index["num_bytes"] == path.stat().st_size
    assert index["offsets"] == [0, *(sum(len(record) + 16 for record in records[:end]) for end in (1, 2, 3))]


def test_the_index_has_its_schema(path: Path) -> None:
    assert SampleFileIndex.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"} == SCHEMA
    values = json.loads(index_of(path).read_bytes())
    jsonschema.validate(values, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values | {"sha256": "no"}, SCHEMA)


@pytest.mark.tf
def test_tensorflow_reads_the_framing(path: Path) -> None:
    import tensorflow as tf

    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert records == list(read_records(path))
    assert len(records) == 4


def test_the_same_steps_make_the_same_bytes_wherever_they_are_made(path: Path, tmp_path: Path) -> None:
    again = make_sample_file(tmp_path / "other" / "host", first_step=500)
    assert again.read_bytes() == path.read_bytes()
    assert index_of(again).read_bytes() == index_of(path).read_bytes()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 2**63 - 1))
def test_whatever_is_written_passes_the_check(
    tmp_path_factory: pytest.TempPathFactory, first_step: int, num_batches: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = make_sample_file(folder, first_step, num_batches, seed=seed)
    header = check_sample_file(path, metainfo_digest=METAINFO_DIGEST, request_digest=REQUEST_DIGEST)
    assert header == sample_header(first_step, num_batches, seed=seed)
    assert finished_files(folder) == [SampleFileName(first_step, num_batches, seed)]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_changed_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, original: Path, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    for each in (original, index_of(original)):
        shutil.copy(each, folder)
    damaged = folder / data.draw(st.sampled_from([original.name, index_of(original).name]))
    content = bytearray(damaged.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(content)
    try:
        header = check_sample_file(folder / original.name, metainfo_digest=METAINFO_DIGEST)
    except DataError:
        return
    # the one thing that may change unseen is white space at the end of the index
    assert (damaged.suffix, position) == (".idx", len(content) - 1)
    assert header == sample_header(500)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_torn_file_is_found(tmp_path_factory: pytest.TempPathFactory, original: Path, data: Any) -> None:
    folder = tmp_path_factory.mktemp("torn")
    for each in (original, index_of(original)):
        shutil.copy(each, folder)
    torn = folder / data.draw(st.sampled_from([original.name, index_of(original).name]))
    content = torn.read_bytes()
    torn.write_bytes(content[: data.draw(st.integers(0, len(content) - 2))])
    with pytest.raises(ArtifactError):
        check_sample_file(folder / original.name)


def test_a_torn_file_is_told(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(path).message == f"{path} has {size - 1} bytes, not {size} (by 000000500-3-243.idx)"
    with pytest.raises(ArtifactError, match=rf"has {size - 1} bytes, not {size} by its index"):
        SampleFile(path)


def test_a_flipped_byte_is_told_with_the_record(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    assert refused(path).message.startswith(f"{path} has SHA-256 ")
    with SampleFile(path) as file:
        assert file.json_text(501) == make_batch(501).to_json_text()
        with pytest.raises(ArtifactError) as caught:
            file.batch(502)
    assert caught.value.message == f"{path}: record 3 is damaged: the checksum of its content is wrong"


def test_a_renamed_file_is_told(path: Path) -> None:
    renamed = path.with_name("000001000-3-243.samples")
    path.rename(renamed)
    index_of(path).rename(index_of(renamed))
    assert refused(renamed).message == "000001000-3-243.samples was written as 000000500-3-243.samples"


def test_a_file_of_another_metainfo_is_told(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check_sample_file(path, metainfo_digest="0" * 64)
    assert not isinstance(caught.value, ArtifactError)
    assert caught.value.message == "000000500-3-243.samples is of another metainfo (a1a1a1a1a1a1, not 000000000000)"
    with pytest.raises(DataError, match="another metainfo"):
        SampleFile(path, metainfo_digest="0" * 64)


def test_a_file_of_another_request_is_told(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check_sample_file(path, metainfo_digest=METAINFO_DIGEST, request_digest="f" * 64)
    assert not isinstance(caught.value, ArtifactError)
    assert caught.value.message == "000000500-3-243.samples is of another request (b2b2b2b2b2b2, not ffffffffffff)"


def test_a_file_that_is_not_finished_is_told(path: Path) -> None:
    index_of(path).unlink()
    error = refused(path)
    assert error.message == f"{path} is not finished: 000000500-3-243.idx is missing"
    assert error.hint == "wait for it, or make it again"


def test_an_index_without_its_file_is_told(path: Path) -> None:
    path.unlink()
    assert refused(path).message == f"{path} is missing (by 000000500-3-243.idx)"
    with pytest.raises(ArtifactError, match="does not exist"):
        SampleFile(path)


def test_an_index_with_another_header_is_told(path: Path) -> None:
    header = orjson.loads(index_of(path).read_bytes())["header"]
    change_index(path, header=header | {"request_digest": "d4" * 32})
    assert refused(path).message == f"{path} does not begin with the header that its index has"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "is no index: schema_version: Input should be 1"),
        ({"more": 1}, "is no index: more: Extra inputs are not permitted"),
        ({"sha256": "A" * 64}, "is no index: sha256: String should match pattern '^[0-9a-f]{64}$'"),
        ({"num_bytes": -1}, "is no index: num_bytes: Input should be greater than or equal to 0"),
        ({"offsets": [0]}, "is no index: offsets: List should have at least 2 items"),
        ({"offsets": [0, 400]}, "has 2 offsets for 3 batches"),
        ({"offsets": [0, 400, 500, 2**63]}, "is no index: offsets.3: Input should be less than or equal to"),
        ({"offsets": [0, 333, 500, 600]}, ": no record begins at 0 and ends at 333"),
    ],
)
def test_an_index_that_is_wrong_is_told(path: Path, changes: dict[str, Any], message: str) -> None:
    change_index(path, **changes)
    assert refused(path).message.startswith(f"{index_of(path)}{'' if message[0] == ':' else ' '}{message}")


def test_an_index_that_is_no_json_or_too_large_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_INDEX_BYTES", 1_000)
    index_of(path).write_bytes(b"{")
    assert refused(path).message.startswith(f"{index_of(path)} is no index: it is not JSON: ")
    index_of(path).write_bytes(b" " * 1_001)
    assert refused(path).message == f"{index_of(path)} is no index: it is larger than 1,000 bytes"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"no zstd", "error when determining content size"),
        (zstandard.ZstdCompressor().compress(b"{"), "it is not JSON"),
        (zstandard.ZstdCompressor(write_content_size=False).compress(b"{}"), "its size of -1 bytes is unreasonable"),
        (zstandard.ZstdCompressor().compress(bytes(100_001)), "its size of 100001 bytes is unreasonable"),
        (encode_batch(make_batch(0))[:-9], "decompress"),
    ],
    ids=["other", "torn text", "no size", "bomb", "torn"],
)
def test_a_record_that_is_no_batch_is_told(
    tmp_path: Path, record: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_BATCH_BYTES", 100_000)
    write_index(tmp_path, write_records(tmp_path, sample_header(7, 1), [record]))
    with SampleFile(tmp_path / "000000007-1-243.samples") as file:
        with pytest.raises(ArtifactError, match=f"the batch of step 7 is damaged: .*{message}"):
            file.batch(7)


def test_a_batch_that_misses_a_field_is_told(tmp_path: Path) -> None:
    record = zstandard.ZstdCompressor().compress(b'{"context_graph":{}}')
    write_index(tmp_path, write_records(tmp_path, sample_header(7, 1), [record]))
    with SampleFile(tmp_path / "000000007-1-243.samples") as file:
        with pytest.raises(DataError, match=r"expr\.expansion_graph is missing|expr\.context_graph"):
            file.batch(7)


@pytest.mark.parametrize("step", [499, 503, -1])
def test_a_step_of_another_file_is_refused(path: Path, step: int) -> None:
    with SampleFile(path) as file, pytest.raises(DataError, match=f"000000500-3-243.samples has no step {step}"):
        file.batch(step)


def test_the_number_of_batches_must_be_the_headers(tmp_path: Path) -> None:
    header = sample_header(0, 3)
    with pytest.raises(DataError, match=r"000000000-3-243\.samples has 3 batches by its header, not 2"):
        write_sample_file(tmp_path, header, batches_of(header)[:2])
    assert list(tmp_path.iterdir()) == []


def test_only_finished_files_are_found(path: Path) -> None:
    folder = path.parent
    make_sample_file(folder, 0)
    make_sample_file(folder, 503, 1)
    index_of(make_sample_file(folder, 900)).unlink()
    make_sample_file(folder, 800).unlink()
    for name in (".000000000-9-1.samples.7.0.part", "notes.idx", "notes.samples", "000000000-9-1.samples.part"):
        (folder / name).touch()
    names = [name.file_name for name in finished_files(folder)]
    assert names == ["000000000-3-243.samples", "000000500-3-243.samples", "000000503-1-243.samples"]
    assert finished_files(folder / "nothing") == []


def test_a_file_that_is_written_again_is_not_finished_meanwhile(path: Path) -> None:
    write_records(path.parent, sample_header(500), [encode_batch(make_batch(step)) for step in (1, 2, 3)])
    assert finished_files(path.parent) == []


METAINFO = MetaInfo(
    name_subtoken_index={"a": 0},
    type_subtoken_index={"b": 0},
    production_index=ProductionIndex(indices={"1": 0}, productions={"1": Production(id=1)}),
)


def request(seed: int = 1, **more: Any) -> SessionRequest:
    return session_request(METAINFO, ExpressionConfig(train=TrainConfig(seed=seed)), **{"num_batches": 5, **more})


def test_the_digest_of_a_request_is_of_what_decides_the_batches() -> None:
    digest = request_digest(request())
    assert digest == request_digest(request(num_batches=9, start_step=100))
    other = METAINFO.model_copy(update={"name_subtoken_index": {"a": 0, "c": 1}})
    others = [
        request(seed=2),
        request(split="validation"),
        session_request(other, ExpressionConfig(train=TrainConfig(seed=1)), num_batches=5),
        request().model_copy(update={"max_hops": 2}),
    ]
    assert len({digest, *map(request_digest, others)}) == 5
