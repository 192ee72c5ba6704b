"""Several CSV files to one data set: one record per block, a source per file, split by hash, made once."""

import json
from pathlib import Path

import pytest

from gematria_ops.data.dataset import read_blocks
from gematria_ops.data.merging import import_and_merge
from gematria_ops.data.splitting import bucket_of, split_of
from ops_common.artifacts import read_json, verify_manifest, write_manifest
from ops_common.errors import ConfigError, DataError

SAMPLES = Path(__file__).parents[2] / "data" / "bhive"
UARCHS = ("ivb", "hsw", "skl")
CSV_FILES = [SAMPLES / f"sample_{uarch}.csv" for uarch in UARCHS]
SOURCES = [f"bhive: {uarch}" for uarch in UARCHS]
FILES = {"train.tfrecord", "validation.tfrecord", "test.tfrecord", "import_report.json", "manifest.json"}


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def machine_code(block):
    return b"".join(instruction.machine_code for instruction in block.basic_block.machine_instructions)


def labels(block):
    return {entry.source: list(entry.inverse_throughput_cycles) for entry in block.inverse_throughputs}


def read_all(folder):
    return {split: list(read_blocks(folder / f"{split}.tfrecord")) for split in ("train", "validation", "test")}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def sample_dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "samples"
    return folder, import_and_merge(CSV_FILES, SOURCES, folder, num_workers=1)


def test_the_samples(sample_dataset):
    folder, report = sample_dataset
    assert {path.name for path in folder.iterdir()} == FILES
    assert (report.num_blocks, report.num_train, report.num_validation, report.num_test) == (2000, 1762, 238, 0)
    assert report.num_rejected == 0
    blocks = read_all(folder)
    assert [len(part) for part in blocks.values()] == [1762, 238, 0]
    for split, part in blocks.items():
        for block in part:
            assert split_of(bucket_of(machine_code(block))) == split
            assert list(labels(block)) == SOURCES


def test_every_label_of_the_samples_arrives(sample_dataset):
    folder, _ = sample_dataset
    by_code = {machine_code(block).hex(): labels(block) for part in read_all(folder).values() for block in part}
    for csv_file, source in zip(CSV_FILES, SOURCES):
        for line in csv_file.read_text().splitlines():
            code, cycles = line.split(",")
            assert by_code[code][source] == [float(cycles) * 0.01]


def test_report_and_manifest(sample_dataset):
    folder, report = sample_dataset
    manifest = verify_manifest(folder)
    assert set(manifest["files"]) == FILES - {"manifest.json"}
    stored = read_json(folder / "import_report.json")
    assert stored["blocks_by_split"] == {"train": 1762, "validation": 238, "test": 0}
    assert [source["file"] for source in stored["sources"]] == [path.name for path in CSV_FILES]
    assert stored["sources"][1]["labels_by_split"] == {"train": 1762, "validation": 238, "test": 0}
    assert stored["throughput_scaling"] == 0.01
    assert stored["canonicalizer_version"] == report.canonicalizer_version
    assert sum(stored["block_lengths"]["num_blocks"].values()) == 2000
    assert report.dataset_dir == str(folder)
    assert len(report.dataset_sha256) == 64


def test_blocks_are_merged_by_machine_code(tmp_path):
    first = write(tmp_path / "a.csv", "90,100", "C3,200", "4801d8,300")
    second = write(tmp_path / "b.csv", "cc,50", "c3,25", "90,75")
    import_and_merge([first, second], ["a", "b"], tmp_path / "out", validation_percent=0, test_percent=0)
    blocks = read_all(tmp_path / "out")["train"]
    assert [(machine_code(block).hex(), labels(block)) for block in blocks] == [
        ("90", {"a": [1.0], "b": [0.75]}),
        ("c3", {"a": [2.0], "b": [0.25]}),
        ("4801d8", {"a": [3.0]}),
        ("cc", {"b": [0.5]}),
    ]


def test_sources_are_in_the_order_given(tmp_path):
    first, second = write(tmp_path / "a.csv", "90,100"), write(tmp_path / "b.csv", "c3,1", "90,200")
    import_and_merge([second, first], ["b", "a"], tmp_path / "out", validation_percent=0, test_percent=0)
    blocks = read_all(tmp_path / "out")["train"]
    assert [labels(block) for block in blocks] == [{"b": [0.01]}, {"b": [2.0], "a": [1.0]}]


def test_rows_are_rejected_per_file(tmp_path):
    first = write(tmp_path / "a.csv", "90,100", "90069090,1", "c3,5", "zz,1", "90,100")
    second = write(tmp_path / "b.csv", "90069090,7", "90,75", "90,76", "b8000000,1")
    report = import_and_merge([first, second], ["a", "b"], tmp_path / "out", max_rejected_share=0.75)
    rejected = [
        {reason: (rows.num_rows, rows.first_line_number) for reason, rows in source.rejected.items()}
        for source in report.sources
    ]
    assert rejected == [
        {"not_hex": (1, 4), "exact_duplicate": (1, 5), "undecodable_instruction": (1, 2)},
        {"conflicting_duplicate": (1, 3), "truncated_instruction": (1, 4), "undecodable_instruction": (1, 1)},
    ]
    counts = [(source.num_rows, source.num_accepted, source.num_rejected) for source in report.sources]
    assert counts == [(5, 2, 2), (4, 1, 3)]
    assert (report.num_blocks, report.num_rejected) == (2, 5)


@pytest.mark.parametrize("bad", ["zz,1", "90069090,1"])
def test_a_file_with_too_many_bad_rows_fails_and_leaves_nothing(tmp_path, bad):
    good, broken = (
        write(tmp_path / "a.csv", *(f"b8{n:08x},1" for n in range(99))),
        write(tmp_path / "b.csv", "90,1", bad),
    )
    with pytest.raises(DataError, match=r"b\.csv: 1 of 2 rows \(50\.00%\) cannot be used"):
        import_and_merge([good, broken], ["a", "b"], tmp_path / "out", max_rejected_share=0.3)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("lines", [[], ["zz,1"], ["90069090,1"], [""]])
def test_a_file_without_usable_rows_fails(tmp_path, lines):
    good, useless = write(tmp_path / "a.csv", "90,1"), write(tmp_path / "b.csv", *lines)
    with pytest.raises(DataError, match=r"b\.csv holds no usable row"):
        import_and_merge([good, useless], ["a", "b"], tmp_path / "out", max_rejected_share=1)


def test_the_bytes_do_not_depend_on_the_workers_or_the_folder(sample_dataset, tmp_path):
    folder, _ = sample_dataset
    import_and_merge(CSV_FILES, SOURCES, tmp_path / "again", num_workers=2)
    assert content(tmp_path / "again") == content(folder)


def test_the_same_again_returns_what_stands_there(sample_dataset):
    folder, report = sample_dataset
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert import_and_merge(CSV_FILES, SOURCES, folder, num_workers=2) == report
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


OTHER = {
    "source name": ({"source_names": ["bhive: ivb", "x", "bhive: skl"]}, r"source_names\[1\] was 'bhive: hsw', now"),
    "source order": ({"csv_files": [CSV_FILES[1], CSV_FILES[0], CSV_FILES[2]]}, r"sha256 of csv_files\[0\] was"),
    "fewer sources": ({"csv_files": CSV_FILES[:2], "source_names": SOURCES[:2]}, "num_sources was 3, now it is 2"),
    "validation": ({"validation_percent": 20}, "validation_percent was 10, now it is 20"),
    "test": ({"test_percent": 0}, "test_percent was 10, now it is 0"),
    "share": ({"max_rejected_share": 0.5}, r"max_rejected_share was 0\.01, now it is 0\.5"),
}


@pytest.mark.parametrize("change, message", OTHER.values(), ids=OTHER.keys())
def test_something_else_into_the_same_folder_is_refused(sample_dataset, change, message):
    folder, _ = sample_dataset
    before = content(folder)
    arguments = {"csv_files": CSV_FILES, "source_names": SOURCES, "output_dir": folder} | change
    with pytest.raises(ConfigError, match=message):
        import_and_merge(**arguments)
    assert content(folder) == before


def test_what_others_add_to_the_data_set_changes_nothing(tmp_path):
    first = write(tmp_path / "a.csv", "90,100", "c3,200")
    report = import_and_merge([first], ["a"], tmp_path / "out")
    (tmp_path / "out" / "tokens.txt").write_text("nop\n")
    manifest = verify_manifest(tmp_path / "out")
    write_manifest(tmp_path / "out", [*manifest["files"], "tokens.txt"], request=manifest["request"])
    before = content(tmp_path / "out")
    assert import_and_merge([first], ["a"], tmp_path / "out") == report
    assert content(tmp_path / "out") == before


def test_the_digest_is_of_the_content(tmp_path):
    digests = []
    for number, lines in enumerate((["90,100"], ["90,100"], ["90,200"])):
        csv_file = write(tmp_path / "a.csv", *lines)
        digests.append(import_and_merge([csv_file], ["a"], tmp_path / str(number)).dataset_sha256)
    assert digests[0] == digests[1] != digests[2]


def test_a_damaged_data_set_is_made_again(tmp_path):
    first = write(tmp_path / "a.csv", "90,100", "c3,200")
    import_and_merge([first], ["a"], tmp_path / "out")
    whole = content(tmp_path / "out")
    (tmp_path / "out" / "train.tfrecord").write_bytes(b"torn")
    import_and_merge([first], ["a"], tmp_path / "out")
    assert content(tmp_path / "out") == whole


def test_what_a_killed_import_left_is_removed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".train.tfrecord.123.0.part").write_bytes(b"half")
    import_and_merge([write(tmp_path / "a.csv", "90,100")], ["a"], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_a_folder_with_another_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {}}))
    with pytest.raises(ConfigError, match="not a data set"):
        import_and_merge([write(tmp_path / "a.csv", "90,100")], ["a"], tmp_path)


BAD_ARGUMENTS = {
    "no file": ({"csv_files": [], "source_names": []}, ConfigError, "no CSV file"),
    "too few names": ({"source_names": SOURCES[:2]}, ConfigError, "3 CSV files, but 2 source names"),
    "name twice": ({"source_names": ["a", "b", "a"]}, ConfigError, "'a' is given twice"),
    "empty name": ({"source_names": ["a", " ", "c"]}, ConfigError, "source name is empty"),
    "missing file": ({"csv_files": [*CSV_FILES[:2], Path("missing.csv")]}, DataError, r"missing\.csv does not exist"),
    "percentages": ({"validation_percent": 60, "test_percent": 40}, ConfigError, "nothing to train on"),
    "share": ({"max_rejected_share": 2.0}, ConfigError, r"max_rejected_share = 2\.0"),
    "workers": ({"num_workers": 0}, ConfigError, "num_workers = 0"),
}


@pytest.mark.parametrize("change, kind, message", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_bad_arguments(tmp_path, change, kind, message):
    arguments = {"csv_files": CSV_FILES, "source_names": SOURCES, "output_dir": tmp_path / "out"} | change
    with pytest.raises(kind, match=message):
        import_and_merge(**arguments)
    assert not (tmp_path / "out" / "manifest.json").exists()
