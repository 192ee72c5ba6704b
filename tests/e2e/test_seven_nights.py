"""Seven nights in a row that nobody looks after: what was released, what was refused, and who was told of what.

The nights are runs with the logical dates of a week. On the way the object store is down for a night, a data set is
bad, a trainer is killed, and one candidate is worse than what is released. At the end there is nothing to clean up by
hand, and the clean-up removes what is old, and no more.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ops_platform.embedded.results import s3_client
from ops_platform.notices import read_notices
from ops_platform.run_folders import run_dir
from rich.console import Console
from rich.table import Table

from ops_common.cleaning.inventory import is_locked
from ops_common.release_record import read_release
from ops_common.rundir import RunDir
from tests.e2e.embedded_platform import Platform, read_json, running_platform, wait_until
from tests.http_sink import Sink, http_sink

pytestmark = [pytest.mark.airflow, pytest.mark.tf, pytest.mark.long, pytest.mark.timeout(3_600)]

IMPORT, TRAIN, STANDALONE, CLEAN_UP = "gematria_import", "gematria_train", "pythonexpr_standalone", "ops_clean_up"
PATIENCE_SECONDS = 900  # of a busy machine
DEADLINE_HOURS = 0.03  # longer than a night takes here
MAX_INCREASE_POINTS = 10.0  # of the error, between two nights: what one step of training misses by far
TOKEN = "nights-t0ken"
COMPLETION = {
    "model_name": "nights",
    "steps": 3,
    "corpus": "tiny-python",
    "sources": ["stdlib"],
    "max_files": 60,
    "config_file": "config/fastnode/smoke.toml",
    "codebook_max_epochs": 2,
    "num_validate_samples": 5,
    "max_recall_drop": 1,
    "min_margin_over_popularity": -1,
    "min_situations": 1,
    "min_answered_share": 0,
    "pin": False,
}


@dataclass
class Week:
    """A platform, who is told by it, and what has happened."""

    platform: Platform
    sink: Sink
    csv_files: list[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    num_told: int = 0

    @property
    def runs_root(self) -> Path:
        return self.platform.layout.config.runs_root

    def folder(self, dag_id: str, run: str) -> Path:
        return run_dir(self.runs_root, dag_id, run)

    def start(self, dag_id: str, night: int, conf: dict[str, Any]) -> str:
        """Start a night's run, as the clock would."""
        date = f"2026-03-0{night}T02:00:00Z"
        return self.platform.api.trigger(dag_id, conf, f"night-{night}", date)

    def end(self, dag_id: str, run: str) -> str:
        """Wait for the end of a run; its state."""
        return self.platform.wait(dag_id, run, PATIENCE_SECONDS)

    def start_import(self, night: int, training: dict[str, Any], csv_files: list[str] | None = None) -> str:
        names = [f"bhive: {Path(name).stem}" for name in self.csv_files]
        conf = {"csv_files": csv_files or self.csv_files, "source_names": names, "dataset": f"blocks-{night}"}
        return self.start(IMPORT, night, {**conf, "train_conf": training})

    def started_by(self, import_run: str) -> str:
        """The training that a data set has started."""
        found: list[str] = []

        def is_there() -> bool:
            found[:] = self.platform.api.runs_started_by(TRAIN, IMPORT, import_run)
            return bool(found)

        wait_until(is_there, PATIENCE_SECONDS, f"{import_run} has started a training")
        return found[0]

    def told(self, kind: str, dag_id: str, run: str) -> list[dict[str, Any]]:
        """The messages of a kind about a run that have arrived."""
        return [
            body for body in self.sink.bodies if (body["kind"], body["dag_id"], body["run_id"]) == (kind, dag_id, run)
        ]

    def await_message(self, kind: str, dag_id: str, run: str) -> dict[str, Any]:
        """Wait for a message, which comes once."""
        wait_until(lambda: bool(self.told(kind, dag_id, run)), PATIENCE_SECONDS, f"told that {dag_id} {run} {kind}")
        return self.told(kind, dag_id, run)[0]

    def note(self, night: int, what: str, *outcomes: str) -> None:
        """A row of the table at the end."""
        new = self.sink.bodies[self.num_told :]
        self.num_told += len(new)
        messages = "; ".join(f"{body['kind']} ({body['dag_id']})" for body in new) or "none"
        self.rows.append((str(night), what, "\n".join(outcomes), messages))

    def outcome(self, dag_id: str, run: str) -> str:
        """What became of a run's model, in words, from what the run left."""
        release = read_release(self.folder(dag_id, run))
        state = self.platform.api.run_state(dag_id, run)
        tries = {
            task: number
            for task, state_ in self.platform.api.task_states(dag_id, run).items()
            if state_ in ("success", "failed") and (number := self.platform.attempts(dag_id, run, task)) > 1
        }
        tried = "".join(f", {task} at the {number}. try" for task, number in tries.items())
        decision = release.decision if release else state
        reasons = f": {'; '.join(release.reasons)}" if release and release.reasons else ""
        return f"{dag_id} {decision}{reasons}{tried}"


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory, csv_files: list[str]) -> Iterator[Week]:
    settings = {"OPS_NOTIFY_CONNECTIONS": "ops_webhook", "OPS_DEADLINE_HOURS": str(DEADLINE_HOURS)}
    with http_sink() as sink, running_platform(tmp_path_factory.mktemp("nights"), **settings) as platform:
        platform.api.make_connection("ops_webhook", "http", f"{sink.url}/nights", TOKEN)
        yield Week(platform, sink, csv_files)


def test_seven_nights(week: Week, tiny_training: dict[str, Any], tmp_path: Path) -> None:
    training = {**tiny_training, "training_steps": 60, "max_mape_increase_points": MAX_INCREASE_POINTS}
    training["overrides"] = [*tiny_training["overrides"], "checkpoint.save_steps=20", "summary.save_steps=20"]
    completion = week.start(STANDALONE, 1, COMPLETION)
    first_night(week, training, completion)
    night_without_object_store(week, training)
    night_with_a_bad_data_set(week, training, tmp_path)
    night_of_a_killed_trainer(week, training)
    night_of_a_worse_candidate(week, training)
    completion = week.start(STANDALONE, 6, COMPLETION)
    quiet_night(week, training, 6)
    quiet_night(week, training, 7, completion)

    show(week.rows)
    assert_nothing_is_left(week)
    assert_messages_are_safe(week)
    clean_up(week)


def first_night(week: Week, training: dict[str, Any], completion: str) -> None:
    """New data starts the training; beside it the completion model's night."""
    imported = week.start_import(1, training)
    assert week.end(IMPORT, imported) == "success"
    trained = week.started_by(imported)
    assert week.end(TRAIN, trained) == week.end(STANDALONE, completion) == "success"
    outcomes = (week.outcome(TRAIN, trained), week.outcome(STANDALONE, completion))
    week.note(1, "a new data set, the first models", *outcomes)


def night_without_object_store(week: Week, training: dict[str, Any]) -> None:
    """The object store is down until somebody was told that the night is late."""
    week.platform.kill_object_store()
    run = week.start(TRAIN, 2, training)
    late = week.await_message("late", TRAIN, run)
    assert f"has not ended {DEADLINE_HOURS:g} h after it was queued" in late["title"]
    assert week.platform.api.run_state(TRAIN, run) == "running"
    week.platform.start_object_store()
    assert week.end(TRAIN, run) == "success"
    week.note(2, "the object store is down, and comes back", week.outcome(TRAIN, run))


def night_with_a_bad_data_set(week: Week, training: dict[str, Any], tmp_path: Path) -> None:
    """The import refuses it at once; the training takes the data set that is there."""
    bad = []
    for name in week.csv_files:
        lines = Path(name).read_text().splitlines()
        bad.append(str(tmp_path / Path(name).name))
        Path(bad[-1]).write_text("\n".join([*lines[: len(lines) // 2], *("no machine code,1" for _ in lines)]) + "\n")
    imported = week.start_import(3, training, bad)
    assert week.end(IMPORT, imported) == "failed"
    assert week.platform.attempts(IMPORT, imported, "import_bhive") == 1  # it stays bad however often one tries
    message = week.await_message("failed", IMPORT, imported)
    assert "import_bhive (try 1)" in message["reasons"][0] and "data error" in message["reasons"][0]
    run = week.start(TRAIN, 3, training)
    assert week.end(TRAIN, run) == "success"
    plan = week.platform.api.xcom(TRAIN, run, "resolve_request")
    assert plan["dataset_dir"] == str(week.platform.layout.config.data_root / "blocks-1")
    assert not (week.platform.layout.config.data_root / "blocks-3").exists()
    week.note(3, "half of the new data is not machine code", "gematria_import refused it", week.outcome(TRAIN, run))


def night_of_a_killed_trainer(week: Week, training: dict[str, Any]) -> None:
    """It goes on from its checkpoint; and good data ends the trouble of the night before."""
    imported = week.start_import(4, training)
    assert week.end(IMPORT, imported) == "success"
    run = week.started_by(imported)
    checkpoints = week.folder(TRAIN, run) / "checkpoints"
    wait_until(lambda: any(checkpoints.glob("model.ckpt-*.index")), PATIENCE_SECONDS, "there is a checkpoint")
    for process in week.platform.commands("train-model"):
        process.send_signal(signal.SIGKILL)
    assert week.end(TRAIN, run) == "success"
    assert week.platform.attempts(TRAIN, run, "train_model") == 2
    assert "training goes on from" in week.platform.log(TRAIN, run, "train_model", attempt=2)
    week.await_message("recovered", IMPORT, imported)
    week.note(4, "good data again; the trainer is killed", week.outcome(TRAIN, run))


def night_of_a_worse_candidate(week: Week, training: dict[str, Any]) -> None:
    """One step of training is not enough: refused, with reasons, and what was released stays."""
    before = released(week)
    run = week.start(TRAIN, 5, {**training, "training_steps": 1})
    assert week.end(TRAIN, run) == "failed"
    assert week.platform.attempts(TRAIN, run, "check_release") == 1
    message = week.await_message("refused", TRAIN, run)
    record = read_release(week.folder(TRAIN, run))
    assert record is not None and record.decision == "refused"
    assert message["reasons"] == [*record.reasons] and record.reasons
    assert record.compared_with == before["model_uri"]
    assert released(week) == before
    week.note(5, "a candidate after one step of training", week.outcome(TRAIN, run))


def quiet_night(week: Week, training: dict[str, Any], night: int, completion: str = "") -> None:
    """Nothing happens but what should."""
    run = week.start(TRAIN, night, training)
    assert week.end(TRAIN, run) == "success"
    assert released(week)["run"] == run
    outcomes = [week.outcome(TRAIN, run)]
    if completion:
        assert week.end(STANDALONE, completion) == "success"
        outcomes.append(week.outcome(STANDALONE, completion))
    week.note(night, "nothing", *outcomes)


def released(week: Week) -> dict[str, Any]:
    """The pointer to the released model of Gematria's family."""
    client = s3_client(week.platform.layout, week.platform.instance)
    body = client.get_object(Bucket="models", Key="gematria/RELEASED.json")["Body"].read()
    pointer: dict[str, Any] = json.loads(body)
    return pointer


def show(rows: list[tuple[str, ...]]) -> None:
    table = Table(title="Seven nights", show_lines=True)
    for heading in ("night", "what happens", "what became of the models", "messages"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=200).print(table)


def assert_nothing_is_left(week: Week) -> None:
    """No process, lock, half upload or temporary file is left of seven nights."""
    for library in ("gematria_ops", "fastnode_ops"):
        assert week.platform.commands(library) == []
    folders = [folder for dag_id in (IMPORT, TRAIN, STANDALONE) for folder in (week.runs_root / dag_id).iterdir()]
    assert len(folders) >= 12
    wait_until(
        lambda: all(RunDir(folder).state in ("done", "failed") for folder in folders), 120, "every run has its mark"
    )
    assert not [folder for folder in folders if is_locked(folder)]
    for root in (week.runs_root, week.platform.layout.config.data_root):
        assert not [*root.rglob(".*.part")]
    client = s3_client(week.platform.layout, week.platform.instance)
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="models").get("Contents", [])]
    uploads = {key.rpartition("/bundle/")[0] for key in keys if "/bundle/" in key}
    assert len(uploads) == 6  # of the seven, one was refused
    assert all(f"{upload}/manifest.json" in keys for upload in uploads)
    assert not client.list_multipart_uploads(Bucket="models").get("Uploads")


def assert_messages_are_safe(week: Week) -> None:
    """One message for each run and kind, each in the history, none with a secret or without a bound."""
    about = [(body["kind"], body["dag_id"], body["run_id"]) for body in week.sink.bodies]
    assert len(about) == len(set(about))
    troubles = [one for one in about if one[0] != "late"]  # a busy machine may be late more often
    assert [kind for kind, _, _ in troubles] == ["failed", "recovered", "refused"]
    history = read_notices(week.runs_root)  # two processes write it, so its order may be another one
    assert sorted((said["kind"], said["dag_id"], said["run_id"]) for said in history) == sorted(about)
    assert {said["sent"]["ops_webhook"] for said in history} == {"answered 204"}
    secrets = [TOKEN, read_json(week.platform.layout.secrets_path)["secret_key"]]
    for body, headers in zip(week.sink.bodies, week.sink.headers, strict=True):
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert not any(secret in json.dumps(body) for secret in secrets)
        assert len(json.dumps(body)) < 20_000
        assert body["url"].startswith(f"{week.platform.api.url}/dags/{body['dag_id']}/runs/")


def clean_up(week: Week) -> None:
    """First what would go, then it goes: the refused candidate and runs that nothing needs, no released model's."""
    conf = {"run_days": 0, "checkpoint_days": 0, "dataset_days": 0, "keep_newest": 1}
    reports = []
    for dry_run in (True, False, False):
        run = week.platform.trigger(CLEAN_UP, **conf, dry_run=dry_run)
        assert week.end(CLEAN_UP, run) == "success"
        reports.append(read_json(week.folder(CLEAN_UP, run) / "reports/clean_up.json"))
    planned, done, again = ({(item["kind"], item["name"]) for item in report["removed"]} for report in reports)
    assert {("run", f"{TRAIN}/night-5"), ("run", f"{IMPORT}/night-3")} <= planned
    assert planned <= done and not again & planned
    assert all(name.startswith(CLEAN_UP) for _, name in (done | again) - planned)  # the clean-ups before it
    assert not week.folder(TRAIN, "night-5").exists()
    for night in (2, 3, 6, 7):
        assert (week.folder(TRAIN, f"night-{night}") / "bundle").is_dir(), night
    for name in ("blocks-1", "blocks-4"):
        assert (week.platform.layout.config.data_root / name / "manifest.json").exists()
    assert reports[1]["errors"] == []
