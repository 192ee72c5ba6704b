"""What export-model leaves runs without this package and answers as the model; what is not right is refused."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gematria_ops.encode.flat_feeds import make_feed
from gematria_ops.inference.export_check import FormatCheck, compare, judge
from gematria_ops.inference.exporting import FORMATS, export_bundle
from gematria_ops.inference.predictor import Predictor
from gematria_ops.models.bundle import Bundle, save_bundle
from gematria_ops.models.exported_graph import OUTPUT, OUTPUT_DELTAS
from gematria_ops.models.exported_runs import Answers, load_tflite
from gematria_ops.tasks import export_model
from ops_common.artifacts import read_json, sha256_file, verify_manifest, write_manifest
from ops_common.errors import ArtifactError, ConfigError, DataError, GateError
from tests.gematria.exported_models import KINDS, encode, make_bundle, real_blocks, vocabulary_of, write_blocks

pytestmark = [pytest.mark.tf, pytest.mark.slow]

NAMES = ("sequence, two tasks, both ways", "sequence, seq2seq", "graph, two tasks, sent edges")
ANNOTATED = "graph, seq2seq, annotations"
BLOCKS = real_blocks(20)


@pytest.fixture(scope="module")
def blocks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blocks(tmp_path_factory.mktemp("blocks") / "blocks.tfrecord", BLOCKS)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, blocks_file: Path) -> dict[str, Path]:
    """Export a model of each kind, with what a program of its own then answers for other blocks beside it."""
    root = tmp_path_factory.mktemp("exports")
    folders = {}
    for number, name in enumerate((*NAMES, ANNOTATED, "graph, LSTM")):
        bundle = make_bundle(KINDS[name], vocabulary_of(BLOCKS))
        save_bundle(root / f"bundle{number}", bundle)
        folders[name] = root / f"export{number}"
        export_bundle(root / f"bundle{number}", folders[name], blocks_file, num_blocks=12)
        encoded = encode(bundle.model, bundle.vocabulary, BLOCKS[5:])
        feed = make_feed(encoded, np.arange(15), bundle.model.config, bundle.model.annotation_names)
        np.savez(folders[name] / "feed.npz", **feed)
    # Isolated (-I): neither the working folder nor PYTHONPATH can bring this package in.
    script = Path(__file__).with_name("run_exported.py")
    command = [sys.executable, "-I", str(script), *map(str, folders.values())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folders


@pytest.mark.parametrize("name", [*NAMES, ANNOTATED, "graph, LSTM"])
def test_every_format_answers_as_the_model_in_a_program_of_its_own(name: str, exports: dict[str, Path]) -> None:
    bundle = make_bundle(KINDS[name], vocabulary_of(BLOCKS))
    encoded = encode(bundle.model, bundle.vocabulary, BLOCKS[5:])
    expected = Predictor(bundle.model, bundle.vocabulary).predict_encoded(encoded)
    with np.load(exports[name] / "answers.npz") as answers:
        for file in ("model.pbtxt", "saved_model", "model.tflite"):
            assert_allclose(answers[f"{file} {OUTPUT}"], expected.output, rtol=1e-4, atol=1e-5)
            if expected.deltas is not None:
                assert_allclose(answers[f"{file} {OUTPUT_DELTAS}"], expected.deltas, rtol=1e-4, atol=1e-5)
        assert_allclose(answers[f"model_quantized.tflite {OUTPUT}"], expected.output, rtol=0.1, atol=0.1)
        listed = bytes(answers["model.tflite TokenModel.token_list"]).decode().split("\0")
        assert listed == (exports[name] / "tokens.txt").read_text(encoding="utf-8").split()
        if name == ANNOTATED:
            assert bytes(answers["model.tflite GraphBuilderModelBase.annotation_names"]) == b"cache_miss_freq"


def test_the_manifest_says_what_a_user_needs(exports: dict[str, Path]) -> None:
    folder = exports[ANNOTATED]
    manifest = verify_manifest(folder)
    assert manifest["kind"] == "gematria export"
    assert (manifest["model_kind"], manifest["global_step"], manifest["task_names"]) == ("graph", 400, ["default"])
    assert manifest["annotation_names"] == ["cache_miss_freq"]
    assert manifest["canonical_form"].startswith("LLVM 19.1.7")
    assert manifest["bundle_manifest_sha256"] == sha256_file(folder.parent / "bundle3" / "manifest.json")
    assert manifest["inputs"][2] == {
        "name": "GnnModelBase.global_features",
        "dtype": "int32",
        "shape": [None, len(vocabulary_of(BLOCKS))],
    }
    assert set(manifest["checks"]) == set(FORMATS)
    for name, check in manifest["checks"].items():
        assert check["num_blocks"] == 12
        assert 0 <= check["mean_relative_difference"] <= check["max_relative_difference"]
        assert name == "tflite_quantized" or check["max_relative_difference"] < 1e-4
    assert "saved_model/saved_model.pb" in manifest["files"]
    assert "`GraphBuilderModelBase.instruction_annotations` | float32" in (folder / "README.md").read_text()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    bundle = make_bundle(KINDS["graph, seq2seq"], vocabulary_of(BLOCKS))
    save_bundle(tmp_path / "bundle", bundle)
    return bundle


def test_the_command_reports_differences_and_sizes(bundle: Bundle, tmp_path: Path, blocks_file: Path) -> None:
    arguments = {"bundle_dir": str(tmp_path / "bundle"), "output_dir": str(tmp_path / "out")}
    result = export_model(**arguments, check_file=str(blocks_file), check_blocks=3, formats=["tflite"])
    assert result["num_compared_blocks"] == 3
    assert float(result["max_relative_difference_tflite"]) < 1e-4
    assert result["size_bytes_tflite"] == (tmp_path / "out" / "model.tflite").stat().st_size
    assert "size_bytes_graph_def" not in result
    assert not (tmp_path / "out" / "saved_model").exists()
    # An earlier export is replaced, also by other formats.
    export_model(**arguments, check_file=str(blocks_file), formats=["graph_def"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.pbtxt",
        "tokens.txt",
        "README.md",
        "manifest.json",
    }


def test_another_folder_is_never_replaced(bundle: Bundle, tmp_path: Path, blocks_file: Path) -> None:
    with pytest.raises(ArtifactError, match="bundle holds something else than an export"):
        export_bundle(tmp_path / "bundle", tmp_path / "bundle", blocks_file)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError, match="file holds something else than an export"):
        export_bundle(tmp_path / "bundle", tmp_path / "file", blocks_file)


def test_what_cannot_be_exported_is_refused(bundle: Bundle, tmp_path: Path, blocks_file: Path) -> None:
    folder, out = tmp_path / "bundle", tmp_path / "out"
    with pytest.raises(ConfigError, match="there is no export format 'onnx'"):
        export_bundle(folder, out, blocks_file, formats=["tflite", "onnx"])
    with pytest.raises(ConfigError, match="0 blocks cannot be compared"):
        export_bundle(folder, out, blocks_file, num_blocks=0)
    with pytest.raises(DataError, match=r"none\.tfrecord does not exist"):
        export_bundle(folder, out, tmp_path / "none.tfrecord")
    assert not out.exists()


def test_blocks_that_the_model_cannot_predict_are_counted(tmp_path: Path, blocks_file: Path) -> None:
    # Without a replacement token; the vocabulary is that of the first three blocks.
    words = vocabulary_of(BLOCKS[:3])
    bundle = make_bundle(KINDS["sequence"], type(words)(words.tokens))
    save_bundle(tmp_path / "bundle", bundle)
    done = export_bundle(tmp_path / "bundle", tmp_path / "out", blocks_file, formats=["tflite"], num_blocks=10)
    assert done.checks["tflite"].num_blocks + done.num_skipped["unknown token"] == 10
    assert done.checks["tflite"].num_blocks >= 3
    last = write_blocks(tmp_path / "last.tfrecord", [block for block in BLOCKS[10:] if len(block.instructions) > 6])
    with pytest.raises(DataError, match=r"last.tfrecord holds no block, among the first 100, that the model can pred"):
        export_bundle(tmp_path / "bundle", tmp_path / "out2", last)
    assert not (tmp_path / "out2").exists()


def test_a_damaged_bundle_is_refused(bundle: Bundle, tmp_path: Path, blocks_file: Path) -> None:
    tokens = tmp_path / "bundle" / "tokens.txt"
    tokens.write_text(tokens.read_text(encoding="utf-8") + "ZMM31\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"tokens.txt has \d+ bytes"):
        export_bundle(tmp_path / "bundle", tmp_path / "out", blocks_file)


def test_the_comparison_sees_a_wrong_answer(bundle: Bundle, tmp_path: Path, blocks_file: Path) -> None:
    """The answers of one exported model, compared with those of another: it has to be refused."""
    export_bundle(tmp_path / "bundle", tmp_path / "out", blocks_file, formats=["tflite"])
    run = load_tflite(tmp_path / "out" / "model.tflite")
    encoded = encode(bundle.model, bundle.vocabulary, BLOCKS)
    expected = Predictor(bundle.model, bundle.vocabulary).predict_encoded(encoded)
    judge("tflite", compare(run, encoded, expected, bundle.model), has_limit=True)

    wrong = dataclasses.replace(expected, output=expected.output * np.float32(1.001))
    check = compare(run, encoded, wrong, bundle.model)
    assert 0.0009 < check.max_relative_difference < 0.0011
    with pytest.raises(
        GateError, match=r"exported tflite answers otherwise .* on 20 blocks is 0\.001, the limit is 0.0"
    ):
        judge("tflite", check, has_limit=True)
    judge("tflite_quantized", check, has_limit=False)

    assert expected.deltas is not None
    off = expected.deltas.copy()
    off[-1] += 1
    assert compare(run, encoded, dataclasses.replace(expected, deltas=off), bundle.model).max_relative_difference > 0.1


def test_no_number_is_beyond_every_limit(bundle: Bundle) -> None:
    def run(feed: dict[str, np.ndarray]) -> Answers:
        return {OUTPUT: np.full((20, 2), np.nan, np.float32), OUTPUT_DELTAS: np.zeros((num_instructions, 2))}

    encoded = encode(bundle.model, bundle.vocabulary, BLOCKS)
    num_instructions = len(encoded.instruction_ids)
    expected = Predictor(bundle.model, bundle.vocabulary).predict_encoded(encoded)
    check = compare(run, encoded, expected, bundle.model)
    assert check == FormatCheck(20, np.inf, np.inf)
    with pytest.raises(GateError):
        judge("graph_def", check, has_limit=True)


def test_a_bundle_of_a_later_format_is_refused(bundle: Bundle, tmp_path: Path, blocks_file: Path) -> None:
    folder = tmp_path / "bundle"
    manifest = read_json(folder / "manifest.json")
    files, extra = list(manifest.pop("files")), manifest | {"format_version": 2}
    write_manifest(folder, files, **extra)
    with pytest.raises(ArtifactError, match="is a bundle of format 2, this version reads format 1"):
        export_bundle(folder, tmp_path / "out", blocks_file)
