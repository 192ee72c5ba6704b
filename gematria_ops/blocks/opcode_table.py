"""Which LLVM opcode an encoding is, and the form of that opcode: a committed table and the rules that extend it.

The table is keyed by the code that the disassembler iced-x86 gives to an encoding (`ADD_RM64_R64`) and by a *variant*,
letters that say which of the opcodes of that code it is:

    r m      register or memory in the ModR/M operand
    b        one element of memory is broadcast
    k z      merging or zeroing mask
    R s      embedded rounding; exceptions suppressed
    o w a    only where it matters: operand-size prefix without and with REX.W, address-size prefix

It is made by `table_generator/`, whose README.md describes the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from gematria_ops.blocks.canonical import OpcodeForm

TABLE_PATH = Path(__file__).parent / "llvm19_opcodes.tsv"

Forms = dict[str, OpcodeForm | None]

SAME_MNEMONIC = "="
UNDECODABLE = "-"
_VERSION_MARK = "# version: "
_NO_PREFIXES = str.maketrans("", "", "owa")
_CODE_FAMILIES = ("VEX_", "EVEX_", "XOP_", "D3NOW_")


def code_mnemonic(code: str) -> str:
    """Guesses the printed mnemonic of a code: the first word of its name behind the name of the encoding."""
    for family in _CODE_FAMILIES:
        code = code.removeprefix(family)
    return code.partition("_")[0]


def masked_form(code: str, form: OpcodeForm, is_zeroing: bool) -> OpcodeForm:
    """Derives the masked form of an AVX-512 opcode from the plain one.

    Merging reads the old destination; a store, a comparison into a mask and zeroing do not. The mask comes first
    among the registers that are read, but behind the destination; a store names it behind the address.

    Args:
        code: Name of the code.
        form: The form without a mask.
        is_zeroing: Masked elements become zero instead of keeping their value.
    """
    memory = tuple(word for word in form.inputs if word == "mem")
    rest = form.inputs[len(memory) :]
    if form.outputs == ("mem",):
        inputs = (*memory, rest[0], "k", *rest[1:])
    elif "_KR_K1" in code:
        inputs = (*memory, "k", *rest)
    elif rest[:1] == ("0",):
        inputs = (*memory, "0", "k", *rest[1:])
    else:
        inputs = (*memory, *(() if is_zeroing else ("0",)), "k", *rest)
    return replace(form, llvm_mnemonic=form.llvm_mnemonic + ("kz" if is_zeroing else "k"), inputs=inputs)


def rounding_form(form: OpcodeForm, has_rounding: bool) -> OpcodeForm:
    """Derives the form with embedded rounding, or with suppressed exceptions, from the plain register form."""
    name = form.llvm_mnemonic
    stem, infix, rest = name.partition("_Int")
    return replace(
        form,
        llvm_mnemonic=f"{stem}b{infix}{rest}",
        inputs=(*form.inputs, "rc") if has_rounding else form.inputs,
        implicit_inputs=tuple(name for name in form.implicit_inputs if name != "MXCSR")
        if has_rounding
        else form.implicit_inputs,
    )


def broadcast_form(form: OpcodeForm) -> OpcodeForm:
    """Derives the form that broadcasts one element of memory from the one that reads a whole vector."""
    return replace(form, llvm_mnemonic=form.llvm_mnemonic + "b")


def without_prefixes(variant: str) -> str:
    """Takes the letters of the prefixes off a variant."""
    return variant.translate(_NO_PREFIXES)


def derived_form(code: str, variant: str, forms: Forms) -> OpcodeForm | None:
    """Derives the form of a variant that the table does not list from those that it lists.

    Args:
        code: Name of the code.
        variant: The variant.
        forms: The forms that the table lists for the code, by variant; None: LLVM does not decode the variant.

    Returns:
        The form, or None when no rule applies.
    """
    for candidate in (variant, variant.rstrip("a"), without_prefixes(variant)):
        if candidate in forms:
            return forms[candidate]
    variant = without_prefixes(variant)
    for letter in "zkRsb":
        if letter in variant:
            plain = derived_form(code, variant.replace(letter, ""), forms)
            return None if plain is None else _RULES[letter](code, plain)
    return None


_RULES: dict[str, Callable[[str, OpcodeForm], OpcodeForm]] = {
    "k": lambda code, form: masked_form(code, form, False),
    "z": lambda code, form: masked_form(code, form, True),
    "R": lambda _, form: rounding_form(form, True),
    "s": lambda _, form: rounding_form(form, False),
    "b": lambda _, form: broadcast_form(form),
}


@dataclass(frozen=True)
class OpcodeTable:
    """All codes that LLVM decodes.

    Attributes:
        version: Names the LLVM release and the edition of the table.
        forms: For each code its listed forms by variant; a code without forms is one that LLVM does not decode.
    """

    version: str
    forms: dict[str, Forms]
    _found: dict[tuple[str, str], OpcodeForm | None] = field(default_factory=dict, repr=False)

    def knows(self, code: str) -> bool:
        """Tells whether the table says anything about a code, be it that LLVM does not decode it."""
        return code in self.forms

    def lists(self, code: str, variant: str) -> bool:
        """Tells whether the table itself holds the form, so that no rule is needed."""
        listed = self.forms.get(code, {})
        return variant in listed or without_prefixes(variant) in listed

    def find(self, code: str, variant: str) -> OpcodeForm | None:
        """Looks up the form for one encoding.

        Args:
            code: Name of the code.
            variant: Its variant, with `o` and `a` where the prefixes are there.

        Returns:
            The form, or None when LLVM does not decode the encoding, or the table does not know the code.
        """
        key = (code, variant)
        if key not in self._found:
            self._found[key] = derived_form(code, variant, self.forms.get(code, {}))
        return self._found[key]


@cache
def opcode_table() -> OpcodeTable:
    """Reads the committed table, once."""
    return parse_table(TABLE_PATH.read_text(encoding="ascii").splitlines())


def opcode_table_version() -> str:
    """Reads the version of the table alone."""
    with TABLE_PATH.open(encoding="ascii") as file:
        return file.readline().removeprefix(_VERSION_MARK).strip()


def parse_table(lines: Iterable[str]) -> OpcodeTable:
    """Reads an opcode table.

    Args:
        lines: First the version after `# version: `; other comments; the shapes, `@<number>` and four lists of
            words; the codes, each with its mnemonic (`=`: as the name says) and `<variant>:<opcode>:<shape>`, behind
            which another mnemonic may stand. `-` stands for what LLVM does not decode: in the place of all that
            follows a code, or of opcode and shape. Fields are divided by tabs.

    Returns:
        The table.
    """
    version = ""
    shapes: dict[str, list[tuple[str, ...]]] = {}
    forms: dict[str, Forms] = {}
    for line in lines:
        if line.startswith("#"):
            version = line.removeprefix(_VERSION_MARK) if line.startswith(_VERSION_MARK) else version
            continue
        name, *fields = line.split("\t")
        if name.startswith("@"):
            shapes[name[1:]] = [tuple(words.split()) for words in fields]
        elif fields == [UNDECODABLE]:
            forms[name] = {}
        else:
            forms[name] = _code_forms(name, fields, shapes)
    return OpcodeTable(version, forms)


def _code_forms(code: str, fields: list[str], shapes: dict[str, list[tuple[str, ...]]]) -> Forms:
    mnemonic, *entries = fields
    if mnemonic == SAME_MNEMONIC:
        mnemonic = code_mnemonic(code)
    forms: Forms = {}
    for entry in entries:
        variant, opcode, *rest = entry.split(":")
        if opcode == UNDECODABLE:
            forms[variant] = None
            continue
        shape, *other_mnemonic = rest
        outputs, implicit_outputs, inputs, implicit_inputs = shapes[shape]
        forms[variant] = OpcodeForm(
            opcode,
            other_mnemonic[0] if other_mnemonic else mnemonic,
            outputs,
            implicit_outputs,
            inputs,
            implicit_inputs,
        )
    return forms
