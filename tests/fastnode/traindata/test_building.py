"""A toy corpus end to end: code -> corpus -> index -> metainfo.json."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest

from fastnode_ops.corpus.building import build_files
from fastnode_ops.corpus.store import Corpus
from fastnode_ops.graphs.vocabulary import Vocabulary
from fastnode_ops.samples.metainfo import MetaInfo, production_id, read_metainfo
from fastnode_ops.server.symbols import ScoresRequest, SymbolAnswers
from fastnode_ops.statistics.building import build_index
from fastnode_ops.statistics.calls import CallStatistics
from fastnode_ops.statistics.index import SymbolIndex
from fastnode_ops.statistics.resources import Resources
from fastnode_ops.statistics.signatures import Limits
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.traindata.building import build_metainfo, choose_packages, count_metainfo
from fastnode_ops.traindata.packages import PackageList
from fastnode_ops.traindata.thresholds import Thresholds
from ops_common.errors import ConfigError, DataError

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/metainfo.schema.json").read_text())
PACKAGES = PackageList(("json", "os", "posixpath", "builtins"), {}, ("gone",))


def module(name: str, number: int) -> str:
    return f"""import json, os

def {name}_load({name}_path, {name}_mode):
    file_name = '{name}.json'
    with open(os.path.join({name}_path, file_name), encoding='utf-8') as {name}_file:
        {name}_text = {name}_file.read().strip()
    {name}_value = json.loads({name}_text)
    {name}_again = json.dumps({name}_value, indent={number}, sort_keys=True)
    return {name}_again.rstrip(), os.sep, len({name}_text), os.getcwd() if {name}_mode else None
"""


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory, symbols_path: Path) -> Resources:
    code = tmp_path_factory.mktemp("code")
    for number in range(40):
        (code / f"m{number}.py").write_text(module(f"n{number}", number))
    folder = tmp_path_factory.mktemp("corpus")
    build_files(folder, [str(code)])
    build_index(folder, symbols_path, limits=Limits(2, 1))
    symbols = SymbolStore.open(symbols_path)
    return Resources(Corpus.open(folder), symbols, SymbolIndex.open(folder), CallStatistics.open(folder, symbols))


@pytest.fixture(scope="module")
def metainfo(resources: Resources) -> MetaInfo:
    return build_metainfo(resources, packages=PACKAGES, created_at="2024-01-02T03:04:05+00:00")


def test_distributions(metainfo: MetaInfo, resources: Resources) -> None:
    num = resources.index.num_files("train")
    assert {"json.loads", "json.dumps", "os.getcwd", "os.path", "os.sep"} <= metainfo.attr.dist.keys()
    assert metainfo.attr.dist.keys() == metainfo.attr.parents.keys()
    assert metainfo.attr.parents["json.loads"] == "json"
    assert not metainfo.attr.dist["json.loads"].canonicalize
    assert metainfo.attr.dist["builtins.str.strip"].canonicalize
    assert metainfo.call.dist["json.loads"].weight == num
    assert metainfo.call.dist["posixpath.join"].weight == num
    assert metainfo.call.infos["json.dumps"].kwarg_names == ["indent", "sort_keys"]
    assert metainfo.call.infos["json.loads"].kwarg_names == []
    assert metainfo.call.infos.keys() == metainfo.call.dist.keys()
    assert metainfo.attr_base.dist["json"].weight == 2 * num  # imports are no names
    assert metainfo.attr_base.dist["os"].canonicalize


def test_every_symbol_has_files_to_draw(metainfo: MetaInfo, resources: Resources) -> None:
    for part, context in ((metainfo.attr, "attribute"), (metainfo.call, "call_func"), (metainfo.attr_base, "name")):
        for entry in part.dist.values():
            found = resources.symbols.find(entry.symbol)
            assert found is not None
            path = found.canonical if entry.canonicalize else entry.symbol
            assert resources.index.files(path, context, canonical=entry.canonicalize, split="train")


def test_productions(metainfo: MetaInfo) -> None:
    index = metainfo.production_index
    assert index.indices.keys() == index.productions.keys()
    for symbol, parent in metainfo.attr.parents.items():
        assert production_id(symbol) in index.productions[str(production_id(parent))].children
    for option in ("placeholder", "no_placeholder"):
        assert index.row(f"choose_arg_placeholder:json.dumps:obj:{option}") is not None
    assert index.row("choose_kwarg:json.dumps:indent") is not None
    assert index.row("EXPANSION_TASK") is None  # D8


def test_words(metainfo: MetaInfo) -> None:
    Vocabulary(metainfo.name_subtoken_index, metainfo.type_subtoken_index)
    for rows in (metainfo.name_subtoken_index, metainfo.type_subtoken_index):
        assert sorted(rows.values()) == list(range(len(rows)))
    assert {"path", "json", "encoding"} <= metainfo.name_subtoken_index.keys()
    assert {"str", "instance", "return", "na", "loads"} <= metainfo.type_subtoken_index.keys()


def test_counts_and_header(metainfo: MetaInfo, resources: Resources) -> None:
    counts = count_metainfo(metainfo, PACKAGES)
    assert (counts.num_packages, counts.num_packages_dropped) == (4, 1)
    assert counts.num_functions == len(metainfo.call.dist) > 3
    assert counts.num_productions == len(metainfo.production_index.indices)
    assert metainfo.header.corpus_digest == resources.digest
    assert metainfo.header.thresholds == {"min_score": 2, "min_keyword_count": 1, "min_type_count": 2}


def test_same_bytes_every_time(metainfo: MetaInfo, resources: Resources, tmp_path: Path) -> None:
    """D10."""
    fresh = Resources(resources.corpus, SymbolStore.open(resources.symbols.path), resources.index, resources.calls)
    again = build_metainfo(fresh, packages=PACKAGES, created_at=metainfo.header.created_at)
    metainfo.write(tmp_path / "one.json")
    again.write(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    later = build_metainfo(resources, packages=PACKAGES)
    assert later.header.created_at != metainfo.header.created_at
    assert later.digest == metainfo.digest


def test_a_server_gives_the_same(metainfo: MetaInfo, resources: Resources) -> None:
    answers = SymbolAnswers(resources.symbols, resources.index, resources.corpus)

    def scores(symbols: Sequence[str], context: str, *, canonicalize: bool) -> dict[str, int]:
        wanted = sorted(set(symbols))
        request = ScoresRequest(symbols=wanted, context=f"symbol_context_{context}", canonicalize=canonicalize)
        found: dict[str, int] = answers.scores(request)["scores"]
        return found

    assert build_metainfo(resources, packages=PACKAGES, scores=scores).digest == metainfo.digest


def test_what_is_left_out_is_counted(metainfo: MetaInfo, resources: Resources) -> None:
    dropped: Counter[str] = Counter()
    build_metainfo(resources, packages=PACKAGES, dropped=dropped)
    assert dropped["attribute_too_rare"] > len(metainfo.attr.dist)
    assert dropped["function_without_call_pattern"] > len(metainfo.call.dist)
    strict: Counter[str] = Counter()
    found = build_metainfo(resources, packages=PACKAGES, thresholds=Thresholds(2, 1_000, 2), dropped=strict)
    assert not any(info.kwarg_names for info in found.call.infos.values())
    num_keywords = sum(len(resources.calls.keyword_counts(function)) for function in found.call.dist)
    assert strict["keyword_too_rare"] == num_keywords > 2


def test_file_follows_its_schema(metainfo: MetaInfo, tmp_path: Path) -> None:
    path = tmp_path / "metainfo.json"
    metainfo.write(path)
    values = json.loads(path.read_text())
    jsonschema.validate(values, SCHEMA)
    assert read_metainfo(path) == metainfo
    values["attr"]["dist"]["json.loads"]["weight"] = -1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


def test_schema_is_fresh() -> None:
    assert MetaInfo.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"} == SCHEMA


def test_packages_of_the_corpus(resources: Resources) -> None:
    assert choose_packages(resources).names == ("builtins", "json", "os")


def test_packages_of_a_file(resources: Resources, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "packages.txt"
    path.write_text("json\nStringIO\nno_such_package\n")
    found = choose_packages(resources, path)
    assert (found.names, found.dropped) == (("json", "io"), ("no_such_package",))
    assert "no_such_package" in caplog.text and "StringIO is of Python 2: io is taken" in caplog.text
    path.write_text("no_such_package\n")
    with pytest.raises(ConfigError, match="none of the 1 packages is known"):
        choose_packages(resources, path)


def test_nothing_frequent_enough(resources: Resources) -> None:
    with pytest.raises(DataError, match="no symbol of 4 packages occurs 1e\\+06 times"):
        build_metainfo(resources, packages=PACKAGES, thresholds=Thresholds(1e6, 1e6, 1e6))
