"""Every test that the table of the specification's examples names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs/spec_vectors.md").read_text(encoding="utf-8"))


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 40
    tests: dict[str, set[str]] = {}
    for file in {file for file, _ in NAMED}:
        tree = ast.parse((ROOT / "tests/gematria" / file).read_text(encoding="utf-8"))
        tests[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert [f"{file}::{name}" for file, name in NAMED if name not in tests[file]] == []
