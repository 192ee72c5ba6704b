"""What is repeated of a run, what is told beforehand, and what counts as the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops_common.artifacts import sha256_file, write_json, write_manifest
from ops_common.comparing_runs import DIFFERENT, SAME, SAME_BUT_TIMES, compare_runs
from ops_common.config import load_config
from ops_common.errors import ArtifactError, ConfigError, DataError
from ops_common.repeating import CONFIG_NAME, changes_since, check_data, plan_repeat
from ops_common.run_record import describe, read_record


def task(command: str, status: str = "done", **arguments: Any) -> dict[str, Any]:
    library = "fastnode_ops" if "work_dir" in arguments else "gematria_ops"
    return {"library": library, "command": command, "arguments": arguments, "status": status, "working_dir": "/w"}


def made_run(folder: Path, *tasks: dict[str, Any], seed: int = 3) -> Path:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "blocks").write_bytes(b"blocks")
    write_manifest(data, ["blocks"])
    run = folder / "run"
    describe(run, "gematria_ops", config={"num_steps": 5, "batch": {"max": 2}}, seeds={"s": seed}, data_dir=data)
    write_json(run / "record.json", {**read_record(run), "tasks": {t["command"]: t for t in tasks}, "artifacts": {}})
    return run


ROOT = Path(__file__).parents[2]
TRAIN = task("train_model", run_dir="/old", dataset_dir="/d", config_file="c.toml", overrides=["a.b=1"])


def test_commands_are_those_of_the_run_with_the_settings_of_the_record(tmp_path: Path) -> None:
    upload = task("upload_model", run_dir="/old", destination="s3://x")
    evaluate = task("evaluate_model", run_dir="/old", dataset_dir="/d", split="test")
    repeat = plan_repeat(made_run(tmp_path, evaluate, upload, TRAIN), tmp_path / "new")
    assert [command[2:] for command in repeat.commands] == [
        [
            "gematria_ops",
            "train-model",
            f"--run-dir={tmp_path / 'new'}",
            "--dataset-dir=/d",
            f"--config-file={tmp_path / 'new' / CONFIG_NAME}",
        ],
        ["gematria_ops", "evaluate-model", f"--run-dir={tmp_path / 'new'}", "--dataset-dir=/d", "--split=test"],
    ]
    written = (tmp_path / "new" / CONFIG_NAME).read_text()
    assert written == "num_steps = 5\n\n[batch]\nmax = 2\n"
    assert repeat.source == tmp_path / "run" or repeat.source == Path("/w") / tmp_path / "run"


def test_samples_that_others_made_are_drawn_again(tmp_path: Path) -> None:
    given = {"work_dir": ".", "server": "http://h:1", "data_dir": "d", "syncer": "http://h:2", "steps": 9}
    repeat = plan_repeat(made_run(tmp_path, task("train_model", data_steps=9, **given)), tmp_path / "new")
    assert {"--server=", "--data-dir=", "--data-steps=0", "--syncer="} <= set(repeat.commands[0])
    assert repeat.source == Path("/w")
    with pytest.raises(ConfigError, match="read its samples again after 4 of 9 steps"):
        plan_repeat(made_run(tmp_path / "b", task("train_model", data_steps=4, **given)), tmp_path / "other")


def test_a_continuation_begins_with_the_training_that_it_continues(tmp_path: Path) -> None:
    base = made_run(
        tmp_path / "base", task("train_model", work_dir="/x", steps=5), task("compress_model", work_dir="/x")
    )
    run = made_run(tmp_path, task("continue_training", work_dir=str(base), steps=2))
    commands = plan_repeat(run, tmp_path / "new").commands
    assert [command[3] for command in commands] == ["train-model", "continue-training"]


def test_what_cannot_be_repeated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        plan_repeat(tmp_path, tmp_path / "new")
    with pytest.raises(ConfigError, match="has trained nothing"):
        plan_repeat(made_run(tmp_path, task("train_model", status="failed", run_dir="/o")), tmp_path / "new")
    run = made_run(tmp_path, TRAIN)
    with pytest.raises(ConfigError, match="already exists"):
        plan_repeat(run, tmp_path / "data")


def test_other_data_is_refused_by_name(tmp_path: Path) -> None:
    repeat = plan_repeat(made_run(tmp_path, TRAIN), tmp_path / "new")
    check_data(repeat)
    (tmp_path / "data/blocks").write_bytes(b"others")
    with pytest.raises(DataError, match=r"(?s)data/blocks has changed: SHA-256 was .*FORCE=1"):
        check_data(repeat)
    (tmp_path / "data/blocks").unlink()
    with pytest.raises(DataError, match=r"data/blocks, which is not there"):
        check_data(repeat)


def test_what_is_not_as_it_was_is_told(tmp_path: Path) -> None:
    run = made_run(tmp_path, TRAIN)
    assert changes_since(plan_repeat(run, tmp_path / "same")) == []
    record = read_record(run)
    record["code"]["tree_sha256"] = "0" * 64
    record["versions"]["numpy"] = "1.0"
    record["machine"] |= {"host": "elsewhere", "num_cpus": 99}
    record["seeds"] = {"random_seed": -1}
    write_json(run / "record.json", record)
    told = changes_since(plan_repeat(run, tmp_path / "other"))
    assert [line.partition(":")[0] for line in told] == ["code", "versions", "machine", "seed"]
    assert "numpy was '1.0', now" in told[1] and "num_cpus was 99, now" in told[2]


def compared(tmp_path: Path, name: str, before: bytes, now: bytes) -> tuple[str, str]:
    digests = []
    for place, content in (("one", before), ("two", now)):
        path = tmp_path / place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digests.append({name: sha256_file(path)})
    (entry,) = compare_runs(digests[0], tmp_path / "one", digests[1], tmp_path / "two")
    return entry.outcome, entry.difference


def test_times_and_places_are_no_difference_figures_are(tmp_path: Path) -> None:
    def report(place: str, seconds: float, error: float) -> bytes:
        figures = {"mape": [1.0, error], "wall_seconds": seconds, "steps_per_second": 1 / seconds}
        return json.dumps({"file": str(tmp_path / place / "x"), "figures": figures, "finished_at": seconds}).encode()

    assert compared(tmp_path, "a.json", report("one", 1, 2), report("one", 1, 2)) == (SAME, "")
    assert compared(tmp_path, "a.json", report("one", 1, 2), report("two", 3, 2)) == (SAME_BUT_TIMES, "")
    assert compared(tmp_path, "a.json", report("one", 1, 2), report("two", 3, 2.5)) == (
        DIFFERENT,
        "figures.mape[1] was 2, now 2.5",
    )


def test_a_folder_whose_name_begins_like_the_other_is_a_place_too(tmp_path: Path) -> None:
    digests = []
    for place in ("run", "run-2"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "config.toml").write_text(f'directory = "{tmp_path / place}/checkpoints"\n')
        digests.append({"config.toml": sha256_file(tmp_path / place / "config.toml")})
    (entry,) = compare_runs(digests[0], tmp_path / "run", digests[1], tmp_path / "run-2")
    assert entry.outcome == SAME_BUT_TIMES


def test_curves_are_compared_line_by_line_and_weights_byte_by_byte(tmp_path: Path) -> None:
    lines = [
        b'{"step": 1, "loss": 0.5, "samples_per_second": 3}\n',
        b'{"step": 1, "loss": 0.5, "samples_per_second": 4}\n',
    ]
    assert compared(tmp_path, "metrics.jsonl", lines[0], lines[1])[0] == SAME_BUT_TIMES
    outcome, difference = compared(tmp_path, "metrics.jsonl", lines[0], lines[0] + lines[1])
    assert (outcome, difference) == (DIFFERENT, "top had 1 entries, now 2")
    assert compared(tmp_path, "w.pb", b"abcdef", b"abcxef") == (DIFFERENT, "from byte 3 on (6 and 6 bytes)")
    assert compared(tmp_path, "w.pb", b"abc", b"abcd") == (DIFFERENT, "from byte 3 on (3 and 4 bytes)")


def test_what_is_missing_or_was_overwritten_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (missing,) = compare_runs({"a": sha256_file(tmp_path / "a")}, tmp_path, {}, tmp_path / "new")
    assert (missing.outcome, missing.difference) == (DIFFERENT, "the repetition has not made it")
    (old,) = compare_runs({"a": "0" * 64}, tmp_path, {"a": "1" * 64}, tmp_path)
    assert "has changed since" in old.difference
    assert compare_runs({"a.html": "0" * 64, "reports/a.md": "0" * 64}, tmp_path, {}, tmp_path) == []


def test_the_settings_of_a_record_are_read_back_equal(tmp_path: Path) -> None:
    from fastnode_ops.config import ExpressionConfig
    from gematria_ops.config import RunnerConfig
    from ops_common.config import fingerprint, plain_values, toml_text

    for config in (ExpressionConfig(), RunnerConfig.from_toml(ROOT / "config/gematria/granite_small.toml")):
        path = tmp_path / "settings.toml"
        path.write_text(toml_text(json.loads(json.dumps(plain_values(config)))))
        read = RunnerConfig.from_toml(path) if isinstance(config, RunnerConfig) else load_config(ExpressionConfig, path)
        assert read == config
        assert fingerprint(read) == fingerprint(config)  # also where a default is 15 and the file says 15.0
