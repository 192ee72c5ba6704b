"""Special tokens: what stands in a graph for things that have no name (specification, Appendix C)."""

from __future__ import annotations

from fastnode_ops.analysis.kinds import KINDS

PREFIX = "FASTNODE_"


def marker(suffix: str) -> str:
    """Return the special token with this suffix."""
    return PREFIX + suffix


SOF = marker("SOF")
INFER_NAME = marker("CONTEXTNODE")
INFER_ATTR = marker("ATTRPLACEHOLDER")
INFER_ARG_TYPE = marker("ARGNODE")
INFER_KWARG_NAME = marker("KWARGNAME")
INFER_ARG_PLACEHOLDER = marker("ARGPLACEHOLDER")
KWARG_VALUE_PLACEHOLDER = marker("KWARG_VALUE_PLACEHOLDER")
SCOPE = marker("SCOPE")
ATTR_BASE_NAME_DECODER = marker("ATTR_BASE_NAME_DECODER")
UNKNOWN_TOKEN = marker("UNKNOWN34159871")
INFER_EXPR_TYPE = marker("INFER_EXPR_TYPE")
UNKNOWN_TYPE_TOKEN = marker("UNKNOWN_TYPE")
NA_TYPE_TOKEN = marker("NA_TYPE")
EOF = marker("EOF")
CHOOSE_TERMINAL_TYPE = marker("CHOOSE_TERMINAL_TYPE")

PLACEHOLDER = marker("PLACEHOLDER")
"""Text of an argument that a completed call leaves open; it is never an input of the model."""

UNKNOWN_TYPE = "UNKNOWN_TYPE"
NA_TYPE = "NA"
INSTANCE_TAIL = "INSTANCE"
RETURN_TAIL = "RETURN"

TERMINAL_LITERALS = {
    "EllipsisExpr": marker("ELLIPSIS"),
    "PassStmt": marker("PASS"),
    "ContinueStmt": marker("CONTINUE"),
    "BreakStmt": marker("BREAK"),
    "StringExpr": marker("STRING"),
    "NumberExpr": marker("NUMBER"),
}
"""The literal of the terminal syntax kinds other than names (specification 6.3)."""

_FIRST = (
    *(SOF, INFER_NAME, INFER_ATTR, INFER_ARG_TYPE, INFER_KWARG_NAME, INFER_ARG_PLACEHOLDER, KWARG_VALUE_PLACEHOLDER),
    *(SCOPE, ATTR_BASE_NAME_DECODER, UNKNOWN_TOKEN, INFER_EXPR_TYPE, UNKNOWN_TYPE_TOKEN, NA_TYPE_TOKEN),
)

# `token(n)` are the ends of ranges in the reference's scanner; they keep later rows in place.
_SCANNER_WORDS = """
Illegal BadToken Cursor EOF Comment Magic token(6) LineContinuation NewLine Indent Dedent token(11) token(12)
Ident Int Long Float Imag String token(19) token(20)
+ - * ** / // % & | ^ ~ << >> += -= *= **= /= //= %= &= |= ^= <<= >>= == < > <= >= <> != =
( [ { , . ) ] } ; : @ ` -> token(67) token(68)
and in is not or as assert break class continue def del elif else except finally for from global if import lambda pass
raise return try while with yield nonlocal async await token(101)
"""


def kind_marker(kind: str) -> str:
    """Return the kind string of a syntax kind: upper case, prefixed (specification 6.3)."""
    return marker(kind.upper())


def token_marker(text: str) -> str:
    """Return the literal of a token that is no identifier (specification 6.3)."""
    return marker(text)


def _ordered() -> list[str]:
    names = [*_FIRST, *(marker(word) for word in [*_SCANNER_WORDS.split(), "not in", "is not"])]
    for kind in KINDS:
        names.append(kind_marker(kind))
        if kind in TERMINAL_LITERALS:
            names.append(TERMINAL_LITERALS[kind])
    # The reference has no row for it (D45). Scanner words that the reference does not know come last.
    names += [CHOOSE_TERMINAL_TYPE, *(marker(word) for word in (":=", "@=", "exec", "print", "match", "case", "type"))]
    return list(dict.fromkeys(names))


SPECIAL_TOKENS: list[str] = _ordered()
"""All special tokens in the order of their rows, each once. They are never split."""

SPECIAL = frozenset([*SPECIAL_TOKENS, PLACEHOLDER])
"""The same for look-ups, with the placeholder text."""
