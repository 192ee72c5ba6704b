"""Files that are no Python are told from files with a mistake."""

import json
from pathlib import Path

import pytest

from fastnode_ops.corpus.broken import is_broken
from fastnode_ops.corpus.examining import examine
from fastnode_ops.corpus.found import Found

FUNCTIONS = "".join(f"def f{number}(a, b):\n    return a + {number} * b\n\n\n" for number in range(20))

NO_PYTHON = {
    "C": 'int main(int argc, char **argv) { for (int i = 0; i < 3; ++i) { printf("%d", i); } return 0; }\n' * 5,
    "template": "{% for x in y %}\nclass {{ name }}({{ base }}):\n    {{ field }} = {{ value | repr }}\n{% endfor %}\n"
    * 5,
    "prose": "Once upon a time, there was a parser; it could not read this at all!\n" * 5,
}


@pytest.mark.parametrize("text", NO_PYTHON.values(), ids=NO_PYTHON)
def test_no_python_is_left_out(text: str) -> None:
    assert is_broken(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        FUNCTIONS,
        FUNCTIONS + "x = (1,\n",
        FUNCTIONS + "def g(:\n    pass\n",
        "print 'Python 2'\nexec 'a' in b\n" + FUNCTIONS,
    ],
)
def test_python_with_a_mistake_is_kept(text: str) -> None:
    assert not is_broken(text.encode())


def test_the_reason_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "page.py"
    path.write_text(NO_PYTHON["template"])
    assert [answer.reason for answer in examine([Found("page.py", "page", path=path)])] == ["does_not_parse"]


def test_the_standard_library_is_python() -> None:
    assert not is_broken(Path(json.__file__).read_bytes())
