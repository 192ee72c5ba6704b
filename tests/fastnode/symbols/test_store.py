"""Look-ups in the symbols of the standard library: canonical paths, kinds, types, bases, members, parameters."""

import pickle
import sqlite3
import threading
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest

from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import Parameter, ParameterKind, SymbolKind
from ops_common.errors import ArtifactError


@pytest.mark.parametrize(
    ("path", "canonical", "kind"),
    [
        ("os.path.join", "posixpath.join", SymbolKind.FUNCTION),
        ("os.path", "posixpath", SymbolKind.MODULE),
        ("collections.OrderedDict", "collections.OrderedDict", SymbolKind.TYPE),
        ("collections.OrderedDict.get", "builtins.dict.get", SymbolKind.FUNCTION),
        ("collections.abc.Iterable", "typing.Iterable", SymbolKind.TYPE),
        ("io.StringIO", "_io.StringIO", SymbolKind.TYPE),
        ("asyncio.sleep", "asyncio.tasks.sleep", SymbolKind.FUNCTION),
        ("unittest.TestCase.assertEqual", "unittest.case.TestCase.assertEqual", SymbolKind.FUNCTION),
        ("xml.dom.minidom.parse", "xml.dom.minidom.parse", SymbolKind.FUNCTION),
        ("pathlib.Path.parent", "pathlib.PurePath.parent", SymbolKind.DESCRIPTOR),
        ("math.pi", "math.pi", SymbolKind.OBJECT),
        ("socket.AF_INET", "socket.AF_INET", SymbolKind.OBJECT),
        ("subprocess.Popen", "subprocess.Popen", SymbolKind.TYPE),
    ],
)
def test_paths_lead_to_where_things_are_defined(
    symbols: SymbolStore, path: str, canonical: str, kind: SymbolKind
) -> None:
    symbol = symbols.find(path)
    assert symbol is not None
    assert (symbol.path, symbol.canonical, symbol.kind) == (path, canonical, kind)


@pytest.mark.parametrize(
    "path", ["os.path.no_such_name", "no_such_module", "os.", "", ".", "os..path", "math.pi.x.y", "os.sys"]
)
def test_what_is_not_there_is_not_found(symbols: SymbolStore, path: str) -> None:
    assert symbols.find(path) is None


def test_builtins_are_found_by_their_bare_name(symbols: SymbolStore) -> None:
    bare, full = symbols.find("dict"), symbols.find("builtins.dict")
    assert bare == full
    assert bare is not None and bare.path == "builtins.dict"


@pytest.mark.parametrize(
    ("path", "type_path", "elements"),
    [
        ("math.pi", "builtins.float", ()),
        ("sys.argv", "builtins.list", ("builtins.str",)),
        ("os.environ", "os._Environ", ()),
        ("socket.AF_INET", "socket.AddressFamily", ()),
        ("pathlib.Path.parent", "pathlib.Path", ()),
        ("pathlib.PurePosixPath.parents", "typing.Sequence", ("pathlib.PurePosixPath",)),
        ("re.Match.pos", "builtins.int", ()),
    ],
)
def test_types_of_variables_and_properties(
    symbols: SymbolStore, path: str, type_path: str, elements: tuple[str, ...]
) -> None:
    symbol = symbols.find(path)
    assert symbol is not None
    assert (symbol.type_path, symbol.elements) == (type_path, elements)


@pytest.mark.parametrize(
    ("path", "returns", "elements"),
    [
        ("os.getcwd", ("builtins.str",), ()),
        ("str.split", ("builtins.list",), ("builtins.str",)),
        ("os.walk", ("typing.Iterator",), ("builtins.tuple",)),
        ("re.match", ("re.Match",), ()),  # `Match[str] | None`
        ("io.TextIOWrapper.__enter__", ("_io.TextIOWrapper",), ()),  # `Self`, inherited
        ("datetime.datetime.now", ("datetime.datetime",), ()),  # a class method
        ("os.path.join", ("builtins.str", "builtins.bytes"), ()),  # two overloads
        ("dict.get", (), ()),  # a type variable is unknown
        ("json.loads", (), ()),  # Any
        ("unittest.TestCase.setUp", ("types.NoneType",), ()),
    ],
)
def test_results_of_functions(
    symbols: SymbolStore, path: str, returns: tuple[str, ...], elements: tuple[str, ...]
) -> None:
    symbol = symbols.find(path)
    assert symbol is not None
    assert (symbol.returns, symbol.elements) == (returns, elements)


def test_children_are_sorted_and_include_inherited_members(symbols: SymbolStore) -> None:
    children = symbols.children("collections.OrderedDict")
    assert children == sorted(children)
    assert {"get", "items", "move_to_end", "__class__"} <= set(children)
    assert "join" in symbols.children("os.path")
    assert {"path", "getcwd"} <= set(symbols.children("os"))
    assert "sys" not in symbols.children("os")  # imported by the stub, not offered by the module
    assert symbols.children("no.such.module") == []
    assert symbols.children("os.getcwd") == []


def test_every_child_is_found_and_has_a_canonical_symbol(symbols: SymbolStore) -> None:
    for parent in ("os", "os.path", "builtins", "typing", "collections", "argparse.ArgumentParser", "tkinter"):
        for name in symbols.children(parent):
            child = symbols.child(parent, name)
            assert child is not None, (parent, name)
            again = symbols.find(child.canonical)
            assert again is not None and again.canonical == child.canonical


def test_bases(symbols: SymbolStore) -> None:
    assert symbols.bases("collections.OrderedDict") == ["builtins.dict"]
    assert symbols.bases("bool") == ["builtins.int"]
    assert symbols.bases("object") == []
    assert symbols.bases("os.getcwd") == []


def test_parameters_are_those_of_the_longest_overload_without_the_receiver(symbols: SymbolStore) -> None:
    assert symbols.parameters("shutil.copyfile") == [
        Parameter("src", ParameterKind.EITHER),
        Parameter("dst", ParameterKind.EITHER),
        Parameter("follow_symlinks", ParameterKind.KEYWORD, "True"),
    ]
    assert symbols.parameters("os.path.join") == [
        Parameter("a", ParameterKind.POSITIONAL),
        Parameter("paths", ParameterKind.VARARG),
    ]
    assert symbols.parameters("str.upper") == []
    assert symbols.parameters("math.pi") is None
    assert symbols.parameters("no_such") is None


def test_parameters_of_a_type_are_those_of_its_constructor(symbols: SymbolStore) -> None:
    of_type, of_init = (
        symbols.parameters("argparse.ArgumentParser"),
        symbols.parameters("argparse.ArgumentParser.__init__"),
    )
    assert of_type == of_init
    assert of_type is not None and of_type[0] == Parameter("prog", ParameterKind.EITHER, "None")


def test_threads_and_forked_processes_may_share_a_store(symbols_path: Path) -> None:
    store = SymbolStore.open(symbols_path)
    assert store.find("os.getcwd") is not None
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(store.find("os.path.join"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    with get_context("fork").Pool(2) as pool:
        paths = ["json.dumps", "re.compile", "csv.reader"] * 4
        assert pool.map(store.find, paths) == [store.find(path) for path in paths]


def test_a_store_travels_to_another_process_by_its_path(symbols: SymbolStore) -> None:
    copy = pickle.loads(pickle.dumps(symbols))
    assert copy.digest == symbols.digest
    assert copy.find("os.path.join") == symbols.find("os.path.join")


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        SymbolStore.open(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("no database, but long enough to be read as one" * 50, encoding="utf-8")
    with pytest.raises(ArtifactError, match="is not a symbol store"):
        SymbolStore.open(text)
    other = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(other)) as connection:
        connection.executescript(
            "CREATE TABLE meta (key, value); INSERT INTO meta VALUES ('format', 'fastnode-symbols-0');"
        )
    with pytest.raises(ArtifactError, match="format 'fastnode-symbols-0', not 'fastnode-symbols-1'"):
        SymbolStore.open(other)
