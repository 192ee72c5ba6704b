"""The Python API: what it says is what the predictor says; its document's examples run."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.api import Prediction, block_from_hex, load_model
from gematria_ops.blocks.basic_block import BasicBlock
from gematria_ops.inference.predictor import Predictor
from gematria_ops.models.bundle import save_bundle
from gematria_ops.prediction_tasks import predict_blocks, upload_predictions
from gematria_ops.publish import upload_bundle
from ops_common.artifacts import sha256_file
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.object_store import ObjectStore
from tests.gematria.exported_models import KINDS, make_bundle, real_blocks, vocabulary_of
from tests.local_s3 import IMPATIENT, destination, shared_s3  # noqa: F401 - fixtures

# ruff: noqa: F811 - a fixture's name is an argument's name

pytestmark = [pytest.mark.tf, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BLOCKS = real_blocks(30)
CODES = [line.partition(",")[0] for line in (ROOT / "tests/data/bhive/sample_hsw.csv").read_text().splitlines()[:30]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bundles")
    kinds = {"sequence": "sequence, seq2seq", "graph": "graph, two tasks, sent edges"}
    for name, kind in kinds.items():
        save_bundle(root / name, make_bundle(KINDS[kind], vocabulary_of(BLOCKS)))
    return {name: root / name for name in kinds}


@pytest.mark.parametrize("kind", ["sequence", "graph"])
def test_every_way_to_ask_gives_the_predictors_answers(folders: dict[str, Path], kind: str) -> None:
    model = load_model(folders[kind])
    blocks = [block_from_hex(code) for code in CODES]
    found = list(Predictor.from_bundle(folders[kind]).predict_blocks(blocks))
    expected = [[throughput.inverse_throughput_cycles[0] for throughput in item.throughputs] for item in found]

    answered = model.predict(CODES, max_blocks_in_batch=7)
    assert (answered.dtype, answered.shape) == (np.float32, (30, len(model.task_names)))
    np.testing.assert_allclose(answered, expected, rtol=1e-4)
    np.testing.assert_allclose(model.predict(blocks), expected, rtol=1e-4)
    np.testing.assert_allclose(model.predict([bytes.fromhex(code) for code in CODES]), expected, rtol=1e-4)
    one = model.predict_one(CODES[3])
    assert tuple(one) == model.task_names
    np.testing.assert_allclose(list(one.values()), expected[3], rtol=1e-4)


def test_a_seq2seq_model_tells_the_cycles_up_to_each_instruction(folders: dict[str, Path]) -> None:
    model = load_model(folders["sequence"])
    (prediction,) = model.predict_stream(["4829d38b44246c"])
    assert model.task_names == tuple(prediction.prefix_cycles) == ("hsw", "skl")
    for task, prefixes in prediction.prefix_cycles.items():
        assert len(prefixes) == 2
        assert prefixes[-1] == pytest.approx(prediction.cycles_per_iteration[task], rel=1e-4)


def test_what_cannot_be_predicted(folders: dict[str, Path]) -> None:
    model = load_model(folders["graph"])
    empty = BasicBlock(())
    assert list(model.predict_stream([empty])) == [Prediction({}, {}, "empty block")]
    answered = model.predict(["90", empty, "90"])
    assert np.isnan(answered).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert model.predict([]).shape == (0, 2)
    with pytest.raises(DataError, match="the model cannot predict this block: empty block"):
        model.predict_one(empty)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("xyz", "'xyz' is not machine code in hex\n  hint: give two hex digits for each byte"),
        ("909", "'909' is not machine code in hex"),
        ("900f", "byte 1"),
    ],
)
def test_a_wrong_block_is_refused(folders: dict[str, Path], code: str, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        load_model(folders["graph"]).predict_one(code)


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=re.escape(str(tmp_path))):
        load_model(tmp_path)


def upload(folder: Path, destination: str) -> str:
    return upload_bundle(folder, folder / "none", destination, "m1", {}, policy=IMPATIENT).bundle_uri


def test_a_model_in_s3_answers_as_the_local_one(folders: dict[str, Path], destination: str, tmp_path: Path) -> None:
    uri = upload(folders["graph"], destination)
    local = load_model(folders["graph"])
    for place in (uri, f"{destination}/m1/manifest.json", f"{destination}/m1"):
        assert load_model(place).predict_one(CODES[0]) == local.predict_one(CODES[0])
    store = ObjectStore.from_uri(destination, policy=IMPATIENT)
    (tmp_path / "in.csv").write_text(f"{CODES[0]},100\n{CODES[1]}\n")
    store.put_file(tmp_path / "in.csv", "in.csv")
    outputs = [tmp_path / "remote.csv", tmp_path / "local.csv"]
    predict_blocks(bundle_dir=uri, csv_file=f"{destination}/in.csv", output_file=str(outputs[0]))
    predict_blocks(bundle_dir=str(folders["graph"]), csv_file=str(tmp_path / "in.csv"), output_file=str(outputs[1]))
    assert outputs[0].read_text() == outputs[1].read_text()
    assert outputs[0].read_text().count("\n") == 3


def test_a_changed_model_in_s3_is_refused(folders: dict[str, Path], destination: str, tmp_path: Path) -> None:
    uri = upload(folders["graph"], destination)
    (tmp_path / "tokens.txt").write_text("ADD\n")
    ObjectStore.from_uri(destination, policy=IMPATIENT).put_file(tmp_path / "tokens.txt", "m1/bundle/tokens.txt")
    with pytest.raises(ArtifactError, match=r"bundle/tokens\.txt"):
        load_model(uri)


def test_places_in_s3_without_anything(destination: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(f"{destination}/m2")):
        load_model(f"{destination}/m2/bundle")
    with pytest.raises(ConfigError, match="s3://tests names a bucket, not a file"):
        predict_blocks(bundle_dir="x", csv_file="s3://tests")
    with pytest.raises(ArtifactError, match=r"no\.csv"):
        predict_blocks(bundle_dir="x", csv_file=f"{destination}/no.csv")


def test_predictions_are_uploaded_with_a_manifest(destination: str, tmp_path: Path) -> None:
    run_dir, output = tmp_path / "run-1", tmp_path / "run-1" / "predictions.csv"
    run_dir.mkdir()
    output.write_text("machine_code,hsw\n90,1\n")
    asked = {"run_dir": str(run_dir), "predictions": str(output), "model": "s3://models/m1/bundle"}
    result = upload_predictions(**asked, destination=destination)
    assert result == {
        "predictions_uri": f"{destination}/run-1/predictions/predictions.csv",
        "manifest_uri": f"{destination}/run-1/manifest.json",
        "size_bytes": output.stat().st_size,
    }
    manifest = ObjectStore.from_uri(f"{destination}/run-1", policy=IMPATIENT).get_bytes("manifest.json")
    assert sha256_file(output).encode() in manifest
    assert b"s3://models/m1/bundle" in manifest
    assert upload_predictions(**asked, destination=destination) == result  # again: what is there is found
    output.write_text("something else\n")
    with pytest.raises(ArtifactError, match="run-1"):
        upload_predictions(**asked, destination=destination)
    with pytest.raises(ArtifactError, match=r"no\.csv does not exist\n  hint: run predict-blocks first"):
        upload_predictions(**{**asked, "predictions": str(tmp_path / "no.csv")}, destination=destination)


def test_every_example_of_the_document_runs(folders: dict[str, Path], tmp_path: Path) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    text = text.replace(".ops/demo/run/bundle", str(folders["graph"])).replace(".ops/demo", str(tmp_path))
    text = text.replace(".venv/bin/python", shlex.quote(sys.executable))
    shell = "\n".join(re.findall(r"^```shell\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    told = []
    for command in (["bash", "-euo", "pipefail", "-c", shell], [sys.executable, "-c", program]):
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0].count('"num_blocks"') == 3
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 2001
    assert (tmp_path / "predictions.tfrecord").stat().st_size > 0
    names, one, shape, slowest, refusal = told[1].splitlines()[:5]
    assert names == "('hsw', 'skl')"
    assert ast.literal_eval(one) == load_model(folders["graph"]).predict_one("4829d38b44246c")
    assert shape == "(3, 2)"
    assert slowest.startswith("{'hsw': ")
    assert refusal == "truncated machine code at byte 3 of 6: the code ends within the instruction (8b4424)"
