"""Asks jedi what sampled attribute and call expressions are, and writes `answers.json` beside this file.

Run it from the checkout's root: `PYTHONPATH=. python tests/fastnode/analysis/jedi/remake.py`. Takes about ten minutes.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sysconfig
from pathlib import Path

from fastnode_ops.analysis.nodes import Node, Tree, enclosing_statement
from fastnode_ops.analysis.syntax import parse

ANSWERS = Path(__file__).with_name("answers.json")
SEED = "expressions for jedi, 1"
PACKAGES = ("click", "dateutil", "jinja2", "markdown", "packaging", "requests", "rich", "urllib3", "werkzeug")
NUM_EXPRESSIONS = {"stdlib": 200, "purelib": 200}
PER_FILE = 2
SECONDS_PER_EXPRESSION = 60
MAX_FILE_BYTES = 60_000
NO_SCOPES = (
    "ListComprehensionExpr",
    "SetComprehensionExpr",
    "DictComprehensionExpr",
    "ComprehensionExpr",
    "LambdaExpr",
)
SKIPPED = {"test", "tests", "encodings", "idlelib", "lib2to3"}
PROBE = "probe_of_jedi"


def main() -> None:
    answers = []
    for place, wanted in NUM_EXPRESSIONS.items():
        found = 0
        for path in _files(place):
            if found >= wanted:
                break
            for answer in _ask_about(place, path):
                answers.append(answer)
                found += 1
            print(place, found, path, flush=True)
    text = json.dumps({"seed": SEED, "expressions": answers}, indent=1)
    ANSWERS.write_text(text + "\n", encoding="utf-8")


def _root(place: str) -> Path:
    return Path(sysconfig.get_path(place))


def _files(place: str) -> list[Path]:
    root = _root(place)
    folders = [root] if place == "stdlib" else [root / package for package in PACKAGES]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    kept = [path for path in files if path.stat().st_size <= MAX_FILE_BYTES]
    kept = [path for path in kept if not SKIPPED & set(path.relative_to(root).parts)]
    if place == "stdlib":
        kept = [path for path in kept if "site-packages" not in path.parts]
    return sorted(kept, key=lambda path: _draw(str(path.relative_to(root))))


def _draw(text: str) -> str:
    return hashlib.sha256(f"{SEED} {text}".encode()).hexdigest()


def _ask_about(place: str, path: Path) -> list[dict[str, object]]:
    source = path.read_bytes()
    try:
        source.decode()
    except UnicodeDecodeError:
        return []
    tree = parse(source)
    candidates = [
        node for node in tree.nodes if node.kind in ("AttributeExpr", "CallExpr") and _can_be_asked(tree, node)
    ]
    candidates.sort(key=lambda node: _draw(f"{path.name} {node.start} {node.end}"))
    name = str(path.relative_to(_root(place)))
    answers = []
    for node in candidates[: PER_FILE * 3]:
        if len(answers) == PER_FILE:
            break
        values = _with_time_limit(source, tree, node, path)
        if values:
            answers.append(
                {
                    "place": place,
                    "file": name,
                    "sha256": hashlib.sha256(source).hexdigest(),
                    "start": node.start,
                    "end": node.end,
                    "text": tree.text(node)[:60],
                    "jedi": values,
                }
            )
    return answers


def _can_be_asked(tree: Tree, node: Node) -> bool:
    statement = enclosing_statement(node)
    if statement is None or statement.kind in ("BadStmt", "FunctionDefStmt", "ClassDefStmt"):
        return False
    if node.end - node.start > 200 or statement.kind == "DelStmt":
        return False
    current: Node | None = node
    while current is not None and current is not statement:
        if current.kind in NO_SCOPES:
            return False
        current = current.parent
    before = tree.source[tree.source.rfind(b"\n", 0, statement.start) + 1 : statement.start]
    if before.strip() or tree.source[statement.start : statement.start + 4] in (b"elif", b"else"):
        return False
    in_header = statement.kind in ("ForStmt", "WhileStmt", "WithStmt", "TryStmt", "IfStmt")
    return not (in_header and b"\n" in tree.source[statement.start : node.start])


def _with_time_limit(source: bytes, tree: Tree, node: Node, path: Path) -> list[list[str]]:
    statement = enclosing_statement(node)
    assert statement is not None
    line_start = source.rfind(b"\n", 0, statement.start) + 1
    indent = source[line_start : statement.start].decode()
    probe = f"{indent}{PROBE} = ({tree.text(node)})\n"
    code = source[:line_start].decode() + probe + source[line_start:].decode()
    line = source[:line_start].count(b"\n") + 1
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_ask, args=(code, str(path), line, len(indent), sender))
    process.start()
    found = receiver.recv() if receiver.poll(SECONDS_PER_EXPRESSION) else []
    process.kill()
    process.join()
    return list(found)


def _ask(code: str, path: str, line: int, column: int, sender: object) -> None:
    import jedi

    try:
        script = jedi.Script(code, path=path)
        names = script.infer(line, column)
        values = sorted({(name.type, name.full_name or "") for name in names})
    except Exception as error:  # jedi gives up in many ways; such an expression is not used
        print(type(error).__name__, error)
        values = []
    sender.send([list(value) for value in values])  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
