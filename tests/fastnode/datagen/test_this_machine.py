"""This machine as a host: asked and filled without ssh, stopped like any other."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastnode_ops.datagen.deploy import Place, deploy
from fastnode_ops.datagen.plan_file import make_plan, mark_started, not_started, read_plan, write_plan
from fastnode_ops.datagen_run_tasks import deploy_to_host, end_datagen, take_over_datagen
from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.remote.failures import RemoteError
from fastnode_ops.remote.hosts import Host, parse_host
from fastnode_ops.remote.ssh import SshOptions
from fastnode_ops.remote.this_machine import THIS_MACHINE, ThisMachine
from ops_common.errors import ArtifactError, ConfigError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.datagen.small_work import RANGES, command, make_work

HERE = str(THIS_MACHINE)
AWAY = parse_host("nobody@127.0.0.1:1")  # nothing listens there
SECONDS = 120.0


class Run:
    """A run's folder with a plan, and what the hosts have of it."""

    def __init__(self, root: Path) -> None:
        self.folder, self.remote = PipelineDir(root / "run"), root / "hosts"
        self.place = Place(str(self.remote), "set", "", SshOptions(connect_seconds=5))
        self.work = make_work(root)

    def plan(self, *hosts: Host, seconds: float = 0) -> None:
        plan = make_plan(hosts, self.place, replace(self.work, command=command(seconds), command_here=["--more"]))
        write_plan(self.folder, plan)

    @property
    def work_dir(self) -> str:
        return str(self.folder.path)

    @property
    def samples(self) -> Path:
        return self.remote / "samples/set"

    def made(self) -> set[int]:
        return {int(path.stem[:9]) // 10 for path in self.samples.glob("*.idx")}

    def wait_until_made(self, *numbers: int) -> None:
        wait_until(lambda: self.made() >= set(numbers), SECONDS, f"ranges {numbers}")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    if (made.folder.tmp / "datagen/plan.json").exists() and made.remote.exists():
        made.plan(THIS_MACHINE)
        end_datagen(work_dir=made.work_dir)


def test_it_runs_commands_as_they_are_given() -> None:
    words = ["a b", "$(id)", "'", "-x"]
    program = "import sys; print(sys.argv[1:], sys.stdin.read())"
    told = ThisMachine().run([sys.executable, "-c", program, *words], stdin="in")
    assert told == f"{words} in\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no-such-program"], r"host this-machine: `no-such-program` failed .*No such file"),
        ([sys.executable, "-c", "import sys; sys.exit('why it failed')"], r"\(status 1\): why it failed"),
        ([sys.executable, "-c", "input()"], r"status 1"),
    ],
)
def test_what_fails_is_told_as_of_any_host(argv: list[str], message: str) -> None:
    with pytest.raises(RemoteError, match=message):
        ThisMachine().run(argv)


def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(RemoteError) as caught:
        ThisMachine().run([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.2)
    assert caught.value.kind == "timeout"


def test_copies_are_second_names_and_half_of_one_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "from/sub").mkdir(parents=True)
    (tmp_path / "from/sub/file").write_bytes(b"content")
    (tmp_path / "to/sub").mkdir(parents=True)
    (tmp_path / "to/sub/file").write_bytes(b"con")
    ThisMachine().rsync_to(tmp_path / "from", str(tmp_path / "to"))
    assert (tmp_path / "to/sub/file").samefile(tmp_path / "from/sub/file")
    ThisMachine().rsync_to(tmp_path / "from/sub/file", str(tmp_path / "one"))
    assert (tmp_path / "one").read_bytes() == b"content"
    with pytest.raises(RemoteError, match=r"copying .*gone"):
        ThisMachine().rsync_to(tmp_path / "gone", str(tmp_path / "two"))


def test_a_plan_that_is_read_is_the_plan_that_was_written(run: Run) -> None:
    work = replace(run.work, finished={0, 5}, command_here=["--server=http://x"])
    plan = make_plan([THIS_MACHINE, AWAY], run.place, work)
    write_plan(run.folder, plan)
    again = read_plan(run.folder)
    options = SshOptions()  # how long a connection may take is no matter of the plan
    assert (replace(again.place, options=options), again.work) == (replace(plan.place, options=options), plan.work)
    assert again.shares == plan.shares == {THIS_MACHINE: [1, 3, 6, 8, 10], AWAY: [2, 4, 7, 9, 11]}
    assert not_started(run.folder, again) == [THIS_MACHINE, AWAY]


def test_without_a_plan_nothing_is_deployed(run: Run) -> None:
    for function in (take_over_datagen, end_datagen):
        with pytest.raises(ConfigError, match="no generation was planned"):
            function(work_dir=run.work_dir)
    run.plan(THIS_MACHINE)
    with pytest.raises(ConfigError, match="the plan has no host 'other'"):
        deploy_to_host(work_dir=run.work_dir, host="other")
    (run.folder.tmp / "datagen/plan.json").write_text('{"place": {}}')
    with pytest.raises(ArtifactError, match="is damaged"):
        take_over_datagen(work_dir=run.work_dir)


def test_without_hosts_there_is_nothing_to_take_over_nor_to_stop(run: Run) -> None:
    run.plan()  # the tasks of the workflow make the samples
    assert take_over_datagen(work_dir=run.work_dir)["num_hosts"] == 0
    assert end_datagen(work_dir=run.work_dir) == {"num_hosts": 0, "num_processes": 0, "is_cleaned": False}


def test_a_host_makes_its_share_and_nothing_twice(run: Run) -> None:
    run.plan(THIS_MACHINE)
    told = deploy_to_host(work_dir=run.work_dir, host=HERE)
    assert told == {"host": HERE, "num_ranges": 12, "num_left": 12, "ranges": "0-11"}
    run.wait_until_made(*RANGES)
    again = deploy_to_host(work_dir=run.work_dir, host=HERE)  # the task is tried again
    assert (again["num_left"], again["ranges"]) == (0, "")
    assert take_over_datagen(work_dir=run.work_dir)["num_taken_over"] == 0
    assert (run.remote / "corpora").is_dir() and not list((run.remote / "incoming").iterdir())


def test_what_a_host_was_to_make_that_fails_is_taken_over(run: Run) -> None:
    run.plan(THIS_MACHINE, AWAY, seconds=0)
    deploy_to_host(work_dir=run.work_dir, host=HERE)
    with pytest.raises(ServiceError, match=r"nobody@127.0.0.1:1"):
        deploy_to_host(work_dir=run.work_dir, host=str(AWAY))
    run.wait_until_made(*RANGES[::2])
    assert not run.made() & set(RANGES[1::2])
    told = take_over_datagen(work_dir=run.work_dir)
    assert told == {"num_hosts": 1, "num_failed": 1, "num_taken_over": 6, "failed": [str(AWAY)]}
    run.wait_until_made(*RANGES)
    assert not_started(run.folder, read_plan(run.folder)) == [AWAY]


def test_a_host_that_has_died_is_noticed_when_its_task_is_done_again(run: Run) -> None:
    run.plan(THIS_MACHINE, AWAY)
    deploy_to_host(work_dir=run.work_dir, host=HERE)
    plan = read_plan(run.folder)
    mark_started(run.folder, AWAY, plan.shares[AWAY])  # it did begin, once
    assert take_over_datagen(work_dir=run.work_dir)["num_failed"] == 0
    with pytest.raises(ServiceError):
        deploy_to_host(work_dir=run.work_dir, host=str(AWAY))
    assert take_over_datagen(work_dir=run.work_dir)["num_taken_over"] == 6
    run.wait_until_made(*RANGES)


def test_when_all_hosts_fail_there_is_nobody_to_take_over(run: Run) -> None:
    run.plan(AWAY)
    with pytest.raises(ServiceError, match=r"none of the 1 hosts can generate:\n  host nobody@127\.0\.0\.1:1"):
        take_over_datagen(work_dir=run.work_dir)


def test_the_end_stops_and_cleans_up_after_a_training(run: Run) -> None:
    run.plan(THIS_MACHINE, seconds=600)
    deploy_to_host(work_dir=run.work_dir, host=HERE)
    run.wait_until_made(0)
    assert end_datagen(work_dir=run.work_dir) == {"num_hosts": 1, "num_processes": 1, "is_cleaned": False}
    assert run.made() == {0}  # the training failed: when it is tried again, this is not made again
    run.folder.frozen_model.parent.mkdir(parents=True)
    run.folder.frozen_model.write_bytes(b"model")
    assert end_datagen(work_dir=run.work_dir, keep_samples=True)["is_cleaned"] is False
    assert end_datagen(work_dir=run.work_dir) == {"num_hosts": 1, "num_processes": 0, "is_cleaned": True}
    assert not run.samples.exists() and (run.remote / "corpora").is_dir()


def test_make_can_name_this_machine_too(run: Run) -> None:
    done = deploy([THIS_MACHINE], run.place, run.work)
    assert (list(done.started), done.failed) == ([THIS_MACHINE], {})
    run.plan(THIS_MACHINE)
    run.wait_until_made(*RANGES)
