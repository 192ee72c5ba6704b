"""Several BHive CSV files, one per microarchitecture, to one data set: one record per block, one source per file.

A data set is a folder:

    train.tfrecord  validation.tfrecord  test.tfrecord     split by a hash of the machine code
    import_report.json                                     what was used and what was not
    manifest.json                                          written last: what was asked for, SHA-256 of every file

First all rows go into a table on disk; then every distinct block is decoded once and written with the labels of all
sources, in the order of first appearance. The bytes depend on the input alone, not on the number of workers.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from gematria_ops.data.block_records import ChunkEncoder, EncodedBlock, in_chunks
from gematria_ops.data.block_table import BlockTable
from gematria_ops.data.import_report import ImportReport, RowCounter, SourceReport, check_share_limit, describe_lengths
from gematria_ops.data.importing import add_labels
from gematria_ops.data.ordered_pool import ordered_map
from gematria_ops.data.splitting import SPLITS, check_percentages, split_file_name, split_of
from gematria_ops.formats.bhive_csv import CsvLayout
from ops_common.artifacts import (
    MANIFEST_NAME,
    check_file,
    read_json,
    read_manifest,
    remove_part_files,
    sha256_file,
    write_json,
    write_manifest,
)
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.progress import Progress
from ops_common.tfrecord import RecordWriter

REPORT_NAME = "import_report.json"

_FILES = (*map(split_file_name, SPLITS), REPORT_NAME)

_LOGGER = logging.getLogger(__name__)


def import_and_merge(
    csv_files: Sequence[Path],
    source_names: Sequence[str],
    output_dir: Path,
    *,
    layout: CsvLayout | None = None,
    validation_percent: int = 10,
    test_percent: int = 10,
    max_rejected_share: float = 0.01,
    num_workers: int = 2,
) -> ImportReport:
    """Imports CSV files into one data set. Asked for the same again, it returns what it did before.

    Args:
        csv_files: `<machine code in hex>,<cycles>` per line; plain or compressed with gzip.
        source_names: The throughput source of each file, in the same order.
        output_dir: Folder of the data set.
        layout: Columns and unit of the files; by default BHive's, cycles per 100 iterations.
        validation_percent: Share of the blocks held out for validation, in percent.
        test_percent: Share of the blocks held out for the test, in percent.
        max_rejected_share: Which share of each file's rows may be unusable, 0 to 1.
        num_workers: Processes that decode and canonicalise.

    Returns:
        What was used and what was not.

    Raises:
        ConfigError: An argument is wrong, or the folder holds a data set made of something else.
        DataError: A file cannot be read, too many of its rows are unusable, or none is usable.
        ArtifactError: The output cannot be written.
    """
    csv_files, source_names = [Path(path) for path in csv_files], list(source_names)
    layout = layout or CsvLayout()
    _check_sources(csv_files, source_names)
    check_percentages(validation_percent, test_percent)
    check_share_limit(max_rejected_share)
    request = _request(csv_files, source_names, layout, (validation_percent, test_percent), max_rejected_share)
    finished = _finished_report(output_dir, request)
    if finished is not None:
        return finished
    remove_part_files(output_dir)
    # A manifest that stands here now is of a damaged data set, which must not look finished while it is replaced.
    (output_dir / MANIFEST_NAME).unlink(missing_ok=True)
    merge = _Merge(csv_files, source_names, layout, (validation_percent, test_percent), max_rejected_share)
    merge.write_splits(output_dir, num_workers)
    write_json(output_dir / REPORT_NAME, merge.report.to_json())
    write_manifest(output_dir, _FILES, request=request)
    return _located(merge.report, output_dir)


class _Merge:
    """One import under way.

    Attributes:
        report: What was done; there once the files are written.
    """

    report: ImportReport

    def __init__(
        self,
        csv_files: Sequence[Path],
        source_names: Sequence[str],
        layout: CsvLayout,
        percentages: tuple[int, int],
        max_rejected_share: float,
    ) -> None:
        self._source_names = source_names
        self._layout = layout
        self._validation_percent, self._test_percent = percentages
        self._max_rejected_share = max_rejected_share
        self._rows = [RowCounter(path) for path in csv_files]
        self._num_by_length: Counter[int] = Counter()
        self._blocks_by_split: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
        self._labels_by_split = [Counter(dict.fromkeys(SPLITS, 0)) for _ in csv_files]

    def write_splits(self, output_dir: Path, num_workers: int) -> None:
        """Reads all files and writes the parts of the data set; nothing stands there if anything goes wrong."""
        with BlockTable(len(self._rows)) as table, ExitStack() as stack:
            for source_index, rows in enumerate(self._rows):
                self._read(source_index, rows, table)
            writers = {
                split: stack.enter_context(RecordWriter(output_dir / split_file_name(split))) for split in SPLITS
            }
            self._encode(table, writers, num_workers)
            for rows in self._rows:
                self._check(rows)
            # All of them, before the first gets its name: a full disk shall not leave one part without the others.
            for writer in writers.values():
                writer.flush()
            self.report = self._make_report(table)

    def _read(self, source_index: int, rows: RowCounter, table: BlockTable) -> None:
        with Progress(f"read {rows.path.name}", None, "rows") as progress:
            for _ in add_labels(rows.path, source_index, self._layout, table, rows):
                progress.advance()
        # Checked now and again when all blocks are decoded: no need to decode a million blocks before saying this.
        self._check(rows)

    def _check(self, rows: RowCounter) -> None:
        rows.check_share(self._max_rejected_share)
        if not rows.num_accepted:
            raise DataError(f"{rows.path} holds no usable row", "give a BHive CSV file: <hex>,<cycles> per line")

    def _encode(self, table: BlockTable, writers: Mapping[str, RecordWriter], num_workers: int) -> None:
        make_encoder = functools.partial(ChunkEncoder, self._source_names)
        with (
            Progress("canonicalise", table.num_blocks(), "blocks") as progress,
            closing(ordered_map(make_encoder, in_chunks(table.blocks()), num_workers)) as chunks,
        ):
            for chunk in chunks:
                for encoded in chunk:
                    if isinstance(encoded, EncodedBlock):
                        split = split_of(encoded.bucket, self._validation_percent, self._test_percent)
                        writers[split].write_framed(encoded.record)
                        self._count(encoded, split)
                        continue
                    table.reject(encoded.block.machine_code)
                    for source_index, row in encoded.rejected_rows():
                        self._rows[source_index].reject(row)
                progress.advance(len(chunk))

    def _count(self, encoded: EncodedBlock, split: str) -> None:
        self._num_by_length[encoded.num_instructions] += 1
        self._blocks_by_split[split] += 1
        for source_index in encoded.source_indices:
            self._labels_by_split[source_index][split] += 1

    def _make_report(self, table: BlockTable) -> ImportReport:
        sources: list[SourceReport] = []
        for k, rows in enumerate(self._rows):
            sources.append(rows.report(self._source_names[k], dict(self._labels_by_split[k]), table.statistics(k)))
        return ImportReport(
            num_blocks=self._blocks_by_split.total(),
            blocks_by_split=dict(self._blocks_by_split),
            sources=tuple(sources),
            block_lengths=describe_lengths(self._num_by_length),
            throughput_scaling=self._layout.throughput_scaling,
            canonicalizer_version=_canonicalizer_version(),
        )


def _canonicalizer_version() -> str:
    from gematria_ops.blocks.decoding import CANONICALIZER_VERSION

    return CANONICALIZER_VERSION


def _check_sources(csv_files: Sequence[Path], source_names: Sequence[str]) -> None:
    if not csv_files:
        raise ConfigError("no CSV file to import", "name at least one, with a source name for each")
    if len(csv_files) != len(source_names):
        raise ConfigError(
            f"{len(csv_files)} CSV files, but {len(source_names)} source names", "give one source name for each file"
        )
    for name in source_names:
        if not name.strip():
            raise ConfigError("a source name is empty", "name the source of each file, for example 'bhive: hsw'")
        if source_names.count(name) > 1:
            raise ConfigError(f"source name {name!r} is given twice", "each file needs a source name of its own")
    for path in csv_files:
        if not path.is_file():
            raise DataError(f"{path} does not exist or is not a file", "check the name of the CSV file")


def _request(
    csv_files: Sequence[Path],
    source_names: Sequence[str],
    layout: CsvLayout,
    percentages: tuple[int, int],
    max_rejected_share: float,
) -> dict[str, Any]:
    """Returns all that decides what the data set holds, in a form that JSON gives back unchanged."""
    request: dict[str, Any] = {"num_sources": len(csv_files)}
    for k, (path, name) in enumerate(zip(csv_files, source_names, strict=True)):
        request[f"source_names[{k}]"] = name
        request[f"sha256 of csv_files[{k}]"] = sha256_file(path)
    request |= {
        "machine_code_column_index": layout.machine_code_column_index,
        "throughput_column_index": layout.throughput_column_index,
        "throughput_scaling": layout.throughput_scaling,
        "validation_percent": percentages[0],
        "test_percent": percentages[1],
        "max_rejected_share": max_rejected_share,
        "canonicalizer_version": _canonicalizer_version(),
    }
    return request


def _finished_report(output_dir: Path, request: Mapping[str, Any]) -> ImportReport | None:
    """Returns the report of the same import if it stands in the folder already, None if no import does.

    Raises:
        ConfigError: Another import stands there.
    """
    if not (output_dir / MANIFEST_NAME).exists():
        return None
    manifest = read_manifest(output_dir / MANIFEST_NAME)
    stored = manifest.get("request")
    if not isinstance(stored, dict) or not set(_FILES) <= set(manifest["files"]):
        raise ConfigError(f"{output_dir} holds something that is not a data set", "choose another folder")
    for key in [*request, *stored]:
        if stored.get(key) != request.get(key):
            raise ConfigError(
                f"{output_dir} holds a data set made from other input: {key} was {stored.get(key)!r}, "
                f"now it is {request.get(key)!r}",
                "choose another folder, or remove this one first",
            )
    try:
        # Only what an import writes: what stands beside it, like the vocabulary, is the business of others.
        for name in _FILES:
            entry = manifest["files"][name]
            check_file(output_dir / name, entry["sha256"], entry["size_bytes"], "listed in the manifest")
    except ArtifactError as error:
        _LOGGER.warning("the data set is damaged and is made again: %s", error.message)
        return None
    _LOGGER.info("%s holds this data set already", output_dir)
    return _located(ImportReport.model_validate(read_json(output_dir / REPORT_NAME)), output_dir)


def _located(report: ImportReport, output_dir: Path) -> ImportReport:
    # Of the files that an import writes, not of the manifest: that one may get further entries later.
    entries = read_manifest(output_dir / MANIFEST_NAME)["files"]
    digest = hashlib.sha256("".join(entries[name]["sha256"] for name in _FILES).encode("ascii")).hexdigest()
    return report.model_copy(update={"dataset_dir": str(output_dir), "dataset_sha256": digest})
