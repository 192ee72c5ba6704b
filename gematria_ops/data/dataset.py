"""A data set on disk as a stream of blocks, and the stream that a training or an evaluation reads from it."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from gematria_ops.blocks.tokens import instruction_tokens
from gematria_ops.config import ThroughputSelection
from gematria_ops.data.selecting import (
    Filter,
    aggregate_throughputs,
    apply_filters,
    compile_source_filters,
    drop_blocks_with_no_throughputs,
    has_samples,
    scale_throughputs,
    select_throughputs,
)
from gematria_ops.data.splitting import SPLITS, split_file_name
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from ops_common.artifacts import MANIFEST_NAME, check_file, read_manifest
from ops_common.errors import ConfigError, DataError
from ops_common.progress import Progress
from ops_common.tfrecord import Paths, as_paths, read_located_records

# Names in a message; a data set may hold any number of sources.
_MAX_NAMED_SOURCES = 10
_MAX_KEPT_SOURCES = 1000
_MAX_KEPT_INSTRUCTIONS = 1 << 16


def read_blocks(paths: Paths) -> Iterator[BasicBlockWithThroughputProto]:
    """Reads the blocks of one TFRecord file or of several, in order.

    Args:
        paths: A file name or a sequence of them.

    Yields:
        The blocks, each a message of its own.

    Raises:
        DataError: A file is missing, or a record is damaged or is no block; file and record are named.
    """
    for record in read_located_records(paths):
        try:
            yield BasicBlockWithThroughputProto.FromString(record.payload)
        except DecodeError:
            raise DataError(
                f"{record.path}: record {record.record_index} is not a BasicBlockWithThroughputProto",
                "give a file that import_from_bhive or import-bhive has written",
            ) from None


def read_labelled_blocks(
    paths: Paths,
    source_filters: Sequence[str] = (".*",),
    task_names: Sequence[str] = (),
    selection: ThroughputSelection = ThroughputSelection.MEAN,
    scaling: float = 1.0,
    *,
    use_prefixes: bool = False,
    drop_counts: Counter[str] | None = None,
) -> Iterator[BasicBlockWithThroughputProto]:
    """Reads the blocks that a training or an evaluation uses; entry k of their throughputs belongs to task k.

    In this order (specification section 6.3): select the sources, drop blocks without any label, make one sample of
    several, scale.

    Args:
        paths: TFRecord files.
        source_filters: Regular expression of each task's source; none at all keeps the sources as they are.
        task_names: Names for messages; empty: the automatic ones.
        selection: How several samples become one; see `selection_for_evaluation`.
        scaling: Multiplies every sample.
        use_prefixes: Whether blocks with samples for prefixes only are kept.
        drop_counts: Counts what is dropped, by the name of the filter.

    Yields:
        The blocks, in order.

    Raises:
        ConfigError: A filter is not a regular expression, or there are not as many names as filters.
        DataError: A file is bad; or, at the end, a filter matched no source in the whole data, or no block had a label
            for a task. Until then it is not known that there is none.
    """
    tasks = task_list(task_names, source_filters)
    compiled = compile_source_filters(source_filters)
    coverage = _Coverage(as_paths(paths), tasks, compiled, use_prefixes)
    filters: list[Filter[BasicBlockWithThroughputProto]] = [coverage.see_sources]
    if compiled:
        filters.append(functools.partial(select_throughputs, compiled))
    filters.append(coverage.see_labels)
    filters.append(functools.partial(drop_blocks_with_no_throughputs, use_prefixes))
    filters.append(functools.partial(aggregate_throughputs, selection))
    if scaling != 1.0:
        filters.append(functools.partial(scale_throughputs, scaling))
    yield from apply_filters(read_blocks(paths), filters, drop_counts=drop_counts)
    coverage.check()


def task_list(task_names: Sequence[str], source_filters: Sequence[str]) -> tuple[str, ...]:
    """Names the tasks of a model: as given, or `default`, or `task_1`, `task_2` and so on for several filters.

    Raises:
        ConfigError: There are names, but not as many as filters.
    """
    if task_names:
        if len(task_names) != len(source_filters):
            raise ConfigError(
                f"{len(task_names)} task names, but {len(source_filters)} throughput source filters",
                "give one name for each filter, or none at all",
            )
        return tuple(task_names)
    if len(source_filters) <= 1:
        return ("default",)
    return tuple(f"task_{number}" for number in range(1, len(source_filters) + 1))


def split_file(dataset_dir: Path, split: str) -> Path:
    """Finds the file of a part of a data set and compares it with the manifest.

    Args:
        dataset_dir: Folder that import-bhive has written.
        split: train, validation or test.

    Returns:
        The TFRecord file.

    Raises:
        ConfigError: There is no such part.
        ArtifactError: The data set is not finished, or the file is not the one that was written.
    """
    if split not in SPLITS:
        raise ConfigError(f"a data set has no part {split!r}", f"choose one of {', '.join(SPLITS)}")
    manifest_path = dataset_dir / MANIFEST_NAME
    path = dataset_dir / split_file_name(split)
    entry = read_manifest(manifest_path)["files"].get(path.name)
    if entry is None:
        raise ConfigError(f"{manifest_path} lists no {path.name}", "give the folder of a data set")
    check_file(path, entry["sha256"], entry["size_bytes"], f"listed in {manifest_path}")
    return path


def collect_tokens(paths: Paths) -> set[str]:
    """Collects the tokens that occur in the blocks of TFRecord files; structural tokens only where they do.

    Raises:
        DataError: A file is missing or bad.
    """
    tokens: set[str] = set()
    seen: set[bytes] = set()
    with Progress("collect tokens", None, "blocks") as progress:
        for block in read_blocks(paths):
            for instruction in block.basic_block.canonicalized_instructions:
                key = instruction.SerializeToString()
                if key not in seen:
                    if len(seen) >= _MAX_KEPT_INSTRUCTIONS:
                        seen.clear()
                    seen.add(key)
                    tokens.update(instruction_tokens(instruction_from_proto(instruction)))
            progress.advance()
    return tokens


class _Coverage:
    """Watches a stream of blocks: does every filter match, has every task a label? Lets everything through."""

    def __init__(
        self, paths: Sequence[Path], tasks: Sequence[str], filters: Sequence[re.Pattern[str]], use_prefixes: bool
    ) -> None:
        self._paths, self._tasks, self._filters, self._use_prefixes = paths, tasks, filters, use_prefixes
        self._num_blocks = 0
        self._sources: set[str] = set()
        self._matched: set[int] = set()
        self._labelled: set[int] = set()

    def see_sources(self, block: BasicBlockWithThroughputProto) -> BasicBlockWithThroughputProto:
        self._num_blocks += 1
        for entry in block.inverse_throughputs:
            if entry.source not in self._sources:
                self._see_new_source(entry.source)
        return block

    def _see_new_source(self, source: str) -> None:
        self._matched.update(k for k, pattern in enumerate(self._filters) if pattern.match(source))
        if len(self._sources) < _MAX_KEPT_SOURCES:
            self._sources.add(source)

    def see_labels(self, block: BasicBlockWithThroughputProto) -> BasicBlockWithThroughputProto:
        if len(self._labelled) < len(self._tasks):
            for task_index, entry in enumerate(block.inverse_throughputs[: len(self._tasks)]):
                if has_samples(entry, self._use_prefixes):
                    self._labelled.add(task_index)
        return block

    def check(self) -> None:
        files = ", ".join(map(str, self._paths))
        if not self._num_blocks:
            raise DataError(f"there is no block in {files or 'no file'}", "give TFRecord files with blocks")
        for task_index, task in enumerate(self._tasks):
            if task_index in self._labelled:
                continue
            if self._filters and task_index not in self._matched:
                pattern = self._filters[task_index].pattern
                raise DataError(
                    f"throughput source filter {pattern!r} of task {task!r} matches no source in {files}",
                    f"the sources are {self._named_sources()}; a filter is matched at the beginning of the name",
                )
            raise DataError(
                f"task {task!r} has no label in {files}: no block has a throughput for it",
                f"import data for it, or leave the task out; the sources are {self._named_sources()}",
            )

    def _named_sources(self) -> str:
        names = sorted(self._sources)
        more = f" and {len(names) - _MAX_NAMED_SOURCES} more" if len(names) > _MAX_NAMED_SOURCES else ""
        return ", ".join(map(repr, names[:_MAX_NAMED_SOURCES])) + more if names else "none"
