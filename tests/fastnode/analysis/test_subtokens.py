"""Splitting of names: the worked examples of Appendix B.1, and its order of special tokens (Appendix C)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnode_ops.analysis.kinds import KINDS
from fastnode_ops.analysis.markers import CHOOSE_TERMINAL_TYPE, SPECIAL_TOKENS, UNKNOWN_TOKEN, kind_marker
from fastnode_ops.analysis.subtokens import split_name

EXAMPLES = {
    "value": ["value"],
    "Value": ["value"],
    "VALUE": ["value"],
    "max_row_count": ["max", "row", "count"],
    "__init__": ["init"],
    "parseHtmlPage": ["parse", "html", "page"],
    "HTTPHeader": ["httpheader"],
    "utf8decode": ["utf", "8", "decode"],
    "row2_ColName": ["row", "2", "col", "name"],
    "___": ["___"],
    "B学生Cd": ["b", "学生", "cd"],
    "": [],
    "_": ["_"],
    "x1": ["x", "1"],
    "a__b": ["a", "b"],
    "CamelCASEName": ["camel", "casename"],
    "ΑΒγ": ["αβγ"],  # both outside of the Latin script: one part
    "naïveÜber": ["naïve", "über"],  # the Latin script is more than ASCII
    "a-b": ["a-b"],  # no rule for the pair: unchanged
    "Foo-bar": ["Foo-bar"],
    UNKNOWN_TOKEN: [UNKNOWN_TOKEN],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name: str) -> None:
    assert split_name(name) == EXAMPLES[name]


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]*", fullmatch=True))
def test_parts_of_an_ascii_name_are_its_characters_in_order(name: str) -> None:
    parts = split_name(name)
    assert all(parts)
    if name.strip("_"):
        assert "".join(parts) == name.replace("_", "").lower()
    else:
        assert parts == [name]


def test_special_tokens_stand_in_the_order_of_the_appendix() -> None:
    assert SPECIAL_TOKENS[:3] == ["FASTNODE_SOF", "FASTNODE_CONTEXTNODE", "FASTNODE_ATTRPLACEHOLDER"]
    assert SPECIAL_TOKENS[12:15] == ["FASTNODE_NA_TYPE", "FASTNODE_Illegal", "FASTNODE_BadToken"]
    kinds = SPECIAL_TOKENS.index(kind_marker("AnnotationStmt"))
    assert SPECIAL_TOKENS[kinds - 2 : kinds] == ["FASTNODE_not in", "FASTNODE_is not"]
    ellipsis = SPECIAL_TOKENS.index("FASTNODE_ELLIPSISEXPR")
    assert SPECIAL_TOKENS[ellipsis + 1] == "FASTNODE_ELLIPSIS"
    assert all(kind_marker(kind) in SPECIAL_TOKENS for kind in KINDS)


def test_special_tokens_are_unique_and_hold_the_marker_that_the_reference_forgot() -> None:
    assert len(set(SPECIAL_TOKENS)) == len(SPECIAL_TOKENS)
    assert CHOOSE_TERMINAL_TYPE in SPECIAL_TOKENS


def test_there_are_63_kinds() -> None:
    assert len(KINDS) == 63
    assert list(KINDS) == sorted(KINDS)
