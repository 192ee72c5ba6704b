"""Many hosts, as a person goes about it: three generate, one dies and another one takes its place, and meanwhile the
syncer brings the files and the training reads them. Then the accounts: nothing is lost, nothing is used twice.

The hosts are network namespaces with an address, sshd and rsync of their own; S3 is the real local server.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from ops_platform import s3_server

from fastnode_ops.publish.upload import last_upload
from fastnode_ops.publish.uploaded import find_upload
from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sample_files.reading import finished_files
from fastnode_ops.sync.accounts import read_accounts
from fastnode_ops.training.reading_record import read_readings
from ops_common.processes import start_process, stop_process_group, wait_until
from tests.e2e.test_make_pythonexpr import MADE_HERE, SMALL
from tests.local_s3 import destination, shared_s3  # noqa: F401 - fixtures
from tests.network_hosts import NetworkHost, NetworkHosts

pytestmark = [pytest.mark.tf, pytest.mark.slow, pytest.mark.timeout(3_000)]

ROOT = Path(__file__).parents[2]
STEPS, PER_FILE = 24, 2
NUM_FILES = STEPS // PER_FILE
SECONDS = 900.0
DATASET = "smoke"  # the model's name
KEEP_ENVIRONMENT = ("-o", ".venv/ready")  # it is the one of the tests, whatever its age


class Checkout:
    """A folder as a clean checkout, and what is typed there."""

    def __init__(self, folder: Path, hosts: NetworkHosts) -> None:
        self.folder, self.hosts = folder, hosts
        folder.mkdir()
        for entry in ROOT.iterdir():
            if entry.name not in MADE_HERE | {"data", "bundle", "bundle.tar.gz"}:
                (folder / entry.name).symlink_to(entry)
        self.port = s3_server.free_port()
        self._variables = {
            **SMALL,
            "STEPS": str(STEPS),
            "SAMPLES_PER_FILE": str(PER_FILE),
            "MAX_SAMPLES": "8",
            "DATA_WORKERS": "1",
            "DATA_MIN_FREE_BYTES": "1000000",
            "REMOTE_DIR": f"{hosts.data}/datagen",
            "REMOTE_PYTHON": sys.executable,
            "SSH_KEY": str(hosts.user_key),
            "SSH_KNOWN_HOSTS": str(hosts.known_hosts),
            "SYNC_PORT": str(self.port),
            "SERVER": "http://127.0.0.1:9",
        }

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def syncer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make(self, *targets: str, status: int = 0, hosts: str = "", **variables: str) -> str:
        """Run make to its end; return what it printed."""
        done = subprocess.run(
            ["make", "--no-print-directory", *KEEP_ENVIRONMENT, *targets],
            cwd=self.folder,
            env=self._environment(hosts, variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def start(self, name: str, target: str, hosts: str = "", **variables: str) -> subprocess.Popen[bytes]:
        """Run make beside us; its log is `<name>.log`."""
        command = ["make", "--no-print-directory", *KEEP_ENVIRONMENT, target]
        log = self.log(name)
        return start_process(command, log, cwd=self.folder, env=self._environment(hosts, variables))

    def log(self, name: str) -> Path:
        return self.folder.with_name(f"{name}.log")

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.syncer}/state", timeout=60, trust_env=False).json()
        return found

    def ready(self) -> list[str]:
        found: list[str] = httpx.post(f"{self.syncer}/list", timeout=60, trust_env=False).json()
        return found

    def use(self, names: list[str]) -> None:
        answer = httpx.post(f"{self.syncer}/used", json={"used": names}, timeout=60, trust_env=False)
        answer.raise_for_status()

    def samples_of(self, host: NetworkHost, dataset: str = DATASET) -> Path:
        return host.data / "datagen/samples" / dataset

    def files_on(self, host: NetworkHost) -> list[SampleFileName]:
        return finished_files(self.samples_of(host))

    def _environment(self, hosts: str, variables: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **self._variables, "TRAINDATA_HOSTS": hosts, **variables}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("hosts")
    with NetworkHosts(folder, 4) as hosts:
        yield Checkout(folder / "checkout", hosts)


class Beside:
    """What runs beside us while a test does; all of it is ended with the test."""

    def __init__(self, one: Checkout, stack: ExitStack) -> None:
        self._one, self._stack = one, stack

    def start(self, name: str, target: str, **variables: str) -> subprocess.Popen[bytes]:
        process = self._one.start(name, target, **variables)
        self._stack.callback(stop_process_group, process)
        return process

    def sync(self, name: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start the syncer; returns when it answers."""
        process = self.start(name, "sync", **variables)
        wait_until(self._answers, SECONDS, "the syncer", process=process, log_path=self._one.log(name))
        return process

    def _answers(self) -> bool:
        try:
            return bool(self._one.state()["hosts"])
        except httpx.HTTPError:
            return False


@pytest.fixture
def beside(checkout: Checkout) -> Iterator[Beside]:
    with ExitStack() as stack:
        yield Beside(checkout, stack)


def test_three_hosts_of_which_one_dies_and_is_replaced(
    checkout: Checkout,
    beside: Beside,
    destination: str,  # noqa: F811
) -> None:
    one, hosts = checkout, checkout.hosts
    first, living = " ".join(hosts.names[:3]), " ".join([*hosts.names[:2], hosts.names[3]])
    every, from_files = f"{first} {hosts.names[3]}", {"SYNC_DATA": "1", "SYNCER": one.syncer}
    one.make("datagen_parallel", hosts=first)
    syncer = beside.sync("sync", hosts=first)
    trainer = beside.start("train", "train", **from_files)
    # the third one dies in the middle of its work, with a file that was made
    wait_until(lambda: bool(one.files_on(hosts[2])), SECONDS, "a file of the third host", interval_seconds=0.01)
    hosts[2].cut()
    hosts[2].kill()
    made_before = len(one.files_on(hosts[2]))
    assert made_before < NUM_FILES // 3
    # another host takes its place, in the generation and in the sync; the training goes on meanwhile
    assert "1 of 4 hosts failed" in one.make("datagen_parallel", status=2, hosts=every, SYNCER=one.syncer)
    stop_process_group(syncer)
    beside.sync("sync2", hosts=living)
    # the training is killed behind its first checkpoint, and started again
    record = one.folder / "tmp/samples-read.json"
    wait_until(record.exists, SECONDS, "a checkpoint", process=trainer, log_path=one.log("train"))
    os.killpg(trainer.pid, signal.SIGKILL)
    trainer.wait()
    one.make("train", **from_files)
    assert one.files_on(hosts[3]), "the new host has made none"
    check_accounts(one, one.make("sample_accounts", hosts=every), made_before)
    one.make(**from_files)
    assert (one.folder / "out/serve/attr-fallback.txt").exists()
    one.make("upload", UPLOAD_ROOT=destination, **from_files)
    place = last_upload(one.folder)
    assert place.startswith(f"{destination}/")
    assert "serve/expr_model.frozen.pb" in find_upload(place).files


@pytest.mark.long
def test_both_sides_wait_for_room_and_the_accounts_say_what_is_nowhere(checkout: Checkout, beside: Beside) -> None:
    """Each host makes a file at a time, the syncer has room for one, and the test is the reader that makes room."""
    one, hosts = checkout, " ".join(checkout.hosts.names[:2])
    data = {"DATASET_NAME": "small", "DATA_DIR": "small-data", "DATA_STEPS": "8", "hosts": hosts}
    folders = [one.samples_of(one.hosts[index], "small") for index in range(2)]
    one.make("datagen_parallel", DATA_MAX_BYTES="1", **data)
    for folder in folders:
        wait_until(lambda folder=folder: generator_state(folder) == "paused", SECONDS, "the pause of the generator")
        assert len(finished_files(folder)) == 1
    budget = sum(path.stat().st_size for folder in folders for path in folder.iterdir() if path.is_file()) - 1
    beside.sync("sync3", DELETE_REMOTE="1", MAX_LOCAL_BYTES=str(budget), **data)
    seen: list[str] = []
    for index in range(4):
        wait_until(lambda: bool(one.ready()), SECONDS, f"file {index}", log_path=one.log("sync3"))
        if index == 0:
            wait_until(lambda: one.state()["pause_reason"] == "budget", SECONDS, "the pause of the syncer")
        assert one.state()["local_bytes"] <= budget
        seen += one.ready()[:1]
        one.use(seen[-1:])
    assert sorted(int(text.split("-")[0]) for text in seen) == [0, 2, 4, 6]
    for folder in folders:
        wait_until(lambda folder=folder: generator_state(folder) == "done", SECONDS, "the end of the generator")
        wait_until(lambda folder=folder: not finished_files(folder), SECONDS, "the deletion on the host")
    # whoever used them has left no record: by the accounts they are nowhere, and that is an error
    said = one.make("sample_accounts", status=2, **data)
    assert "the accounts are not in order: steps 0 to 1 were made, and are nowhere" in said


def generator_state(samples: Path) -> str:
    return str(json.loads((samples / ".datagen/status.json").read_text())["state"])  # there is none yet: OSError


def check_accounts(one: Checkout, told: str, made_before: int) -> None:
    """What the command says, and the same from the records themselves."""
    print(told)  # the table of the report
    accounts = json.loads(next(line for line in told.splitlines() if line.startswith("{")))
    expected = {"num_planned": STEPS, "num_made": STEPS, "num_synced": STEPS, "num_used": STEPS, "num_not_made": 0}
    assert {**accounts, **expected} == accounts
    for nothing in ("left", "waiting", "lost", "duplicated", "updates_from_elsewhere", "used_again"):
        assert accounts[f"num_{nothing}"] == 0, nothing
    readings = read_readings(one.folder / "tmp/samples-read.json")
    assert [step for _, step, _, _ in readings.times_read()] == list(range(STEPS))
    brought = {file.name.file_name: file for file in read_accounts(one.data / ".sync/state.db").brought}
    assert {reading.file_name: reading.sha256 for reading in readings.readings} == {
        name: file.sha256 for name, file in brought.items()
    }
    assert {file.host for file in brought.values()} >= {one.hosts.names[index] for index in (0, 1, 3)}
    # what the dead one had made came here before it died, or was made again by the others
    folders = [one.samples_of(one.hosts[index]) for index in (0, 1, 3)]
    ledgers = [json.loads((folder / ".datagen/made.json").read_text())["ranges"] for folder in folders]
    survivors = [number for ledger in ledgers for number in ledger]
    assert len(survivors) == len(set(survivors))
    from_dead = [file.name.first_step // PER_FILE for file in brought.values() if file.host == one.hosts.names[2]]
    assert sorted({*survivors, *from_dead}) == list(range(NUM_FILES))
    assert len(from_dead) <= made_before
