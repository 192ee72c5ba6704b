"""Deployment to real hosts (namespaces with sshd and rsync), with a small generator in the place of the real one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastnode_ops.datagen.deploy import Deployment, Place, Work, deploy
from fastnode_ops.datagen.host_status import ask_hosts, status_of
from fastnode_ops.datagen_remote_tasks import clean_remote, datagen_status, stop_datagen
from ops_common.artifacts import sha256_file
from ops_common.errors import ConfigError, ServiceError
from ops_common.processes import wait_until
from tests.fastnode.datagen.small_work import CORPUS_BYTES, RANGES, command, make_work
from tests.network_hosts import NetworkHosts


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkHosts]:
    with NetworkHosts(tmp_path_factory.mktemp("hosts"), 3) as made:
        yield made


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return make_work(tmp_path_factory.mktemp("work"))


def _slow(work: Work) -> Work:
    """Makes the first range of each host at once and the next after ten minutes."""
    return replace(work, command=command(600))


def _place(hosts: NetworkHosts, name: str, python: str = sys.executable) -> Place:
    return Place(str(hosts.data / name), "d", python, hosts.options)


def _words(hosts: NetworkHosts, name: str) -> dict[str, Any]:
    """The same place, and the first two hosts, as arguments of a task."""
    files = {"ssh_key": str(hosts.user_key), "ssh_known_hosts": str(hosts.known_hosts)}
    return {"hosts": hosts.names[:2], "remote_dir": str(hosts.data / name), "remote_python": sys.executable, **files}


def _made(hosts: NetworkHosts, index: int, name: str) -> set[int]:
    folder = hosts[index].data / name / "samples" / "d"
    return {int(path.stem[:9]) // 10 for path in folder.glob("*.idx")}


def _wait_until_made(hosts: NetworkHosts, name: str, done: Deployment) -> None:
    for index in range(len(hosts)):
        wanted = set(done.started.get(hosts[index].host, []))
        wait_until(lambda: wanted <= _made(hosts, index, name), 60, f"the ranges of host {index}")  # noqa: B023


def _received(hosts: NetworkHosts) -> list[int]:
    """Bytes that went to each host."""
    counters = [Path("/sys/class/net", hosts[index].device, "statistics/tx_bytes") for index in range(len(hosts))]
    return [int(counter.read_text()) for counter in counters]


def test_three_hosts_share_the_work_and_a_second_deployment_copies_nothing(hosts: NetworkHosts, work: Work) -> None:
    place, all_hosts = _place(hosts, "share"), [hosts[index].host for index in range(3)]
    done = deploy(all_hosts, place, work)
    assert (done.failed, done.idle) == ({}, [])
    shared = [number for numbers in done.started.values() for number in numbers]
    assert sorted(shared) == list(RANGES)  # each once
    assert [len(numbers) for numbers in done.started.values()] == [4, 4, 4]
    _wait_until_made(hosts, "share", done)
    for index in range(3):
        assert (hosts[index].data / "share/corpora").is_dir()
        assert list((hosts[index].data / "share/incoming").iterdir()) == []
    before = _received(hosts)
    again = deploy(all_hosts, place, work)
    assert (again.started, again.idle, again.failed) == ({}, all_hosts, {})
    assert all(after - earlier < CORPUS_BYTES / 10 for earlier, after in zip(before, _received(hosts), strict=True))
    rows = ask_hosts(all_hosts, place)
    assert [(row.state, row.num_made, row.num_left) for row in rows] == [("done", 4, 0)] * 3
    assert all(abs(row.clock_seconds) < 60 for row in rows)
    assert deploy(all_hosts[:1], _place(hosts, "finished"), replace(work, finished=RANGES[1:])).started == {
        all_hosts[0]: [0]
    }


def test_a_dead_host_is_reported_and_its_ranges_are_taken_over(hosts: NetworkHosts, work: Work) -> None:
    place, all_hosts = _place(hosts, "dead"), [hosts[index].host for index in range(3)]
    first = deploy(all_hosts, place, _slow(work))
    wait_until(lambda: all(len(_made(hosts, index, "dead")) == 1 for index in range(3)), 60, "one range of each")
    hosts[2].kill()
    try:
        second = deploy(all_hosts, place, work)
        assert list(second.failed) == [all_hosts[2]]
        assert isinstance(second.failed[all_hosts[2]], ServiceError)
        made = [set(first.started[host][:1]) | set(second.started[host]) for host in all_hosts[:2]]
        assert made[0] | made[1] == set(RANGES)  # also what the dead one had made: nobody has fetched it
        assert not made[0] & made[1]
        _wait_until_made(hosts, "dead", second)
        assert [row.state for row in ask_hosts(all_hosts, place)] == ["done", "done", "unreachable"]
    finally:
        hosts[2].start()
    # it comes back: what it had made it still has, and is not asked for anything
    third = deploy(all_hosts, place, work)
    assert (third.started, third.failed) == ({}, {})
    assert _made(hosts, 2, "dead") == set(first.started[all_hosts[2]][:1])


def test_a_host_without_room_and_one_with_a_damaged_copy(hosts: NetworkHosts, work: Work) -> None:
    place, two = _place(hosts, "room"), [hosts[0].host, hosts[1].host]
    crowded = deploy(two, place, replace(work, min_free_bytes=10**18))
    assert list(crowded.failed) == two
    assert "are needed" in str(crowded.failed[two[0]]) and "REMOTE_DIR" in str(crowded.failed[two[0]])
    digest = sha256_file(work.corpus_dir / "manifest.json")
    damaged = hosts[0].data / "room/incoming" / digest
    shutil.copytree(work.corpus_dir, damaged)
    with (damaged / "corpus.sqlite").open("r+b") as file:
        file.write(b"damage")
    os.utime(damaged / "corpus.sqlite", ns=(1, (work.corpus_dir / "corpus.sqlite").stat().st_mtime_ns))
    one_bad = deploy(two, place, work)
    assert list(one_bad.failed) == two[:1]
    assert "damaged" in str(one_bad.failed[two[0]])
    assert sorted(one_bad.started[two[1]]) == list(RANGES)
    assert not deploy(two, place, work).failed  # what was damaged has been copied again


def test_commands_to_look_stop_and_clean(hosts: NetworkHosts, work: Work) -> None:
    place, two, words = _place(hosts, "stop"), [hosts[0].host, hosts[1].host], _words(hosts, "stop")
    deploy(two, place, _slow(work))
    wait_until(lambda: all(_made(hosts, index, "stop") for index in range(2)), 60, "a range of each")
    told = datagen_status(dataset="d", **words)
    assert (told["num_at_work"], told["num_made"], told["num_left"], told["waiting_bytes"]) == (2, 2, 10, 2)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(hosts.data)])
    try:
        assert stop_datagen(dataset="d", **words)["num_processes"] == 2
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert [row.state for row in ask_hosts(two, place)] == ["dead", "dead"]
    clean_remote(dataset="d", **words)
    assert _made(hosts, 0, "stop") == set()
    assert (hosts[0].data / "stop/corpora").exists()
    clean_remote(**words)
    assert not (hosts[0].data / "stop/corpora").exists()
    with pytest.raises(ServiceError, match=r"2 of 3 hosts"):
        stop_datagen(dataset="d", **{**words, "hosts": [*hosts.names[:1], "root@127.0.0.1:1", "nowhere.invalid"]})


@pytest.mark.parametrize("folder", ["/", "relative/x", "/a/../b", "/usr/share", "-rf"])
def test_dangerous_folders_are_refused_before_anyone_is_asked(folder: str) -> None:
    with pytest.raises(ConfigError):
        clean_remote(hosts=["nowhere.invalid"], remote_dir=folder)


def test_a_home_folder_is_refused_on_the_host(hosts: NetworkHosts) -> None:
    hosts[0].home.joinpath("precious").touch()
    words = _words(hosts, "x") | {"hosts": hosts.names[:1], "remote_dir": str(hosts[0].home)}
    with pytest.raises(ServiceError, match="holds more than sample files"):
        clean_remote(**words)
    assert hosts[0].home.joinpath("precious").exists()


def test_what_an_answer_means() -> None:
    told = {"generator": {}, "is_running": True, "log": "", "num_bytes": 7, "time": 1_000.0}
    assert status_of("h", told, 990.0).state == "starting"
    assert status_of("h", told, 990.0).clock_seconds == 10.0
    assert status_of("h", {**told, "is_running": False}, 0.0).state == "not started"
    died = status_of("h", {**told, "is_running": False, "generator": {"state": "running"}, "log": "a\nOOM\n"}, 0.0)
    assert (died.state, died.last_error) == ("dead", "OOM")
    assert status_of("h", {**told, "is_running": False, "generator": {"state": "done"}}, 0.0).state == "done"
