"""The rules of the inference, one by one (specification 20.4); each program ends with the expression in question."""

import pytest

from fastnode_ops.symbols.store import SymbolStore
from tests.fastnode.analysis.inferred import inferred

INT, FLOAT, STR, BYTES, BOOL = (f"builtins.{name}.INSTANCE" for name in ("int", "float", "str", "bytes", "bool"))
LIST, DICT, SET, TUPLE = (f"builtins.{name}.INSTANCE" for name in ("list", "dict", "set", "tuple"))
NONE = "types.NoneType.INSTANCE"
PATH = "pathlib.Path.INSTANCE"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("1", INT),
        ("0xE", INT),
        ("1_000", INT),
        ("1e3", FLOAT),
        ("2j", "builtins.complex.INSTANCE"),
        ("'a'", STR),
        ("f'{1}'", STR),
        ("rb'a'", BYTES),
        ("'a' 'b'", STR),
        ("True", BOOL),
        ("None", NONE),
        ("...", "types.EllipsisType.INSTANCE"),
        ("[1]", LIST),
        ("{1: 2}", DICT),
        ("{1}", SET),
        ("(1,)", TUPLE),
        ("[x for x in y]", LIST),
        ("{x for x in y}", SET),
        ("{x: 1 for x in y}", DICT),
        ("(x for x in y)", "types.GeneratorType.INSTANCE"),
    ],
)
def test_literals_displays_and_comprehensions(symbols: SymbolStore, program: str, expected: str) -> None:
    assert inferred(program, symbols) == [expected]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import os\nos", ["os"]),
        ("import os.path\nos", ["os"]),
        ("import os.path as p\np", ["posixpath"]),
        ("import xml.dom.minidom\nxml.dom.minidom.parse", ["xml.dom.minidom.parse"]),
        ("from os import path\npath.join", ["posixpath.join"]),
        ("from collections import OrderedDict as OD\nOD", ["collections.OrderedDict"]),
        ("from os.path import *\njoin", ["posixpath.join"]),
        ("from . import os\nos", []),
        ("from .os import path\npath", []),
        ("from os import no_such_name\nno_such_name", []),
        ("import no_such_module\nno_such_module.x", []),
        ("print", ["builtins.print"]),
        ("__name__", [STR]),
        ("no_such_name", []),
    ],
)
def test_imports_and_builtins(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import sys\nsys.argv", [LIST]),
        ("import math\nmath.pi", [FLOAT]),
        ("import collections\ncollections.OrderedDict()", ["collections.OrderedDict.INSTANCE"]),
        ("import collections\ncollections.OrderedDict().get", ["builtins.dict.get"]),
        ("import os\nos.getcwd()", [STR]),
        ("import json\njson.loads('')", ["json.loads.RETURN"]),
        ("import json\njson.loads('').x", []),
        ("import re\nre.match('', '').group(0).upper()", [STR]),
        ("import pathlib\npathlib.Path('a').parent.name", [STR]),
        ("import datetime\ndatetime.datetime.now().date()", ["datetime.date.INSTANCE"]),
        ("'a'.split(',')[0].strip", ["builtins.str.strip"]),
        ("type(1)", ["builtins.int"]),
        ("import enum\nenum.Enum.__name__", [STR]),
        ("import socket\nsocket.AF_INET.value", [INT]),
        ("import os\nos.__name__", [STR]),
        ("import subprocess\nsubprocess.run('a').returncode", [INT]),
    ],
)
def test_attributes_and_calls_of_the_store(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("open('a')", ["_io.TextIOWrapper.INSTANCE"]),
        ("open('a', 'rb')", ["_io.BufferedReader.INSTANCE"]),
        ("open('a', mode='wb')", ["_io.BufferedWriter.INSTANCE"]),
        ("import os\nos.path.join('a', 'b')", [STR]),
        ("import os\nos.path.join(b'a', b'b')", [BYTES]),
        ("import datetime as d\nd.datetime.now() - d.timedelta(1)", ["datetime.datetime.INSTANCE"]),
        ("import datetime as d\nd.datetime.now() - d.datetime.now()", ["datetime.timedelta.INSTANCE"]),
        ("['a'][0]", [STR]),
        ("['a'][0:1]", [LIST]),
    ],
)
def test_overloads_are_chosen_by_arguments(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("for line in open('a'):\n    line", [STR]),
        ("for key in {'a': 1}:\n    key", [STR]),
        ("for k, v in {'a': 1}.items():\n    v", [INT]),
        ("for i, x in enumerate(['a']):\n    x", [STR]),
        ("for a, b in zip(['a'], [1]):\n    b", [INT]),
        ("import os\nfor root, dirs, files in os.walk('a'):\n    files[0]", [STR]),
        ("a, (b, c) = 1, ('x', 2.0)\nc", [FLOAT]),
        ("a, *b = 1, 'x'\na", [INT]),
        ("[x.upper() for x in 'a b'.split()][0]", [STR]),
        ("sorted({'a'})[0]", [STR]),
        ("next(iter([1]))", [INT]),
        ("{'a': [1]}['a']", [LIST]),
        ("from collections import defaultdict\ndefaultdict(list)['a']", [LIST]),
        ("import os\nos.environ['A']", [STR]),
        ("(1, 'a')[1]", [STR]),
        ("(1, 'a')[-1]", [STR]),
        ("max([1.5])", [FLOAT]),
        ("list(map(str, [1]))[0]", [STR]),
        ("with open('a') as f:\n    f", ["_io.TextIOWrapper.INSTANCE"]),
        ("import tempfile\nwith tempfile.TemporaryDirectory() as d:\n    d", [STR]),
        ("try:\n    pass\nexcept ValueError as e:\n    e", ["builtins.ValueError.INSTANCE"]),
        (
            "try:\n    pass\nexcept (OSError, KeyError) as e:\n    e",
            ["builtins.KeyError.INSTANCE", "builtins.OSError.INSTANCE"],
        ),
        ("if (n := len('a')) > 1:\n    n", [INT]),
    ],
)
def test_elements_and_other_bindings(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("1 + 1", [INT]),
        ("1 / 2", [FLOAT]),
        ("7 // 2", [INT]),
        ("1 + 2.0", [FLOAT]),
        ("True + True", [INT]),
        ("True & False", [BOOL]),
        ("'a' + 'b'", [STR]),
        ("'%s' % 1", [STR]),
        ("'a' * 3", [STR]),
        ("3 * 'a'", [STR]),
        ("[1] + ['a']", [LIST]),
        ("from pathlib import Path\nPath('a') / 'b'", [PATH]),
        ("from pathlib import Path\n'a' / Path('b')", [PATH]),
        ("{1} | {2}", [SET]),
        ("1 < 2", [BOOL]),
        ("x < 2", [BOOL]),
        ("x is None", [BOOL]),
        ("1 not in x", [BOOL]),
        ("not x", [BOOL]),
        ("-1", [INT]),
        ("-True", [INT]),
        ("~1", [INT]),
        ("1 if x else 'a'", [INT, STR]),
        ("None or 'a'", [STR]),
        ("x and 'a'", [STR]),
        ("x + 1", []),
        ("1 + x", []),
        ("'a' - 1", []),
    ],
)
def test_operators(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def f(a: int):\n    a", [INT]),
        ("def f(a: 'int'):\n    a", [INT]),
        ("def f(a=1.0):\n    a", [FLOAT]),
        ("def f(a=None):\n    a", []),
        ("def f(a: str = None):\n    a", [STR]),
        ("from typing import Optional\ndef f(a: Optional[str]):\n    a", [STR]),
        ("from typing import List\ndef f(a: List[str]):\n    a[0]", [STR]),
        ("def f(a: dict[str, int]):\n    a['x']", [INT]),
        ("def f(a: int | None):\n    a", [INT]),
        ("def f(a: int | str):\n    a", [INT, STR]),
        ("from typing import Union\ndef f(a: Union[int, str]):\n    a", [INT, STR]),
        ("from typing import Callable\ndef f(a: Callable[[int], str]):\n    a(1)", [STR]),
        ("def f(a: type[int]):\n    a", ["builtins.int"]),
        ("from typing import Any\ndef f(a: Any):\n    a", []),
        ("def f(*a: int, **k):\n    a[0]", [INT]),
        ("def f(*a, **k):\n    k", [DICT]),
        ("import os\ndef f(p: os.PathLike):\n    p.__fspath__", ["os.PathLike.__fspath__"]),
        ("x: int\nx", [INT]),
        ("x: int = f()\nx", [INT]),
    ],
)
def test_annotations_and_defaults(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def f():\n    return 1\nf()", [INT]),
        ("def f(a):\n    if a:\n        return 1\n    return 'a'\nf(2)", [INT, STR]),
        ("def f(a):\n    if a:\n        return 1\nf(2)", [INT]),
        ("def f():\n    pass\nf()", []),
        ("def f():\n    print()\nf()", [NONE]),
        ("def f() -> str: ...\nf()", [STR]),
        ("def f():\n    yield 1\nfor x in f():\n    x", [INT]),
        ("async def f():\n    return 1\nasync def g():\n    await f()", [INT]),
        ("async def f():\n    return 1\nf()", ["types.CoroutineType.INSTANCE"]),
        ("f = lambda: 1\nf()", [INT]),
        ("def f():\n    return 1\nf", ["<f>"]),
        ("from contextlib import contextmanager\n@contextmanager\ndef f():\n    yield 1\nwith f() as x:\n    x", [INT]),
        ("def f():\n    def g():\n        return 1\n    return g\nf()()", [INT]),
    ],
)
def test_functions_of_the_file(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


CLASS = """
from collections import OrderedDict

class Base:
    tag = 't'

    def __init__(self, name='n'):
        self.name = name
        self.table = OrderedDict()
        self.count: int = count(name)

    @property
    def upper(self):
        return self.name.upper()

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def number(a=1):
        return a

    def __enter__(self):
        return self

    def __iter__(self):
        return iter([1])

    def __add__(self, other):
        return 2.0

    def __call__(self):
        return b''

    class Inner:
        pass


class Sub(Base, dict):
    def run(self):
        return super().upper
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Base", ["<Base>"]),
        ("Base()", ["<Base>.INSTANCE"]),
        ("Base().tag", [STR]),
        ("Base.tag", [STR]),
        ("Base().name", [STR]),
        ("Base().table.popitem", ["collections.OrderedDict.popitem"]),
        ("Base().count", [INT]),
        ("Base().upper", [STR]),
        ("Base().upper()", []),
        ("Base.make()", ["<Base>.INSTANCE"]),
        ("Base.number()", [INT]),
        ("Base() + 1", [FLOAT]),
        ("Base()()", [BYTES]),
        ("Base().Inner()", ["<Base.Inner>.INSTANCE"]),
        ("Base().__class__", ["<Base>"]),
        ("Base().no_such_name", []),
        ("Sub().upper", [STR]),
        ("Sub().run()", [STR]),
        ("Sub().items", ["builtins.dict.items"]),
        ("Sub().run", ["<Sub.run>"]),
        ("type(Sub())", ["<Sub>"]),
        ("[x for x in Base()][0]", [INT]),
    ],
)
def test_classes_of_the_file(symbols: SymbolStore, expression: str, expected: list[str]) -> None:
    assert inferred(f"{CLASS}\n{expression}", symbols) == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("class A(dict, Exception):\n    def f(self):\n        super()", [DICT]),
        ("class A(dict, Exception):\n    def f(self):\n        super().args", [TUPLE]),  # of the second base
        ("class A:\n    def f(self):\n        super()", ["builtins.object.INSTANCE"]),
        ("class A(unknown):\n    def f(self):\n        super()", []),
        ("class A(unknown):\n    def f(self):\n        super().__init__", []),  # may be the base's own
        ("class A(unknown):\n    def f(self):\n        self.__hash__", []),
        ("class A:\n    def f(self):\n        self.__hash__", ["builtins.object.__hash__"]),
        ("class A(dict):\n    @classmethod\n    def f(cls):\n        super()", ["builtins.dict"]),
    ],
)
def test_bases_and_super(symbols: SymbolStore, program: str, expected: list[str]) -> None:
    assert inferred(program, symbols) == expected


def test_a_comparison_gives_what_its_method_gives(symbols: SymbolStore) -> None:
    program = "class Column:\n    def __eq__(self, other):\n        return {}\nColumn() == 1"
    assert inferred(program.format("'a = 1'"), symbols) == [STR]
    assert inferred(program.format("unknown"), symbols) == []
    assert inferred("class A: pass\nA() == A()", symbols) == [BOOL]


def test_enumerations_of_the_file(symbols: SymbolStore) -> None:
    program = "import enum\nclass Color(enum.Enum):\n    RED = 1\n"
    assert inferred(program + "Color.RED", symbols) == ["<Color>.INSTANCE"]
    assert inferred(program + "Color.RED.name", symbols) == [STR]
    assert inferred(program + "for c in Color:\n    c", symbols) == ["<Color>.INSTANCE"]


def test_a_name_has_the_union_over_all_assignments_wherever_it_stands(symbols: SymbolStore) -> None:
    program = "x = 1\n{}\nx = 'a'\n{}"
    assert inferred(program.format("x", ""), symbols) == [INT, STR]
    assert inferred(program.format("", "x"), symbols) == [INT, STR]
    assert inferred("x = None\nx = 'a'\nx", symbols) == [STR]
    assert inferred("x = None\nx", symbols) == [NONE]
    assert inferred("x = 1\nx += 0.5\nx", symbols) == [FLOAT, INT]


def test_a_union_has_at_most_eight_members(symbols: SymbolStore) -> None:
    values = ["1", "1.0", "''", "b''", "[]", "{}", "()", "{1}", "2j", "...", "int", "print"]
    program = "".join(f"x = {value}\n" for value in values)
    found = inferred(program + "x", symbols)
    assert len(found) == 8
