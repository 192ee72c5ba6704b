"""Predictions of every kind of input: what the predictor says, in the order of the input; and what is refused."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.formats.block_encoding import BlockEncoder, encode_block_with_throughputs
from gematria_ops.formats.protos.throughput_pb2 import BasicBlockWithThroughputProto
from gematria_ops.inference import prediction_output
from gematria_ops.inference.predicting_inputs import PredictionInput, PredictionReport, predict_inputs
from gematria_ops.inference.predictor import Predictor
from gematria_ops.models.bundle import save_bundle
from gematria_ops.prediction_tasks import predict_blocks
from ops_common.errors import ArtifactError, ConfigError, DataError, OpsError
from ops_common.tfrecord import read_records, write_records
from tests.gematria.exported_models import KINDS, make_bundle, real_blocks, vocabulary_of, write_blocks

pytestmark = [pytest.mark.tf, pytest.mark.slow]

ELF = Path(__file__).parents[2] / "data" / "elf"
BLOCKS = real_blocks(30)
CODES = ("4829d38b44246c", "9090", "4801c3")
KINDS_HERE = {"sequence": "sequence, two tasks, both ways", "graph": "graph, two tasks, sent edges"}
TASKS = ("hsw", "skl")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bundles")
    for name, kind in KINDS_HERE.items():
        save_bundle(root / name, make_bundle(KINDS[kind], vocabulary_of(BLOCKS)))
    return {name: root / name for name in KINDS_HERE}


@pytest.fixture(params=KINDS_HERE)
def bundle(bundles: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return bundles[request.param]


@pytest.fixture
def sequence(bundles: dict[str, Path]) -> Path:
    return bundles["sequence"]


def told_by_predictor(bundle: Path, codes: list[str]) -> np.ndarray:
    messages = []
    for code in codes:
        encoded = BlockEncoder().encode_block(decode_block(bytes.fromhex(code)))
        messages.append(BasicBlockWithThroughputProto.FromString(encode_block_with_throughputs(encoded, [])))
    predicted = Predictor.from_bundle(bundle).predict_protos(messages)
    return np.array(
        [[entry.inverse_throughput_cycles[0] for entry in proto.inverse_throughputs] for proto in predicted]
    )


def predict(bundle: Path, output: Path, **wanted: object) -> tuple[PredictionReport, list[list[str]]]:
    report = predict_inputs(bundle, PredictionInput(num_workers=1, **wanted), output)  # type: ignore[arg-type]
    with output.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["machine_code", *TASKS, "not_predicted_because"]
    return report, rows


def values(rows: list[list[str]]) -> np.ndarray:
    return np.array([[float(cell) for cell in row[1:3]] for row in rows])


def test_hex_is_predicted_as_the_predictor_does(bundle: Path, tmp_path: Path) -> None:
    typed = ["48 29 D3 8b44246c", "9090", "4801c3"]
    report, rows = predict(bundle, tmp_path / "out.csv", hex_blocks=typed)
    assert [row[0] for row in rows] == list(CODES)
    np.testing.assert_allclose(values(rows), told_by_predictor(bundle, list(CODES)), rtol=1e-4)
    assert (report.num_blocks, report.num_predicted, report.mape_percent()) == (3, 3, {})


def test_a_csv_file_keeps_order_and_duplicates_and_counts_by_reason(sequence: Path, tmp_path: Path) -> None:
    lines = [f"{CODES[0]},300", CODES[1], "zz,1", f"{CODES[0]},150", "0f,100", f"{CODES[2]},nan", "", CODES[2]]
    path = tmp_path / "in.csv.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    report, rows = predict(sequence, tmp_path / "out.csv", csv_file=path)
    assert [(row[0], row[3]) for row in rows] == [
        (CODES[0], ""),
        (CODES[1], ""),
        ("zz,1", "not_hex"),
        (CODES[0], ""),
        ("0f", "truncated_instruction"),
        (f"{CODES[2]},nan", "nan"),
        ("", "blank_line"),
        (CODES[2], ""),
    ]
    assert rows[2][1:3] == ["", ""]
    assert (report.num_blocks, report.num_predicted) == (8, 4)
    assert dict(report.num_unpredicted) == {"not_hex": 1, "truncated_instruction": 1, "nan": 1, "blank_line": 1}
    # By hand: labels 300 and 150 for 100 iterations are 3 and 1.5 cycles; every task is compared with them.
    cycles = told_by_predictor(sequence, [CODES[0]])[0]
    expected = [100 * (abs(value - 3) / 3 + abs(value - 1.5) / 1.5) / 2 for value in cycles]
    assert report.num_compared() == {"hsw": 2, "skl": 2}
    np.testing.assert_allclose(list(report.mape_percent().values()), expected, rtol=1e-5)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_more_blocks_than_a_batch_stay_in_order(sequence: Path, tmp_path: Path, num_workers: int) -> None:
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    codes = [CODES[index % 3] if index % 7 else "zz" for index in range(2500)]
    path.write_text("\n".join(codes))
    report = predict_inputs(sequence, PredictionInput(csv_file=path, num_workers=num_workers), output)
    with output.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[0] for row in rows] == codes
    expected = dict(zip(CODES, told_by_predictor(sequence, list(CODES)).tolist(), strict=True))
    known = [row for row in rows if row[0] != "zz"]
    np.testing.assert_allclose(values(known), [expected[row[0]] for row in known], rtol=1e-4)
    assert dict(report.num_unpredicted) == {"not_hex": 358}


def test_records_are_compared_with_the_source_that_their_task_learns(bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.tfrecord"
    messages = [
        BasicBlockWithThroughputProto.FromString(record)
        for record in read_records(write_blocks(tmp_path / "plain.tfrecord", BLOCKS[:5]))
    ]
    messages[0].inverse_throughputs.add(source="hsw", inverse_throughput_cycles=[2.0, 4.0])
    messages[0].inverse_throughputs.add(source="hsw", inverse_throughput_cycles=[9.0])
    messages[1].inverse_throughputs.add(source="other", inverse_throughput_cycles=[9.0])
    write_records(source, (message.SerializeToString() for message in messages))
    output = tmp_path / "out.tfrecord"
    report = predict_inputs(bundle, PredictionInput(tfrecord_file=source), output)

    predictor = Predictor.from_bundle(bundle)
    expected = [proto.SerializeToString() for proto in predictor.predict_protos(messages)]
    written = list(read_records(output))
    assert len(written) == 5
    for ours, theirs in zip(map(BasicBlockWithThroughputProto.FromString, written), expected, strict=True):
        wanted = BasicBlockWithThroughputProto.FromString(theirs)
        assert ours.basic_block == wanted.basic_block
        assert [e.source for e in ours.inverse_throughputs] == [e.source for e in wanted.inverse_throughputs]
        np.testing.assert_allclose(
            [e.inverse_throughput_cycles[0] for e in ours.inverse_throughputs],
            [e.inverse_throughput_cycles[0] for e in wanted.inverse_throughputs],
            rtol=1e-5,
        )
    cycles = messages[0].inverse_throughputs[2].inverse_throughput_cycles[0]  # the prediction, behind the two labels
    assert report.num_compared() == {"hsw": 1}
    assert report.mape_percent()["hsw"] == pytest.approx(100 * abs(cycles - 3) / 3, rel=1e-4)


def test_blocks_of_an_object_file(sequence: Path, tmp_path: Path) -> None:
    report, rows = predict(sequence, tmp_path / "out.csv", elf_file=ELF / "clang19")
    assert [row[0] for row in rows][:3] == [
        "85ff0f8419000000e900000000",
        "83ff010f8511000000e900000000",
        "b80b000000c3",
    ]
    np.testing.assert_allclose(values(rows), told_by_predictor(sequence, [row[0] for row in rows]), rtol=1e-4)
    assert report.num_predicted == len(rows) == 9


def test_assembly_files_are_blocks(sequence: Path, tmp_path: Path) -> None:
    att, intel = tmp_path / "att.s", tmp_path / "intel.s"
    att.write_text("subq %rdx, %rbx\nmovl 0x6c(%rsp), %eax\n")
    intel.write_text("nop\nnop\n")
    report, rows = predict(sequence, tmp_path / "out.csv", asm_files=[att, intel])
    assert [row[0] for row in rows] == list(CODES[:2])
    np.testing.assert_allclose(values(rows), told_by_predictor(sequence, list(CODES[:2])), rtol=1e-4)
    assert report.num_predicted == 2


def test_the_table_shows_the_first_blocks_and_says_how_many_there_are(
    sequence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_output, "MAX_TABLE_ROWS", 2)
    stream = io.StringIO()
    wanted = PredictionInput(hex_blocks=[CODES[0], "[red]", CODES[1], CODES[2]], num_workers=1)
    predict_inputs(sequence, wanted, table_stream=stream)
    shown = stream.getvalue()
    first = told_by_predictor(sequence, [CODES[0]])[0]
    cells = [cell.strip() for cell in next(line for line in shown.splitlines() if CODES[0] in line).split("│")[1:-1]]
    assert cells == [CODES[0], "2", f"{first[0]:.2f}", f"{first[1]:.2f}", ""]
    assert "[red]" in shown
    assert "not_hex" in shown
    assert "and 2 more; --output-file takes them all" in shown
    assert CODES[2] not in shown


def test_the_command_tells_counts_and_errors(sequence: Path, tmp_path: Path) -> None:
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text(f"{CODES[0]},100\nzz,1\n")
    result = predict_blocks(bundle_dir=str(sequence), csv_file=str(path), output_file=str(output), num_workers=1)
    cycles = told_by_predictor(sequence, [CODES[0]])[0]
    errors = {f"mape_percent_{task}": round(100 * abs(value - 1), 3) for task, value in zip(TASKS, cycles, strict=True)}
    assert {name: result.pop(name) for name in errors} == pytest.approx(errors, abs=2e-3)
    assert result == {
        "output_file": str(output),
        "model": str(sequence),
        "num_blocks": 2,
        "num_predicted": 1,
        "num_not_hex": 1,
        "num_compared_hsw": 1,
        "num_compared_skl": 1,
    }


KINDS_OF_INPUT = "exactly one of --hex, --csv-file, --tfrecord-file, --elf-file, --asm-file"


@pytest.mark.parametrize(
    ("wanted", "output", "error", "message"),
    [
        ({}, "out.csv", ConfigError, f"there is nothing to predict\n  hint: give {KINDS_OF_INPUT}"),
        (
            {"hex": ["90"], "csv_file": "x.csv"},
            "out.csv",
            ConfigError,
            f"--hex and --csv-file are given together\n  hint: give {KINDS_OF_INPUT}",
        ),
        (
            {"hex": ["90"]},
            "out.json",
            ConfigError,
            "output file {folder}/out.json has the ending '.json'\n"
            "  hint: its ending chooses the format: .csv, .tfrecord, .tfrecords",
        ),
        ({"csv_file": "{folder}/no.csv"}, "out.csv", DataError, "{folder}/no.csv does not exist"),
        ({"csv_file": "{folder}/empty"}, "out.csv", DataError, "the input holds no block\n  hint: give blocks"),
        ({"tfrecord_file": "{folder}/text"}, "out.csv", DataError, "{folder}/text: record 0"),
        ({"elf_file": "{folder}/text"}, "out.csv", DataError, "{folder}/text: this is not an ELF file"),
        (
            {"elf_file": str(ELF / "loop_one_segment")},
            "out.csv",
            DataError,
            f"{ELF}/loop_one_segment has no basic block address map, so it does not say where its blocks are\n"
            "  hint: compile it with clang and -fbasic-block-address-map",
        ),
        (
            {"hex": ["zz", "0f", "zz"]},
            "out.csv",
            DataError,
            "none of the 3 blocks could be predicted: 2 not_hex, 1 truncated_instruction",
        ),
        ({"hex": ["90"]}, "folder.csv", ArtifactError, "{folder}/folder.csv is a folder"),
    ],
)
def test_refused(
    sequence: Path, tmp_path: Path, wanted: dict[str, object], output: str, error: type[OpsError], message: str
) -> None:
    (tmp_path / "text").write_text("no such format")
    (tmp_path / "empty").write_text("")
    (tmp_path / "folder.csv").mkdir()
    named = {key: value.format(folder=tmp_path) if isinstance(value, str) else value for key, value in wanted.items()}
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error) as raised:
        predict_blocks(bundle_dir=str(sequence), output_file=str(tmp_path / output), num_workers=1, **named)  # type: ignore[arg-type]
    assert str(raised.value).startswith(message.format(folder=tmp_path))
    assert sorted(tmp_path.iterdir()) == before  # no half of an output


def test_a_damaged_bundle_is_refused(sequence: Path, tmp_path: Path) -> None:
    for path in sequence.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokens.txt").write_text("ADD\n")
    with pytest.raises(ArtifactError, match=r"tokens\.txt"):
        predict_blocks(bundle_dir=str(tmp_path), hex=["90"], output_file=str(tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()
