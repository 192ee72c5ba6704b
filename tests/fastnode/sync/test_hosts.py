"""The real command with real hosts: sshd and rsync in network namespaces, links that are cut, hosts that die."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fastnode_ops.sample_files.reading import check_sample_file
from ops_common.processes import wait_until
from tests.fastnode.sync.files import file_name, make_file, size_of
from tests.fastnode.sync.syncers import SECONDS, syncer
from tests.fastnode.sync.test_copying import HOSTILE, names_in
from tests.network_hosts import NetworkHosts

pytestmark = pytest.mark.slow

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkHosts]:
    with NetworkHosts(tmp_path_factory.mktemp("network"), 3) as made:
        yield made


@pytest.fixture
def hosts(network: NetworkHosts) -> Iterator[NetworkHosts]:
    """The hosts, empty and well."""
    yield network
    for index in range(len(network)):
        for path in network[index].data.iterdir():
            path.unlink()


def options(hosts: NetworkHosts) -> list[str]:
    key, known = f"--ssh-key={hosts.user_key}", f"--ssh-known-hosts={hosts.known_hosts}"
    return [f"--remote-dir={hosts.data}", key, known]


def test_a_syncer_that_is_killed_goes_on_where_it_was(hosts: NetworkHosts, tmp_path: Path) -> None:
    for index in range(9):
        make_file(hosts[index % 3].data, index, num_bytes=2 * MEBIBYTE)
    make_file(hosts[1].data, 0, num_bytes=2 * MEBIBYTE)  # the same bytes as on the first
    make_file(hosts[2].data, 1, num_bytes=2 * MEBIBYTE, content=1)  # others than on the second
    for name in HOSTILE:
        (hosts[0].data / name).write_text("x")
    for index in range(3):
        hosts[index].slow("40mbit")
    try:
        for _ in range(2):
            with syncer(tmp_path, hosts.names, *options(hosts)) as one:
                wait_until(one.is_amid_a_file, SECONDS, "a file in the making", log_path=one.log, interval_seconds=0.01)
                one.kill()
    finally:
        for index in range(3):
            hosts[index].slow("")
    with syncer(tmp_path, hosts.names, *options(hosts), "--delete-remote") as one:
        one.wait_for(9)
        assert one.ready() == names_in(one.local) == [file_name(index) for index in range(9)]
        wait_until(lambda: one.state()["num_duplicates"] == 1, SECONDS, "the duplicate")
        state = one.state()
        assert state["refused"]["name"] == len(HOSTILE)
        assert state["num_verified"] * 2 == state["num_batches_verified"] == 18
        for name in one.ready():
            check_sample_file(one.local / name)
        assert psutil.Process(one.process.pid).memory_info().rss < 150 * MEBIBYTE
        one.use([file_name(0), file_name(3)])
        wait_until(lambda: names_in(hosts[0].data) == [file_name(6)], SECONDS, "the deletion on the hosts")
        wait_until(lambda: file_name(0) not in names_in(hosts[1].data), SECONDS, "the deletion of the duplicate")
        assert len(one.ready()) == 7
        assert one.end() == 0
    assert not list(tmp_path.rglob("hit")) and not list(hosts[0].folder.rglob("hit"))
    with syncer(tmp_path, hosts.names, *options(hosts)) as one:
        assert (one.state()["num_used"], len(one.ready())) == (2, 7)


def test_a_cut_link_and_a_dead_host(hosts: NetworkHosts, tmp_path: Path) -> None:
    for index in range(3):
        make_file(hosts[index].data, index, num_bytes=6 * MEBIBYTE)
        if index < 2:
            hosts[index].slow("16mbit")
    with syncer(tmp_path, hosts.names, *options(hosts)) as one:
        for index in range(2):
            wait_until(
                lambda: one.is_amid_a_file(hosts[index].address),  # noqa: B023 - called at once
                SECONDS,
                "a file in the making",
                log_path=one.log,
                interval_seconds=0.01,
            )
            (hosts[0].cut, hosts[1].kill)[index]()
        one.wait_for(1)
        assert one.ready() == [file_name(2)]  # the others do not hold it up
        for index in range(2):
            wait_until(lambda: one.host(index)["state"] not in ("new", "ok"), SECONDS, "the failure")  # noqa: B023
            assert hosts[index].address in one.host(index)["last_error"]
            hosts[index].slow("")
        hosts[0].join()
        hosts[1].start()
        one.wait_for(3)
        for index in range(3):
            assert size_of(one.local, index) == size_of(hosts[index].data, index)
        wait_until(lambda: all(host["state"] == "ok" for host in one.state()["hosts"]), SECONDS, "the good news")


def test_a_small_disk_is_never_filled(hosts: NetworkHosts, tmp_path: Path) -> None:
    for index in range(6):
        make_file(hosts[0].data, index, num_bytes=2 * MEBIBYTE)
    (tmp_path / "local").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path / "local"], check=True)
    try:
        with syncer(tmp_path, [hosts.names[0]], *options(hosts)) as one:
            wait_until(lambda: one.state()["pause_reason"] == "disk", SECONDS, "the pause", log_path=one.log)
            for index in range(6):
                wait_until(lambda: one.ready()[:1] == [file_name(index)], SECONDS, "the next", log_path=one.log)  # noqa: B023
                one.use([file_name(index)])
            assert one.state()["num_used"] == 6
            assert one.end() == 0
    finally:
        subprocess.run(["umount", "-l", tmp_path / "local"], check=True)


def test_hosts_that_cannot_be_had(hosts: NetworkHosts, tmp_path: Path) -> None:
    make_file(hosts[0].data, 0)
    known = tmp_path / "known"
    lines = hosts.known_hosts.read_text().splitlines()
    known.write_text("\n".join([lines[0], lines[1].replace(lines[1].split()[2], lines[0].split()[2])]) + "\n")
    nobody = f"{hosts.subnet}.99"
    given = [*hosts.names[:2], nobody]
    with syncer(tmp_path, given, *options(hosts)[:2], f"--ssh-known-hosts={known}") as one:
        one.wait_for(1)
        wait_until(lambda: one.host(1)["state"] == "host_key", SECONDS, "the wrong key")
        wait_until(lambda: one.host(2)["state"] == "unreachable", SECONDS, "the missing host")
        assert one.host(0)["state"] == "ok"
