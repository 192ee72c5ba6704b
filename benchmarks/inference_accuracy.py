"""How often the inference agrees with jedi, how much it knows, and what it costs.

jedi's answers for sampled attribute and call expressions are kept in `tests/fastnode/analysis/jedi/answers.json`; see
the README beside it. An expression counts if its file is installed unchanged. Compared is the set of values, where both
know one: modules, types and functions by canonical path, instances by that of their type. `None` beside other values,
and results known only as "what this function returns", are no claims.

* precision: of the values that we claim, how many jedi has, too; names have the union over all assignments here, by
  design, while jedi follows the flow of the program, so this is a lower bound;
* agreement: of the expressions, in how many one value is common;
* recall: of the expressions that jedi knows, in how many one of ours is among its values.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, write_result
from fastnode_ops.analysis.analysis import Analysis, analyse
from fastnode_ops.analysis.values import Value, ValueKind
from fastnode_ops.symbols.building import build_symbols
from fastnode_ops.symbols.store import SymbolStore

ANSWERS = ROOT / "tests" / "fastnode" / "analysis" / "jedi" / "answers.json"
PACKAGES = ("click", "dateutil", "jinja2", "markdown", "packaging", "requests", "rich", "urllib3", "werkzeug")

_KINDS = {
    ValueKind.MODULE: "module",
    ValueKind.TYPE: "class",
    ValueKind.FUNCTION: "function",
    ValueKind.INSTANCE: "instance",
}
_NONE = ("instance", "types.NoneType")

Key = tuple[str, str]
"""Kind and canonical path of a value."""


@dataclass(slots=True)
class Accuracy:
    """What the comparison counted.

    Args:
        num_expressions: Expressions that jedi knows, in files that are installed unchanged.
        num_known: Of those the ones that we know, too.
        num_agreed: Of those the ones with a common value.
        num_claims: Values that we claim where both know some.
        num_confirmed: Of those the ones that jedi has, too.
        num_changed: Expressions left out because their file is another one here.
        differences: The expressions for which we claim a value that jedi has not, as texts.
        unknown: Those that only jedi knows.
    """

    num_expressions: int = 0
    num_known: int = 0
    num_agreed: int = 0
    num_claims: int = 0
    num_confirmed: int = 0
    num_changed: int = 0
    differences: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of our values that jedi has."""
        return self.num_confirmed / max(self.num_claims, 1)

    @property
    def agreement(self) -> float:
        """Share of the expressions known to both that have a common value."""
        return self.num_agreed / max(self.num_known, 1)

    @property
    def recall(self) -> float:
        """Share of the expressions known to jedi for which we have one of its values."""
        return self.num_agreed / max(self.num_expressions, 1)


def compare_with_jedi(store: SymbolStore, answers: Path = ANSWERS) -> Accuracy:
    """Compare the inference with the answers of jedi that are kept.

    Args:
        store: Symbols of the standard library and of `PACKAGES`.
        answers: The file that `remake.py` wrote.
    """
    accuracy = Accuracy()
    analyses: dict[str, Analysis | None] = {}
    for expression in json.loads(answers.read_text(encoding="utf-8"))["expressions"]:
        name = f"{expression['place']}/{expression['file']}"
        if name not in analyses:
            analyses[name] = _analysis(expression, store)
        analysis = analyses[name]
        if analysis is None:
            accuracy.num_changed += 1
        else:
            _count(accuracy, analysis, expression, store)
    return accuracy


def _analysis(expression: dict[str, Any], store: SymbolStore) -> Analysis | None:
    path = Path(sysconfig.get_path(expression["place"])) / expression["file"]
    source = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(source).hexdigest() != expression["sha256"]:
        return None
    return analyse(source, store)


def _count(accuracy: Accuracy, analysis: Analysis, expression: dict[str, Any], store: SymbolStore) -> None:
    start, end = expression["start"], expression["end"]
    kinds = ("AttributeExpr", "CallExpr")
    node = next(n for n in analysis.tree.nodes if (n.start, n.end) == (start, end) and n.kind in kinds)
    module = expression["file"].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    theirs = _without_none({_their_key(kind, name, module, store) for kind, name in expression["jedi"] if name})
    ours = _without_none({_our_key(value) for value in analysis.values(node) if value.kind in _KINDS})
    if not theirs:
        return
    accuracy.num_expressions += 1
    where = f"{expression['file']}:{analysis.source[:start].count(10) + 1} {expression['text']!r}"
    if not ours:
        accuracy.unknown.append(f"{where}: jedi {sorted(theirs)}")
        return
    accuracy.num_known += 1
    accuracy.num_claims += len(ours)
    accuracy.num_confirmed += len(ours & theirs)
    if ours & theirs:
        accuracy.num_agreed += 1
    if ours - theirs:
        accuracy.differences.append(f"{where}: ours {sorted(ours)}, jedi {sorted(theirs)}")


def _our_key(value: Value) -> Key:
    return _KINDS[value.kind], f"<{value.path}>" if value.is_local else value.canonical


def _their_key(kind: str, name: str, module: str, store: SymbolStore) -> Key:
    """Return jedi's value as ours are written: stubs and sources place some definitions in different modules."""
    if kind == "instance" and name in ("builtins.NoneType", "types.NoneType", "_typeshed.NoneType"):
        return _NONE
    if name.startswith(f"{module}."):
        return kind, f"<{name.removeprefix(module + '.')}>"
    symbol = store.find(name)
    return kind, name if symbol is None else symbol.canonical


def _without_none(keys: set[Key]) -> set[Key]:
    return keys - {_NONE} if len(keys) > 1 else keys


def measure_speed(store: SymbolStore) -> dict[str, float]:
    """Return what evaluating every expression of 100 files of the standard library costs, in processor time."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.glob("*.py")) if path.stat().st_size <= 30_000][:100]
    analyses = [analyse(path.read_bytes(), store) for path in files]
    started = time.process_time()
    known = [[bool(a.values(node)) for node in a.tree.nodes if node.kind.endswith("Expr")] for a in analyses]
    seconds = time.process_time() - started
    num_expressions = sum(map(len, known))
    num_nodes = sum(len(analysis.tree.nodes) for analysis in analyses)
    return {
        "num_files": len(files),
        "known_share": sum(map(sum, known)) / num_expressions,
        "microseconds_per_node": seconds / num_nodes * 1e6,
    }


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=None, help="JSON file; default: .ops/benchmarks/")
    parser.add_argument(
        "--differences", action="store_true", help="print where jedi has other values, or alone has any"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "symbols.sqlite"
        started = time.perf_counter()
        report = build_symbols(path, PACKAGES)
        seconds = time.perf_counter() - started
        store = SymbolStore.open(path)
        accuracy = compare_with_jedi(store)
        values: dict[str, Any] = {
            "precision": accuracy.precision,
            "agreement": accuracy.agreement,
            "recall": accuracy.recall,
            "num_expressions": accuracy.num_expressions,
            "num_changed": accuracy.num_changed,
            "build_seconds": seconds,
            "num_symbols": report.num_symbols,
            **measure_speed(store),
        }
    for line in [*accuracy.differences, *accuracy.unknown] if arguments.differences else ():
        print(line)
    write_result("inference_accuracy", values, arguments.output)
    return values


if __name__ == "__main__":
    main()
