"""Progress lines, with a clock of our own."""

from __future__ import annotations

import io

import pytest

from ops_common.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_come_at_most_every_five_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("import", 1000, "blocks", stream=stream, clock=clock) as progress:
        for _ in range(100):
            clock.now += 0.125
            progress.advance(10)
    assert stream.getvalue().splitlines() == [
        "import: 400 of 1,000 blocks (40 %), 80 blocks/s, 8 s left",
        "import: 800 of 1,000 blocks (80 %), 80 blocks/s, 2 s left",
        "import: done, 1,000 of 1,000 blocks (100 %) in 12 s, 80 blocks/s",
    ]
    assert progress.num_done == 1000


def test_short_work_says_nothing() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("import", 10, "blocks", stream=stream, clock=clock) as progress:
        clock.now += 4.9
        progress.advance(10)
    assert stream.getvalue() == ""


def test_unknown_total_note_and_slow_rates() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("train", None, "steps", stream=stream, clock=clock) as progress:
        clock.now += 4000
        progress.advance(2, note="loss 0.5")
        clock.now += 5
        progress.advance()
    assert stream.getvalue().splitlines() == [
        "train: 2 steps, 0.00 steps/s, loss 0.5",
        "train: 3 steps, 0.00 steps/s, loss 0.5",
        "train: done, 3 steps in 1 h 06 min, 0.00 steps/s",
    ]


def test_error_is_not_called_done() -> None:
    clock, stream = Clock(), io.StringIO()
    with pytest.raises(KeyboardInterrupt), Progress("train", 3, "steps", stream=stream, clock=clock) as progress:
        clock.now += 65
        progress.advance()
        raise KeyboardInterrupt
    assert stream.getvalue().splitlines() == [
        "train: 1 of 3 steps (33 %), 0.02 steps/s, 2 min 10 s left",
        "train: stopped, 1 of 3 steps (33 %) in 1 min 05 s, 0.02 steps/s",
    ]


def test_nothing_to_do() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("import", 0, "blocks", stream=stream, clock=clock):
        clock.now += 6
    assert stream.getvalue() == "import: done, 0 of 0 blocks (100 %) in 6 s, 0.00 blocks/s\n"


def test_terminal_gets_a_bar() -> None:
    stream = Terminal()
    with Progress("import", 4, "blocks", stream=stream) as progress:
        progress.advance(4, note="skl")
    text = stream.getvalue()
    assert "import" in text
    assert "4/4" in text
    assert "blocks/s" in text
    assert "skl" in text
