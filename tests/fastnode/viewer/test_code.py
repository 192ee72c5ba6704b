"""Buffers as HTML: every character is there, none is markup, and the cursor stands where it should."""

import html
import random
import re

import pytest

from fastnode_ops.viewer.code import CURSOR_MARK, MAX_HIGHLIGHTED_CHARACTERS, code_lines

HOSTILE = "</li></ol><script>alert(1)</script>\"'&amp;<!-- <img src=x onerror=y>"


def text_of(lines: list[str]) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", "\n".join(lines)))


def before_cursor(lines: list[str]) -> str:
    head, mark, _ = "\n".join(lines).partition(CURSOR_MARK)
    assert mark
    return text_of([head])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "x",
        "\n\n  x = 1  \n\n",
        "# é 🙂\nos.path\n",
        "def f(:\n  '''",
        "a\tb",
        "x = 'a\\\nb'",
        HOSTILE,
        "if x:\n" * 50,
    ],
)
def test_every_character_is_shown_once(text: str) -> None:
    assert text_of(list(map(str, code_lines(text, None)))) == text
    for cursor in range(len(text.encode()) + 1):
        head = text.encode()[:cursor]
        if head.decode(errors="ignore").encode() == head:
            lines = list(map(str, code_lines(text, cursor)))
            assert text_of(lines) == text
            assert before_cursor(lines) == head.decode()


def test_random_texts_keep_their_characters() -> None:
    rng = random.Random(5)
    letters = "<>&\"'ab .:=#()[]{}\n\t\\é🙂\r1fFrb"
    for _ in range(300):
        text = "".join(rng.choice(letters) for _ in range(rng.randrange(40)))
        shown = "".join(f"U+{ord(c):04X}" if c == "\r" else c for c in text)
        assert text_of(list(map(str, code_lines(text, None)))) == shown


def test_only_our_own_elements_come_out() -> None:
    for text in (HOSTILE, f"x = '{HOSTILE}'", f"# {HOSTILE}", f"class {HOSTILE}: pass"):
        shown = "\n".join(code_lines(text, 3))
        assert set(re.findall(r"</?(\w+)", shown)) <= {"span", "i", "mark"}
        assert set(re.findall(r"<(?!/)(?:\w+) (\w+)=", shown)) <= {"class", "id"}


def test_what_would_be_invisible_is_shown() -> None:
    shown = str(code_lines("a\u202eb\x1b[31m\u200b\x00\ufeff", None)[0])
    for point in ("202E", "001B", "200B", "0000", "FEFF"):
        assert f"<i>U+{point}</i>" in shown
    assert not re.search("[\x00\x1b\u202e\u200b\ufeff]", shown)


def test_keywords_are_highlighted_and_a_large_text_is_not() -> None:
    assert '<span class="k">def</span>' in code_lines("def f(): pass", None)[0]
    large = "def f(): pass\n" * (MAX_HIGHLIGHTED_CHARACTERS // 14 + 1)
    lines = code_lines(large, 5)
    assert "<span" not in lines[1]
    assert str(lines[0]) == f"def f{CURSOR_MARK}(): pass"


def test_a_cursor_behind_the_end_has_no_mark() -> None:
    assert CURSOR_MARK not in "".join(code_lines("abc", None))
    assert str(code_lines("abc", 3)[-1]).endswith(str(CURSOR_MARK))
