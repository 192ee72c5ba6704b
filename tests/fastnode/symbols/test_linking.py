"""From the texts of a few modules to symbols: imports, stars, aliases, conditions, overloads, annotations, sources."""

from __future__ import annotations

import ast
import textwrap

import pytest

from fastnode_ops.symbols.conditions import condition_holds
from fastnode_ops.symbols.declarations import from_json, to_json
from fastnode_ops.symbols.extraction import extract_module
from fastnode_ops.symbols.forms import Form
from fastnode_ops.symbols.hierarchy import linearize
from fastnode_ops.symbols.linking import LinkedSymbol, link
from fastnode_ops.symbols.symbol import SymbolKind

BUILTINS = """
class object: ...
class type: ...
class int: ...
class str: ...
class bool(int): ...
class list(Generic[_T]): ...
class tuple: ...
class property: ...
from typing import Generic, TypeVar
_T = TypeVar("_T")
"""
TYPING = """
class TypeVar: ...
class Any: ...
class Iterator: ...
Optional: _SpecialForm
Union: _SpecialForm
Generic: _SpecialForm
Self: _SpecialForm
"""


def linked(**texts: str) -> dict[str, LinkedSymbol]:
    """Link modules; `a__b` is the module a.b, a name that ends with `_pyi` a stub, one with `_init` a package."""
    modules = {}
    for key, text in {"builtins_pyi": BUILTINS, "typing_pyi": TYPING, **texts}.items():
        is_stub, is_package = key.endswith("_pyi"), "_init" in key
        name = key.removesuffix("_pyi").removesuffix("_init").replace("__", ".")
        modules[name] = extract_module(textwrap.dedent(text), name, is_package=is_package, is_stub=is_stub)
    modules = from_json(to_json(modules))
    symbols = {symbol.path: symbol for symbol in link(modules)}
    assert all(target in symbols for symbol in symbols.values() for target in symbol.children.values())
    return symbols


def child(symbols: dict[str, LinkedSymbol], path: str) -> str | None:
    parent, _, name = path.rpartition(".")
    return symbols[parent].children.get(name)


def types(symbols: dict[str, LinkedSymbol], path: str) -> list[str]:
    return [form.path for form in symbols[path].forms]


def returns(symbols: dict[str, LinkedSymbol], path: str) -> list[list[str]]:
    return [[form.path for form in signature.returns] for signature in symbols[path].signatures]


def test_reexports_lead_to_the_definition() -> None:
    symbols = linked(
        p_init="from .a import f as g\nfrom . import b\nimport p.a as third\n",
        p__a="def f(): return 1\n",
        p__b="from p import g\nh = g\nfrom .a import *\n",
    )
    assert child(symbols, "p.g") == child(symbols, "p.b.h") == child(symbols, "p.b.f") == "p.a.f"
    assert (child(symbols, "p.b"), child(symbols, "p.third"), child(symbols, "p.a")) == ("p.b", "p.a", "p.a")


def test_modules_that_import_each_other_and_names_that_are_nowhere() -> None:
    symbols = linked(a="from b import x, y\n", b="from a import x\nfrom a import y\ny = 1\nfrom c import z\n")
    assert symbols["b.x"].kind is SymbolKind.OBJECT and child(symbols, "a.x") == child(symbols, "b.x") == "b.x"
    assert child(symbols, "a.y") == "b.y"
    assert symbols["b.z"].kind is SymbolKind.OBJECT


def test_a_stub_offers_what_it_defines_or_exports() -> None:
    symbols = linked(
        a_pyi="""
        import b
        from b import f
        from b import g as g
        from b import h
        __all__ = ['h', 'own']
        def own() -> int: ...
        """,
        b_pyi="def f() -> int: ...\ndef g() -> int: ...\ndef h() -> int: ...\n",
    )
    assert symbols["a"].children == {"g": "b.g", "h": "b.h", "own": "a.own"}


def test_a_source_holds_its_imports_but_offers_only_those_of_its_package() -> None:
    symbols = linked(p_init="import q\nfrom .a import f\n", p__a="def f(): pass\n", q="")
    assert symbols["p"].children == {"q": "q", "f": "p.a.f", "a": "p.a"}
    assert symbols["p"].hidden == ["q"]


@pytest.mark.parametrize(
    ("exports", "expected"),
    [
        ("", {"a", "b"}),
        ("__all__ = ['_c', 'a']", {"_c", "a"}),
        ("__all__ = ('a',)\n__all__ += ['_c']", {"_c", "a"}),
        ("__all__ = ['a']\n__all__.extend(['b'])", {"a", "b"}),
        ("__all__ = names()", {"a", "b"}),
    ],
)
def test_stars_bring_what_is_public(exports: str, expected: set[str]) -> None:
    symbols = linked(m=f"a = 1\nb = 2\n_c = 3\n{exports}\n", n="from m import *\n")
    assert set(symbols["n"].children) == expected


def test_conditions_choose_definitions_and_except_branches_only_add() -> None:
    symbols = linked(
        m="""
        import sys
        if sys.version_info >= (3, 12):
            def f() -> int: ...
        else:
            def f() -> str: ...
        if sys.platform == "win32":
            def g() -> int: ...
        try:
            def h() -> int: ...
        except ImportError:
            def h() -> str: ...
            def i() -> str: ...
        """
    )
    assert returns(symbols, "m.f") == [["builtins.str"]]
    assert "m.g" not in symbols
    assert (returns(symbols, "m.h"), returns(symbols, "m.i")) == ([["builtins.int"]], [["builtins.str"]])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("sys.version_info >= (3, 11)", True),
        ("sys.version_info < (3, 11, 2)", False),
        ("sys.version_info[0] == 2", False),
        ("sys.version_info[:2] >= (3, 9)", True),
        ("sys.platform != 'win32'", True),
        ("sys.platform.startswith('linux')", True),
        ("not TYPE_CHECKING", False),
        ("typing.TYPE_CHECKING", True),
        ("False", False),
        ("sys.platform == 'linux' and sys.version_info >= (3, 8)", True),
        ("sys.platform == 'darwin' and anything()", False),
        ("sys.platform == 'linux' or anything()", True),
        ("anything()", None),
        ("os.name == 'nt'", None),
        ("x and y", None),
        ("1 < 2 < 3", None),
    ],
)
def test_conditions(condition: str, expected: bool | None) -> None:
    assert condition_holds(ast.parse(condition, mode="eval").body) is expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int", ["builtins.int"]),
        ("'int'", ["builtins.int"]),
        ("int | None", ["builtins.int"]),
        ("Optional[int]", ["builtins.int"]),
        ("Union[int, str]", ["builtins.int", "builtins.str"]),
        ("int | str", ["builtins.int", "builtins.str"]),
        ("None", ["types.NoneType"]),
        ("Any", []),
        ("Alias", ["builtins.int", "builtins.str"]),
        ("Other", ["builtins.int"]),
        ("Unknown", []),
        ("1 + 1", []),
        ("'no python ('", []),
        ("C.Inner", ["m.C.Inner"]),
        ("Literal[1, 'a']", ["builtins.int", "builtins.str"]),
        ("Annotated[int, 5]", ["builtins.int"]),
        ("Named", ["builtins.int"]),
    ],
)
def test_annotations(annotation: str, expected: list[str]) -> None:
    symbols = linked(
        m=f"""
        from typing import *
        from typing import Optional, Union, Any
        Alias = int | str
        Other = int
        Named = NewType("Named", int)
        class C:
            class Inner: ...
        x: {annotation}
        """
    )
    assert types(symbols, "m.x") == expected


def test_type_arguments_and_type_variables() -> None:
    symbols = linked(
        m_pyi="""
        from typing import Generic, TypeVar, Self, Iterator
        T = TypeVar("T")
        L = TypeVar("L", bound=int)
        class Box(Generic[T]):
            def get(self) -> T: ...
            def me(self) -> Self: ...
            def old(self: T2) -> T2: ...
            @classmethod
            def make(cls: type[T2]) -> T2: ...
            def all(self) -> list[T]: ...
        T2 = TypeVar("T2")
        class Ints(Box[int]): ...
        x: Box[list[str]]
        y: tuple[int, ...]
        z: tuple[int, str]
        def f(a: L) -> L: ...
        """
    )
    assert symbols["m.Box"].type_parameters == ("~T",)
    assert symbols["m.Ints"].bases == (Form("m.Box", ((Form("builtins.int"),),)),)
    assert returns(symbols, "m.Box.get") == [["~T"]]
    assert (
        returns(symbols, "m.Box.me") == returns(symbols, "m.Box.old") == returns(symbols, "m.Box.make") == [["~Self"]]
    )
    assert symbols["m.Box.all"].signatures[0].returns == (Form("builtins.list", ((Form("~T"),),)),)
    assert symbols["m.x"].forms == (Form("m.Box", ((Form("builtins.list", ((Form("builtins.str"),),)),),)),)
    assert [len(symbols[path].forms[0].arguments) for path in ("m.y", "m.z")] == [1, 2]
    assert symbols["m.f"].signatures[0].returns == (Form("~L", ((Form("builtins.int"),),)),)


def test_overloads_are_kept_and_the_body_behind_them_is_not() -> None:
    symbols = linked(
        m="""
        from typing import overload, Literal
        @overload
        def f(a: Literal["x", "y"]) -> int: ...
        @overload
        def f(a: str, b=None, /, *c, d: int = 5, **e) -> str: ...
        def f(a, b=1): return None
        """
    )
    assert returns(symbols, "m.f") == [["builtins.int"], ["builtins.str"]]
    first, second = symbols["m.f"].signatures
    assert first.parameters[0].literals == {"'x'", "'y'"}
    assert [(p.name, p.kind, p.default) for p in second.parameters] == [
        ("a", "positional", None),
        ("b", "positional", "None"),
        ("c", "vararg", None),
        ("d", "keyword", "5"),
        ("e", "kwarg", None),
    ]


def test_members_of_classes_in_sources() -> None:
    symbols = linked(
        m="""
        import functools
        other = local = 'a'
        class Base:
            def __init__(self, name: str, other):
                self.name = name
                self.other = other
                self.items = [1]
                self.none = None
                self.typed: int = f()
                self.part = self.name.x
                self.size_or = other or 1
                local = f()
                self.local = local
            @property
            def size(self): return 1
            @size.setter
            def size(self, value): pass
            @functools.cached_property
            def cached(self) -> str: ...
            @staticmethod
            def static(a): return a
            def later(self): self.none = 'a'
            tag = 't'
        class Sub(Base):
            pass
        """
    )
    expected = {
        "name": "str",
        "items": "list",
        "none": "str",
        "typed": "int",
        "size": "int",
        "cached": "str",
        "tag": "str",
    }
    for name, type_name in expected.items():
        assert types(symbols, f"m.Base.{name}") == [f"builtins.{type_name}"], name
    assert types(symbols, "m.Base.size_or") == ["builtins.int"]
    for name in ("other", "part", "local"):  # what parameters and local names are is not known
        assert types(symbols, f"m.Base.{name}") == [], name
    assert symbols["m.Base.size"].kind is symbols["m.Base.cached"].kind is SymbolKind.DESCRIPTOR
    assert [p.name for p in symbols["m.Base.static"].signatures[0].parameters] == ["a"]
    assert [p.name for p in symbols["m.Base.__init__"].signatures[0].parameters] == ["name", "other"]
    assert symbols["m.Sub"].bases == (Form("m.Base"),)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return 1", ["builtins.int"]),
        ("return C()", ["m.C"]),
        ("x = C()\n    return x", ["m.C"]),
        ("x = C()\n    x = 1\n    return x", []),
        ("if a: return 1\n    return 'a'", ["builtins.int", "builtins.str"]),
        ("if a: return 1\n    return b", ["builtins.int"]),
        ("return a", []),
        ("return a()", []),
        ("pass", []),
        ("'only documented'", []),
        ("raise NotImplementedError", []),
        ("print(a)", ["types.NoneType"]),
        ("return helper()", ["m.C"]),
        ("return a if b else 1", ["builtins.int"]),  # the parameter, not the global of the same name
        ("return a or C()", ["m.C"]),
        ("def helper(): pass\n    return helper()", []),
        ("import C\n    return C()", []),
        ("yield 1", ["typing.Generator"]),
        ("def g(): return 1\n    print(g)", ["types.NoneType"]),
    ],
)
def test_results_of_functions_without_annotation(body: str, expected: list[str]) -> None:
    symbols = linked(m=f"class C: pass\na = C()\ndef helper(): return C()\ndef f(a):\n    {body}\n")
    assert returns(symbols, "m.f") == [expected]


def test_asynchronous_functions_and_context_managers() -> None:
    symbols = linked(
        m="""
        from contextlib import contextmanager
        async def f() -> int: ...
        @contextmanager
        def g() -> Iterator[int]: ...
        """
    )
    assert symbols["m.f"].signatures[0].returns == (Form("types.CoroutineType", ((), (), (Form("builtins.int"),))),)
    assert returns(symbols, "m.g") == [["contextlib._GeneratorContextManager"]]


def test_enumerations_named_tuples_and_callback_protocols() -> None:
    symbols = linked(
        enum_pyi="class Enum:\n    name: str\n",
        m_pyi="""
        from enum import Enum
        from typing import Protocol, NamedTuple, Final
        from collections import namedtuple
        class Color(Enum):
            RED = 1
            note: str
        RED = Color.RED
        Pair = namedtuple("Pair", "left, right")
        class _Call(Protocol):
            def __call__(self, a: int) -> str: ...
        call: _Call
        class Random:
            def seed(self, a: int) -> None: ...
        _one: Final[Random]
        seed = _one.seed
        """,
    )
    assert types(symbols, "m.Color.RED") == ["m.Color"]
    assert types(symbols, "m.Color.note") == ["builtins.str"]
    assert child(symbols, "m.RED") == "m.Color.RED"
    assert set(symbols["m.Pair"].children) == {"left", "right"}
    assert symbols["m.call"].kind is SymbolKind.FUNCTION and returns(symbols, "m.call") == [["builtins.str"]]
    assert child(symbols, "m.seed") == "m.Random.seed"


def test_classes_that_contain_or_inherit_themselves_end() -> None:
    symbols = linked(m="class A(B): x = A\nclass B(A): pass\nT = list[T]\nx: T\ny = y\nz = w\nw = z\n")
    assert {"m.A", "m.B", "m.x"} <= symbols.keys()


@pytest.mark.parametrize(
    ("bases", "expected"),
    [
        ({"D": ["B", "C"], "B": ["A"], "C": ["A"]}, ["D", "B", "C", "A"]),
        ({"D": ["A", "B"], "B": ["A"]}, ["D", "A", "B"]),  # Python refuses it: searched depth first
        ({"D": ["D"]}, ["D"]),
        ({"D": ["E"], "E": ["D"]}, ["D", "E"]),
    ],
)
def test_bases_are_searched_in_pythons_order(bases: dict[str, list[str]], expected: list[str]) -> None:
    assert linearize("D", lambda path: bases.get(path, [])) == [*expected, "builtins.object"]
