"""The steps of the pipeline, from a corpus of a few files to everything that they write."""

import json
from pathlib import Path

import pytest

from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.validation.attribute_report import read_report_json
from fastnode_ops.validation.curated import rebuild
from fastnode_ops.validation.examples import read_collection, write_example_file
from fastnode_ops.validation.fallback import read_fallback
from fastnode_ops.validation.release import ReleaseLimits, check_release
from fastnode_ops.validation.run_record import list_runs, open_run
from fastnode_ops.validation.runs import (
    AttributeOutputs,
    LoadedModel,
    main_figures,
    providers_of,
    validate_attributes,
    validate_calls,
)
from ops_common.artifacts import sha256_file
from ops_common.errors import DataError
from tests.fastnode.validation.toy_world import Counts, Folder, ToyModel, ToyResources, offered_call
from tests.gematria.inference.pages import Page

ROOT = Path(__file__).parents[3]
FILE = b"""import os
import json

def f(x):
    json.dumps(x)
    os.rename(x, x)
    return os.path.%s
"""
NAMES = (b"join", b"exists", b"sep")


@pytest.fixture(scope="module")
def resources(symbols: SymbolStore) -> ToyResources:
    paths = {name: symbols.find(f"os.path.{name}").canonical for name in ("join", "exists")}  # type: ignore[union-attr]
    counts = Counts(attribute={paths["exists"]: 50, paths["join"]: 9})
    return ToyResources(Folder(*(FILE % NAMES[number % 3] + b"#" * number for number in range(36))), symbols, counts)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("serve")
    (folder / "expr_model.frozen.pb").write_bytes(b"model")
    return LoadedModel("toy", folder, ToyModel(calls_offered=[offered_call(*[("", "x"), ("", "x")])]))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> AttributeOutputs:
    folder = tmp_path_factory.mktemp("outputs")
    return AttributeOutputs(
        reports=folder / "reports",
        fallback_of_pipeline=folder / "attr-fallback-pipeline.txt",
        fallback_hardcoded=ROOT / "config/fastnode/attr-fallback-hardcoded.txt",
        fallback=model.folder / "attr-fallback.txt",  # where products read it
        examples=folder / "examples",
        records=folder / "records",
        rundb=str(folder / "rundb"),
    )


@pytest.fixture(scope="module")
def validated(model: LoadedModel, resources: ToyResources, outputs: AttributeOutputs) -> AttributeOutputs:
    validate_attributes(model, resources, outputs)
    return outputs


@pytest.mark.slow
def test_the_report(validated: AttributeOutputs, model: LoadedModel) -> None:
    report = read_report_json(validated.reports / "attributes.json")
    # 4 places a file: json.dumps, os.rename, os.path, os.path.<name>
    assert (report.num_situations, report.num_files) == (144, 36)
    figures = report.providers
    assert list(figures) == ["ggnn-line-attr", "ggnn-line-after", "pop", "alpha"]
    # the model has no list behind json., no hit at os.rename and os.path, and its three names at os.path.<name>
    assert figures["ggnn-line-attr"].failures == {"base is unsupported": 36}
    assert (figures["ggnn-line-attr"].all.top_1, figures["ggnn-line-attr"].all.top_3) == (12, 36)
    assert figures["ggnn-line-attr"].answered.num_situations == figures["pop"].common.num_situations == 108
    assert figures["pop"].failures == {}
    assert figures["pop"].all.top_1 == 12  # exists; join comes second
    assert figures["alpha"].calibration is None
    assert report.provenance.digests["expr_model.frozen.pb"] == model.digests()["expr_model.frozen.pb"]
    assert model.digests() == {"expr_model.frozen.pb": sha256_file(model.folder / "expr_model.frozen.pb")}
    assert main_figures(report)["ggnn_line_attr_top_5"] == round(36 / 108, 4)
    assert Page((validated.reports / "attributes.html").read_text()).problems == []
    with pytest.raises(Exception, match="at least 100 % are needed"):
        check_release(report, limits=ReleaseLimits(min_answered_share=1.0))


@pytest.mark.slow
def test_the_fallback_lists(validated: AttributeOutputs) -> None:
    # at `exists` pop 0 beats 2, at `join` 0 beats pop 1, at `sep` the model's 1 beats: 12 to 24
    assert validated.fallback_of_pipeline is not None and validated.fallback is not None
    assert read_fallback(validated.fallback_of_pipeline) == []
    assert read_fallback(validated.fallback) == ["matplotlib.pyplot"]


@pytest.mark.slow
def test_examples_are_written_whatever_their_number(validated: AttributeOutputs) -> None:
    assert validated.examples is not None
    examples, problems = read_collection(validated.examples)
    assert (len(examples), problems) == (108, [])
    one = next(one for one in examples if one.Symbol == "os.path" and one.Expected == "join")
    assert one.source[one.Cursor :].startswith(b"join\n")
    assert one.rank("ggnn-line-attr") == 0
    assert one.Provided is not None
    assert one.Provided["ggnn-line-attr"].MungedBuffer.count("GUESS_ME_123") == 1
    assert "#" not in one.Provided["ggnn-line-after"].MungedBuffer


@pytest.mark.slow
def test_the_records(validated: AttributeOutputs) -> None:
    assert validated.records is not None
    names = sorted(path.name for path in validated.records.iterdir())
    assert names == ["DONE", "file-shard-0-of-1-part-0.json"]
    lines = (validated.records / names[1]).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 144 * 4
    one = next(r for r in records if r["label"] == "pop" and r["expected"] == "join")
    assert (one["index"], one["top_1"], one["top_3"], one["first"]) == (1, 0, 1, "exists")
    assert one["parent_expr_type"] == "ReturnStmt"


@pytest.mark.slow
def test_the_run_record(validated: AttributeOutputs) -> None:
    run = open_run(list_runs(validated.rundb)[0])
    assert (run.info.Pipeline, run.info.Name, run.info.Status) == (
        "ggnn-attribute-completions-validate",
        "toy",
        "finished",
    )
    results = {result.Name: result.Value for result in run.info.Results}
    assert results["ggnn-line-attr count"] == 108
    assert results["ggnn-line-attr top-1"] == pytest.approx(12 / 108)
    assert run.artifacts() == ["attributes.html", "attributes.json"]
    assert run.info.FeedStats["situations"].Out == 144


@pytest.mark.slow
def test_the_same_again_gives_the_same_figures(
    validated: AttributeOutputs, model: LoadedModel, resources: ToyResources, tmp_path: Path
) -> None:
    again = validate_attributes(model, resources, AttributeOutputs(reports=tmp_path))
    first = read_report_json(validated.reports / "attributes.json")
    without_time = {name: one.model_copy(update={"latency": None}) for name, one in first.providers.items()}
    assert {n: one.model_copy(update={"latency": None}) for n, one in again.providers.items()} == without_time
    assert again.situations_digest == first.situations_digest


@pytest.mark.slow
def test_fewer_events_and_examples(model: LoadedModel, resources: ToyResources, tmp_path: Path) -> None:
    wanted = AttributeOutputs(reports=tmp_path / "reports", examples=tmp_path / "examples")
    report = validate_attributes(model, resources, wanted, max_events=10, num_examples=3)
    assert report.num_situations == 10
    assert len(read_collection(tmp_path / "examples")[0]) == 3


def test_a_split_without_situations_is_an_error_and_recorded(
    model: LoadedModel, symbols: SymbolStore, tmp_path: Path
) -> None:
    empty = ToyResources(Folder(b"x = 1\n", b"\xff\xfe"), symbols, Counts())
    wanted = AttributeOutputs(reports=tmp_path / "reports", rundb=str(tmp_path / "rundb"))
    with pytest.raises(DataError, match="the validation files have no situation: 1 times file cannot be parsed"):
        validate_attributes(model, empty, wanted)
    assert open_run(list_runs(wanted.rundb)[0]).info.Status == "error"
    with pytest.raises(DataError, match="the validation files have no call"):
        validate_calls(model, empty, tmp_path / "reports")
    assert not (tmp_path / "reports").exists()


def test_calls_end_to_end(model: LoadedModel, resources: ToyResources, tmp_path: Path) -> None:
    report = validate_calls(model, resources, tmp_path / "reports", rundb=str(tmp_path / "rundb"))
    assert (report.num_situations, report.num_answered) == (72, 72)
    one, two = report.by_num_args
    assert (one.num_args, one.num_concrete, one.exact_concrete.avg) == (1, 36, 0.0)
    assert (two.num_args, two.num_concrete, two.exact_concrete.avg, two.position_concrete.avg) == (2, 36, 1.0, 0.0)
    page = Page((tmp_path / "reports" / "calls.html").read_text())
    assert page.problems == [] and page.outside_references() == [] and page.unnamed_scroll_areas() == []
    assert "among them in 50.0" in " ".join(page.text)
    results = {r.Name: r.Value for r in open_run(list_runs(str(tmp_path / "rundb"))[0]).info.Results}
    assert results["trim-src-num-args-2: exact match for concrete calls avg"] == 1.0


def test_curated_examples_are_asked_again(model: LoadedModel, resources: ToyResources, tmp_path: Path) -> None:
    providers = providers_of(model.completer, resources)
    source = ROOT / "config/fastnode/curated-examples/attr.json"
    rebuilt = rebuild(source, tmp_path / "out" / "attr.json", providers)
    assert (len(rebuilt.examples), rebuilt.problems) == (25, [])
    assert read_collection(tmp_path / "out" / "attr.json")[0] == rebuilt.examples
    assert rebuilt.correct["pop"] >= 1  # os.path.exists
    assert rebuilt.failures["ggnn-line-attr: base is unsupported"] == 1  # json.load
    load = next(one for one in rebuilt.examples if one.Symbol == "json")
    assert load.Provided is not None and set(load.Provided) == {"pop", "alpha"}
    known = {one.Symbol: one for one in rebuilt.examples if one.rank("pop") not in (None, -1)}
    # popularity knows every symbol of the standard library, and finds what was written among its members
    assert known.keys() >= {one.Symbol for one in rebuilt.examples} - {"requests", "numpy", "matplotlib.pyplot"}


def test_rebuilding_into_a_folder_and_of_a_collection_with_bad_examples(
    model: LoadedModel, resources: ToyResources, tmp_path: Path
) -> None:
    examples, _ = read_collection(ROOT / "config/fastnode/curated-examples/attr.json")
    (tmp_path / "source").mkdir()
    write_example_file(tmp_path / "source" / "a.json", examples[:2])
    (tmp_path / "source" / "b.json").write_text("[]")
    rebuilt = rebuild(tmp_path / "source", tmp_path / "folder", providers_of(model.completer, resources))
    assert len(rebuilt.problems) == 1
    assert len(list((tmp_path / "folder").iterdir())) == 2
