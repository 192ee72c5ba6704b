"""Makes the opcode table: enumerates encodings, asks LLVM and the disassembler about each, and infers the forms.

    python -m gematria_ops.blocks.table_generator.generate --llvm /usr/lib/llvm-19

Needs a C++ compiler and LLVM's headers and library; takes some minutes. See README.md.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

from gematria_ops.blocks.canonical import OpcodeForm
from gematria_ops.blocks.disassembly import CannotDecodeError, read_machine_instruction
from gematria_ops.blocks.opcode_table import (
    SAME_MNEMONIC,
    TABLE_PATH,
    UNDECODABLE,
    Forms,
    code_mnemonic,
    derived_form,
    without_prefixes,
)
from gematria_ops.blocks.table_generator.encodings import SPACES
from gematria_ops.blocks.table_generator.inference import Observation, infer_form
from gematria_ops.blocks.table_generator.llvm_reference import build, decode_all
from ops_common.artifacts import write_text

VERSION = "LLVM 19.1.7, table 1"
_CHUNK = 50_000
_KEPT = 24
_log = logging.getLogger(__name__)

Shape = tuple[tuple[str, ...], ...]
Groups = dict[tuple[str, str], list[Observation]]


class Collector:
    """Keeps a random sample of the observations of each code and variant.

    Attributes:
        groups: The observations by code and variant.
        num_seen: How many there were of each.
        refused: How often LLVM did not decode a code and variant that the disassembler decodes.
        unknown: LLVM opcodes that the disassembler does not decode.
        lengths: Encodings on whose length the two do not agree.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self.num_seen: Counter[tuple[str, str]] = Counter()
        self.groups: Groups = defaultdict(list)
        self.refused: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[str] = Counter()
        self.lengths: Counter[tuple[str, str]] = Counter()

    def add_all(self, program: Path, codes: list[bytes]) -> None:
        """Observes some encodings."""
        for code, (instructions, _) in zip(codes, decode_all(program, codes, only_first=True), strict=True):
            try:
                reading = read_machine_instruction(code)
            except CannotDecodeError:
                self.unknown.update(seen.columns["llvm_mnemonic"] for seen in instructions)
                continue
            key = reading.code, reading.variant
            if not instructions:
                self.refused[key] += 1
            elif instructions[0].num_bytes != reading.num_bytes:
                self.lengths[reading.code, instructions[0].columns["llvm_mnemonic"]] += 1
            else:
                seen = Observation(code[: reading.num_bytes], reading, instructions[0].columns)
                if not seen.has_apx_register:
                    self._keep(key, seen)

    def _keep(self, key: tuple[str, str], seen: Observation) -> None:
        self.num_seen[key] += 1
        group = self.groups[key]
        if len(group) < _KEPT:
            group.append(seen)
        elif self._random.random() < _KEPT / self.num_seen[key]:
            group[self._random.randrange(_KEPT)] = seen


def collect(program: Path, seed: int) -> Collector:
    """Observes all encodings."""
    random = Random(seed)
    collector = Collector(random)
    for name, encodings in SPACES.items():
        source: Iterator[bytes] = encodings(random)
        while codes := list(itertools.islice(source, _CHUNK)):
            collector.add_all(program, codes)
        _log.info("%s: %d codes and variants so far", name, len(collector.groups))
    return collector


def infer_all(collector: Collector) -> dict[str, Forms]:
    """Infers the forms; says which observations they do not explain.

    Returns:
        The forms by code and variant; None where LLVM refuses what the rules of `opcode_table.py` would derive.
    """
    forms: dict[str, Forms] = {code: {} for code, _ in collector.refused}
    for code, variant in sorted(collector.groups, key=lambda key: (key[0], len(key[1]), key[1])):
        observations = collector.groups[code, variant]
        known = forms.setdefault(code, {})
        base = derived_form(code, variant, known) if variant != without_prefixes(variant) else None
        form = infer_form(observations, base)
        wrong = [seen for seen in observations if form is None or not seen.agrees(form)]
        if wrong:
            _log.warning("%s %s: %d of %d not explained, e.g. %s", code, variant, len(wrong), len(observations),
                         [(seen.machine_code.hex(), seen.columns) for seen in wrong[:1]])  # fmt: skip
        if form is not None:
            known[variant] = form
    for (code, variant), count in collector.refused.items():
        is_rare = count > 2 * collector.num_seen[code, variant]
        if is_rare and (variant in forms[code] or derived_form(code, variant, forms[code]) is not None):
            forms[code][variant] = None
    return forms


def reduce_forms(code: str, forms: Forms) -> Forms:
    """Leaves out what the rules of `opcode_table.py` derive from the rest."""
    kept: Forms = {}
    for variant in sorted(forms, key=lambda name: (len(name), name)):
        if derived_form(code, variant, kept) != forms[variant]:
            kept[variant] = forms[variant]
    return kept


def table_text(forms: dict[str, Forms]) -> str:
    """Writes the table; see `opcode_table.parse_table`."""
    reduced = {code: reduce_forms(code, by_variant) for code, by_variant in sorted(forms.items())}
    shapes = Counter(_shape(form) for listed in reduced.values() for form in listed.values() if form)
    numbers = {shape: str(number) for number, (shape, _) in enumerate(shapes.most_common())}
    lines = [f"# version: {VERSION}", "# made by gematria_ops/blocks/table_generator; do not edit"]
    lines += [f"@{number}\t" + "\t".join(" ".join(words) for words in shape) for shape, number in numbers.items()]
    lines += [_code_line(code, listed, numbers) for code, listed in reduced.items()]
    return "\n".join(lines) + "\n"


def _code_line(code: str, forms: Forms, numbers: dict[Shape, str]) -> str:
    mnemonics = Counter(form.mnemonic for form in forms.values() if form)
    if not mnemonics:
        return f"{code}\t{UNDECODABLE}"
    common = mnemonics.most_common(1)[0][0]
    fields = [code, SAME_MNEMONIC if common == code_mnemonic(code) else common]
    for variant, form in forms.items():
        if form is None:
            fields.append(f"{variant}:{UNDECODABLE}")
        else:
            other_mnemonic = f":{form.mnemonic}" if form.mnemonic != common else ""
            fields.append(f"{variant}:{form.llvm_mnemonic}:{numbers[_shape(form)]}{other_mnemonic}")
    return "\t".join(fields)


def _shape(form: OpcodeForm) -> Shape:
    return form.outputs, form.implicit_outputs, form.inputs, form.implicit_inputs


def main() -> None:
    """Makes the table and writes it where the decoder reads it."""
    parser = argparse.ArgumentParser(description="Make the opcode table anew from an LLVM installation.")
    parser.add_argument("--llvm", type=Path, required=True, help="folder of LLVM 19.1.7, with include/ and lib/")
    parser.add_argument("--output", type=Path, default=TABLE_PATH, help="the table")
    parser.add_argument("--seed", type=int, default=7, help="chooses registers, addresses and immediates")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "llvm_reference"
        build(program, arguments.llvm)
        collector = collect(program, arguments.seed)
    forms = infer_all(collector)
    write_text(arguments.output, table_text(forms))
    _log.info("lengths that differ: %s", collector.lengths.most_common())
    _log.info("%d codes, %d of them not decoded by LLVM", len(forms), sum(not found for found in forms.values()))


if __name__ == "__main__":
    main()
