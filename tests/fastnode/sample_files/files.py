"""Sample files for tests, of small batches out of random numbers."""

from pathlib import Path

from fastnode_ops.sample_files.header import SampleFileHeader
from fastnode_ops.sample_files.writing import write_sample_file
from fastnode_ops.samples.batch import TrainingBatch
from tests.fastnode.batches import make_batch

METAINFO_DIGEST = "a1" * 32
REQUEST_DIGEST = "b2" * 32


def sample_header(first_step: int = 0, num_batches: int = 3, **more: object) -> SampleFileHeader:
    values = {
        "metainfo_digest": METAINFO_DIGEST,
        "corpus_digest": "c3" * 32,
        "request_digest": REQUEST_DIGEST,
        "seed": 243,
        "first_step": first_step,
        "num_batches": num_batches,
    }
    return SampleFileHeader.model_validate(values | more)


def batches_of(header: SampleFileHeader) -> list[TrainingBatch]:
    """The batches of a header's steps; a step has the same one in every file."""
    return [make_batch(header.first_step + position) for position in range(header.num_batches)]


def make_sample_file(folder: Path, first_step: int = 0, num_batches: int = 3, **more: object) -> Path:
    """Write a finished sample file; returns the path of its `.samples`."""
    header = sample_header(first_step, num_batches, **more)
    return write_sample_file(folder, header, batches_of(header))
