"""Is a data set sound? Every record is looked at, and what is wrong is counted by reason.

Errors are what would make a training fail or mislead it; notes are what may be meant so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from gematria_ops.blocks.basic_block import Instruction
from gematria_ops.data.record_merging import block_key
from gematria_ops.formats.proto_codec import instruction_from_proto
from gematria_ops.formats.protos.basic_block_pb2 import BasicBlockProto
from gematria_ops.formats.protos.canonicalized_instruction_pb2 import CanonicalizedInstructionProto
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto, ThroughputWithSourceProto
from ops_common.artifacts import MANIFEST_NAME, check_file, read_manifest
from ops_common.errors import ArtifactError, DataError
from ops_common.progress import Progress
from ops_common.tfrecord import read_located_records

if TYPE_CHECKING:  # the disassembler is heavy, and only its results are handled here
    from gematria_ops.blocks.decoding import DecodedInstruction

_MASK64 = (1 << 64) - 1
_KEY_BYTES = 12
_MAX_KEPT_PAIRS = 1 << 16


class Finding(StrEnum):
    """What may be wrong, from the file to the label."""

    MANIFEST = "manifest"
    DAMAGED_FILE = "damaged_file"
    NOT_A_BLOCK = "not_a_block"
    EMPTY_BLOCK = "empty_block"
    DUPLICATE_BLOCK = "duplicate_block"
    LISTS_DIFFER_IN_LENGTH = "lists_differ_in_length"
    UNDECODABLE = "undecodable"
    OTHER_BOUNDARIES = "other_boundaries"
    OTHER_CANONICAL_FORM = "other_canonical_form"
    ADDRESS_GAP = "address_gap"
    DUPLICATE_SOURCE = "duplicate_source"
    LABEL_NOT_FINITE = "label_not_finite"
    LABEL_NOT_POSITIVE = "label_not_positive"
    PREFIX_COUNT = "prefix_count"
    PREFIX_WITHOUT_LABEL = "prefix_without_label"
    LAST_PREFIX_DIFFERS = "last_prefix_differs"
    NO_MACHINE_CODE = "no_machine_code"
    NO_LABEL = "no_label"

    @property
    def is_error(self) -> bool:
        """Whether a sound data set has none of these."""
        return self not in (Finding.NO_MACHINE_CODE, Finding.NO_LABEL)


class Place(NamedTuple):
    """Where something was found.

    Attributes:
        file: The file.
        record_index: Position of the record in it, from 0; None: it is about the file.
        text: What stands there.
    """

    file: str
    record_index: int | None
    text: str


@dataclass(slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        num_records: Records looked at.
        num_by_finding: How often something was found.
        first: Where it was found first.
    """

    num_records: int = 0
    num_by_finding: dict[Finding, int] = field(default_factory=dict)
    first: dict[Finding, Place] = field(default_factory=dict)

    def add(self, finding: Finding, place: Place) -> None:
        """Counts something that was found."""
        self.num_by_finding[finding] = self.num_by_finding.get(finding, 0) + 1
        self.first.setdefault(finding, place)

    @property
    def num_errors(self) -> int:
        """How many errors there are."""
        return sum(num for finding, num in self.num_by_finding.items() if finding.is_error)

    def lines(self) -> list[str]:
        """Returns the report for people, errors before notes."""
        lines = [f"{self.num_records:,} records, {self.num_errors:,} errors"]
        for finding in sorted(self.num_by_finding, key=lambda item: (not item.is_error, list(Finding).index(item))):
            place = self.first[finding]
            where = place.file if place.record_index is None else f"record {place.record_index} of {place.file}"
            kind = "" if finding.is_error else " (no error)"
            lines.append(f"  {finding}{kind}: {self.num_by_finding[finding]:,}, first in {where}: {place.text}")
        return lines

    def to_json(self) -> dict[str, object]:
        """Returns the report for a file."""
        findings = {
            finding.value: {"is_error": finding.is_error, "num": num, "first": self.first[finding]._asdict()}
            for finding, num in self.num_by_finding.items()
        }
        return {"num_records": self.num_records, "num_errors": self.num_errors, "findings": findings}


def check_record_files(files: Sequence[Path], folders: Sequence[Path] = ()) -> CheckReport:
    """Checks all records of TFRecord files, and the manifests of data sets.

    Args:
        files: The files; a block that stands in two of them is a duplicate.
        folders: Folders of data sets, whose manifests are compared with what stands there.

    Returns:
        What was found. It is no error here that there are errors.
    """
    report = CheckReport()
    for folder in folders:
        _check_manifest(folder, report)
    checker = _RecordChecker()
    with Progress("check", None, "records") as progress:
        for file in files:
            try:
                for record in read_located_records(file):
                    report.num_records += 1
                    for finding, text in checker.findings(record.payload):
                        report.add(finding, Place(str(file), record.record_index, text))
                    progress.advance()
            except DataError as error:
                report.add(Finding.DAMAGED_FILE, Place(str(file), None, error.message))
    return report


def _check_manifest(folder: Path, report: CheckReport) -> None:
    path = folder / MANIFEST_NAME
    try:
        entries = read_manifest(path)["files"]
    except ArtifactError as error:
        report.add(Finding.MANIFEST, Place(str(path), None, error.message))
        return
    for name, entry in entries.items():
        try:
            check_file(folder / name, entry["sha256"], entry["size_bytes"], "listed in the manifest")
        except ArtifactError as error:
            report.add(Finding.MANIFEST, Place(str(path), None, error.message))


class _RecordChecker:
    """Finds what is wrong with records; remembers which blocks there were, twelve bytes of each."""

    def __init__(self) -> None:
        from gematria_ops.blocks.decoding import UndecodableError, decode_block

        self._decode_block, self._undecodable = decode_block, UndecodableError
        self._seen: set[bytes] = set()
        # Machine code and canonical form that were found to agree; instructions repeat a lot.
        self._agreeing: set[tuple[bytes, str, bytes]] = set()

    def findings(self, payload: bytes) -> Iterator[tuple[Finding, str]]:
        """Yields what is wrong with one record."""
        try:
            message = BasicBlockWithThroughputProto.FromString(payload)
        except DecodeError:
            yield Finding.NOT_A_BLOCK, "not a BasicBlockWithThroughputProto"
            return
        yield from self._block_findings(message.basic_block)
        yield from _label_findings(message)

    def _block_findings(self, block: BasicBlockProto) -> Iterator[tuple[Finding, str]]:
        machine, canonical = block.machine_instructions, block.canonicalized_instructions
        if not canonical:
            yield Finding.EMPTY_BLOCK, "there is no instruction in canonical form"
        key = hashlib.blake2b(block_key(block), digest_size=_KEY_BYTES).digest()
        if key in self._seen:
            yield Finding.DUPLICATE_BLOCK, f"machine code {_machine_code(block).hex() or 'none'}"
        self._seen.add(key)
        if not machine:
            if canonical:
                yield Finding.NO_MACHINE_CODE, "the canonical form cannot be compared with anything"
            return
        if len(machine) != len(canonical):
            yield Finding.LISTS_DIFFER_IN_LENGTH, f"{len(machine)} machine, {len(canonical)} canonical instructions"
            return
        yield from _address_findings(block)
        yield from self._decoding_findings(block)

    def _decoding_findings(self, block: BasicBlockProto) -> Iterator[tuple[Finding, str]]:
        """Decodes the machine code again and compares."""
        try:
            decoded = self._decode_block(_machine_code(block))
        except self._undecodable as error:
            yield Finding.UNDECODABLE, error.message
            return
        codes = [instruction.machine_code for instruction in block.machine_instructions]
        if codes != [instruction.machine_code for instruction in decoded]:
            yield Finding.OTHER_BOUNDARIES, f"decoded, there are {len(decoded)} instructions that begin elsewhere"
            return
        for index, (expected, message) in enumerate(zip(decoded, block.canonicalized_instructions)):
            found = self._other_form(expected, message)
            if found is not None:
                names = f"{found.llvm_mnemonic or found.mnemonic!r} instead of {expected.instruction.llvm_mnemonic}"
                yield Finding.OTHER_CANONICAL_FORM, f"instruction {index} ({codes[index].hex()}): {names}"
                return

    def _other_form(self, expected: DecodedInstruction, message: CanonicalizedInstructionProto) -> Instruction | None:
        """Returns the canonical form of a record if it is another than that of the machine code, annotations aside."""
        key = (expected.machine_code, expected.assembly, message.SerializeToString())
        if key in self._agreeing:
            return None
        found = instruction_from_proto(message)
        if found != dataclasses.replace(expected.instruction, instruction_annotations=found.instruction_annotations):
            return found
        if len(self._agreeing) >= _MAX_KEPT_PAIRS:
            self._agreeing.clear()
        self._agreeing.add(key)
        return None


def _machine_code(block: BasicBlockProto) -> bytes:
    return b"".join(instruction.machine_code for instruction in block.machine_instructions)


def _address_findings(block: BasicBlockProto) -> Iterator[tuple[Finding, str]]:
    address = block.machine_instructions[0].address
    for index, instruction in enumerate(block.machine_instructions):
        if instruction.address != address:
            yield Finding.ADDRESS_GAP, f"instruction {index} is at {instruction.address}, not at {address}"
            return
        address = (address + len(instruction.machine_code)) & _MASK64


def _label_findings(message: BasicBlockWithThroughputProto) -> Iterator[tuple[Finding, str]]:
    entries = message.inverse_throughputs
    if not any(entry.inverse_throughput_cycles for entry in entries):
        yield Finding.NO_LABEL, "no source has a sample for the whole block"
    sources = [entry.source for entry in entries]
    for source in sorted({source for source in sources if sources.count(source) > 1}):
        yield Finding.DUPLICATE_SOURCE, f"{sources.count(source)} entries of {source!r}"
    for entry in entries:
        yield from _sample_findings(entry)
        yield from _prefix_findings(entry, len(message.basic_block.canonicalized_instructions))


def _sample_findings(entry: ThroughputWithSourceProto) -> Iterator[tuple[Finding, str]]:
    """Yields the first sample of each kind that no throughput can be; those of prefixes, too."""
    samples = [*entry.inverse_throughput_cycles]
    for prefix in entry.prefix_inverse_throughputs:
        samples += prefix.inverse_throughput_cycles
    infinite = [sample for sample in samples if not math.isfinite(sample)]
    if infinite:
        yield Finding.LABEL_NOT_FINITE, f"{infinite[0]} of {entry.source!r}"
    low = [sample for sample in samples if math.isfinite(sample) and sample <= 0]
    if low:
        yield Finding.LABEL_NOT_POSITIVE, f"{low[0]:g} of {entry.source!r}"


def _prefix_findings(entry: ThroughputWithSourceProto, num_instructions: int) -> Iterator[tuple[Finding, str]]:
    prefixes = entry.prefix_inverse_throughputs
    if not prefixes:
        return
    if len(prefixes) != num_instructions:
        yield Finding.PREFIX_COUNT, f"{len(prefixes)} prefixes for {num_instructions} instructions of {entry.source!r}"
        return
    missing = [index for index, prefix in enumerate(prefixes) if not prefix.inverse_throughput_cycles]
    if missing:
        yield Finding.PREFIX_WITHOUT_LABEL, f"prefix {missing[0]} of {entry.source!r}"
    whole, last = list(entry.inverse_throughput_cycles), list(prefixes[-1].inverse_throughput_cycles)
    if whole and last and repr(whole) != repr(last):  # as text, since NaN does not equal itself
        yield Finding.LAST_PREFIX_DIFFERS, f"{last} for all instructions, {whole} for the block, of {entry.source!r}"
