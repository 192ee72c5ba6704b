"""Asking providers: what the model sees, what is left out of its lists, and how every failure is counted."""

import ast
from collections.abc import Sequence

import pytest

from fastnode_ops.inference.completions import Completion
from fastnode_ops.inference.unsupported import Unsupported
from fastnode_ops.validation.failures import NoAnswer
from fastnode_ops.validation.providers import (
    DUMMY,
    Answer,
    ModelProvider,
    Question,
    ask,
    munge,
    trim_end,
)
from ops_common.errors import DataError

SOURCE = b"""import os

def f(x):
    y = os.path.join(x, "a") + os.sep
    return os.path.exists(
        y,
        x)

z = os.getcwd()
"""


def at(text: bytes, source: bytes = SOURCE) -> int:
    return source.index(text) + len(text)


class Recorder:
    """A completer that keeps what it is asked, and answers as told."""

    def __init__(self, *found: Completion, error: Exception | None = None) -> None:
        self._found, self._error = found, error
        self.asked: list[tuple[bytes, int, str]] = []

    def attributes(self, source: bytes, cursor: int, prefix: str = "") -> Sequence[Completion]:
        self.asked.append((source, cursor, prefix))
        if self._error is not None:
            raise self._error
        return self._found


def test_the_rest_of_the_line_is_cut_and_the_line_break_stays() -> None:
    cursor = at(b"y = os.path.")
    munged = munge(Question(SOURCE, cursor))
    assert munged == SOURCE.replace(b'join(x, "a") + os.sep', DUMMY.encode())
    ast.parse(munged)


def test_a_statement_of_several_lines_is_cut_to_its_end() -> None:
    munged = munge(Question(SOURCE, at(b"return os.path.")))
    assert munged == SOURCE.replace(b"exists(\n        y,\n        x)", DUMMY.encode())
    ast.parse(munged)


def test_everything_behind_is_cut_for_the_other_view() -> None:
    cursor = at(b"y = os.path.")
    assert munge(Question(SOURCE, cursor), drop_rest=True) == SOURCE[:cursor] + DUMMY.encode()


def test_what_is_typed_stays_and_is_passed_on_its_own() -> None:
    source = b"import os\nos.pa + 1\nx = 2\n"
    model = Recorder(Completion("path", 0.9))
    provider = ModelProvider(model)
    answer = provider.answer(Question(source, at(b"\nos.", source), "pa"))
    assert model.asked == [(b"import os\nos.paGUESS_ME_123\nx = 2\n", at(b"os.pa", source), "pa")]
    assert answer == Answer((Completion("path", 0.9),), "import os\nos.paGUESS_ME_123\nx = 2\n")


def test_a_dot_without_a_name_does_not_swallow_the_next_line() -> None:
    source = b"import os\nos.\nx = 2\n"
    assert munge(Question(source, at(b"\nos.", source))) == b"import os\nos.GUESS_ME_123\nx = 2\n"


@pytest.mark.parametrize("source", [b"os.", b"os.x", b"os.\n", b"os.x\n", "é.ü".encode(), "é.\n".encode(), b"((a."])
def test_the_ends_of_files(source: bytes) -> None:
    end = trim_end(source, source.index(b".") + 1)
    assert end == len(source.rstrip(b"\n"))


def test_names_of_providers() -> None:
    assert (ModelProvider(Recorder()).name, ModelProvider(Recorder(), drop_rest=True).name) == (
        "ggnn-line-attr",
        "ggnn-line-after",
    )


def asked(*found: Completion, error: Exception | None = None, prefix: str = "", max_seconds: float = 10.0) -> str:
    """What came of a question: the identifiers, or the reason."""
    result = ask(ModelProvider(Recorder(*found, error=error)), Question(b"os.", 3, prefix), max_seconds)
    assert (result.answer is None) == bool(result.reason)
    return result.reason or " ".join(one.identifier for one in result.answer.completions)  # type: ignore[union-attr]


def test_what_does_not_fit_is_left_out() -> None:
    found = [Completion(name, 0.1) for name in ("path", "pa th", "open", "path", "pardir", "1", "", "<b>")]
    assert asked(*found) == "path open pardir"
    assert asked(*found, prefix="pa") == "path pardir"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unsupported("base is unsupported"), "base is unsupported"),
        (NoAnswer("no attribute"), "no attribute"),
        (DataError("too deep", "a hint"), "too deep"),
        (KeyError("bug"), "unexpected KeyError"),
        (RecursionError(), "unexpected RecursionError"),
    ],
)
def test_every_failure_has_its_reason(error: Exception, reason: str) -> None:
    assert asked(error=error) == reason


def test_an_interrupt_is_no_failure_of_a_provider() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(ModelProvider(Recorder(error=KeyboardInterrupt())), Question(b"os.", 3))  # type: ignore[arg-type]


def test_an_empty_list_and_a_late_one_are_failures() -> None:
    assert asked() == "no completion"
    assert asked(Completion("x", 1.0), prefix="y") == "no completion"
    assert asked(Completion("x", 1.0), max_seconds=0.0) == "took longer than 0 s"
