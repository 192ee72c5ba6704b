"""Commands and files over real ssh and rsync, between network namespaces."""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fastnode_ops.remote.failures import RemoteError, kind_of_failure, last_words
from fastnode_ops.remote.hosts import Host
from fastnode_ops.remote.ssh import PARTIAL_DIR, Ssh, SshOptions, end_commands, shared_connections
from ops_common.errors import ConfigError
from ops_common.processes import wait_until
from tests.network_hosts import NetworkHost, NetworkHosts, make_key

NASTY = ["a b", "it's", 'say "x"', "$(touch pwned)", "`id`", "$HOME", "-rf", "--", "*", "~", "a\nb", "\\", "ü", ""]
SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkHosts]:
    with NetworkHosts(tmp_path_factory.mktemp("hosts"), 2) as made:
        yield made


def test_arguments_arrive_as_they_are(hosts: NetworkHosts) -> None:
    assert json.loads(hosts[0].ssh.run([sys.executable, "-c", SHOW, *NASTY])) == NASTY
    assert not (hosts[0].home / "pwned").exists()


def test_standard_input_and_the_own_home(hosts: NetworkHosts) -> None:
    assert hosts[0].ssh.run(["cat"], stdin=b"\xffbytes\n") == "�bytes\n"
    assert hosts[1].ssh.run(["printenv", "HOME"]).strip() == str(hosts[1].home)
    assert hosts[0].ssh.run(["cat"]) == ""


def test_a_nul_is_refused(hosts: NetworkHosts) -> None:
    with pytest.raises(ConfigError, match="NUL"):
        hosts[0].ssh.run(["echo", "a\0b"])


def test_a_failing_command_says_where_and_why(hosts: NetworkHosts) -> None:
    with pytest.raises(RemoteError, match="no-such-folder") as caught:
        hosts[0].ssh.run(["ls", "/no-such-folder"])
    assert (caught.value.status, caught.value.host) == (2, str(hosts[0].host))


def test_a_command_that_takes_too_long_is_ended(hosts: NetworkHosts) -> None:
    with pytest.raises(RemoteError, match=r"after 0\.5 s") as caught:
        hosts[0].ssh.run(["sleep", "60"], timeout=0.5)
    assert caught.value.kind == "timeout"


def test_commands_of_other_threads_are_ended(hosts: NetworkHosts) -> None:
    failures: list[RemoteError] = []

    def sleep() -> None:
        try:
            hosts[0].ssh.run(["sleep", "60"])
        except RemoteError as error:
            failures.append(error)

    thread = threading.Thread(target=sleep)
    thread.start()
    wait_until(lambda: _ended(thread), 20, "the end of the command")
    assert len(failures) == 1


def _ended(thread: threading.Thread) -> bool:
    end_commands()
    return not thread.is_alive()


def test_unreachable_hosts(hosts: NetworkHosts) -> None:
    nowhere = Host(f"{hosts.subnet}.200", "root")
    with pytest.raises(RemoteError, match=r"No route to host|timed out") as caught:
        Ssh(nowhere, replace(hosts.options, connect_seconds=1)).run(["true"])
    assert caught.value.kind == "unreachable"
    with pytest.raises(RemoteError, match="refused") as caught:
        Ssh(replace(hosts[0].host, port=23), hosts.options).run(["true"])
    assert caught.value.kind == "unreachable"
    assert caught.value.exit_code == 5


def test_a_host_with_another_key_gets_nothing(hosts: NetworkHosts, tmp_path: Path) -> None:
    first, second = hosts.known_hosts.read_text().splitlines()
    swapped = tmp_path / "known hosts"
    swapped.write_text(f"{first.split()[0]} {' '.join(second.split()[1:])}\n")
    mark = hosts[0].home / "was-here"
    for file in (swapped, _empty(tmp_path)):
        ssh = Ssh(hosts[0].host, replace(hosts.options, known_hosts_file=file))
        with pytest.raises(RemoteError) as caught:
            ssh.run(["touch", str(mark)])
        assert caught.value.kind == "host_key"
        with pytest.raises(RemoteError) as caught:
            ssh.rsync_to(swapped, str(mark))
        assert caught.value.kind == "host_key"
    assert not mark.exists()


def _empty(folder: Path) -> Path:
    (folder / "empty").touch()
    return folder / "empty"


def test_a_user_key_that_the_host_does_not_know(hosts: NetworkHosts, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    with pytest.raises(RemoteError, match="Permission denied") as caught:
        Ssh(hosts[0].host, replace(hosts.options, key_file=tmp_path / "other")).run(["true"])
    assert caught.value.kind == "user_key"
    assert "authorized_keys" in caught.value.hint


def test_key_files_with_odd_names(hosts: NetworkHosts, tmp_path: Path) -> None:
    folder = tmp_path / "it's 100%d $(x)"
    folder.mkdir()
    key, known = folder / "my key", folder / "known hosts"
    shutil.copy2(hosts.user_key, key)
    shutil.copy2(hosts.known_hosts, known)
    ssh = Ssh(hosts[0].host, replace(hosts.options, key_file=key, known_hosts_file=known))
    assert ssh.run(["echo", "in"]) == "in\n"
    assert ssh.rsync_to(known, str(hosts[0].home / "copied")) == "known hosts\n"
    for name in ('quo"te', "${HOME}", "line\nend"):
        (folder / name).touch()
        with pytest.raises(ConfigError, match="rename"):
            SshOptions(key_file=folder / name)
    with pytest.raises(ConfigError, match="does not exist"):
        SshOptions(config_file=folder / "none")


def test_folders_and_files_with_odd_names_are_copied_literally(hosts: NetworkHosts, tmp_path: Path) -> None:
    source = tmp_path / "-a: $(touch pwned) 'q'"
    (source / "sub").mkdir(parents=True)
    names = ["-x", "a b", "it's", "$(touch pwned)", "#c", "*"]
    for name in names:
        (source / name).write_text(name)
    (source / "sub" / "deep").write_text("deep")
    there = hosts[0].home / "there $(touch pwned) 'q'"
    copied = hosts[0].ssh.rsync_to(source, str(there)).splitlines()
    assert {"-x", "sub/deep"} <= set(copied)
    assert {path.name for path in there.iterdir()} == {*names, "sub"}
    assert hosts[0].ssh.rsync_to(source, str(there)) == ""  # nothing is copied twice
    back = tmp_path / "-back: b"
    back.mkdir()
    hosts[0].ssh.rsync_from(names, str(there), back)
    assert {path.name: path.read_text() for path in back.iterdir()} == {name: name for name in names}
    assert not list(tmp_path.rglob("pwned")) + list(hosts[0].home.rglob("pwned"))


def test_paths_and_names_that_are_refused(hosts: NetworkHosts, tmp_path: Path) -> None:
    for path in ("relative", "-rf", "/a/*", "/a\nb", "~/x", "/a[b]"):
        with pytest.raises(ConfigError, match="absolute path"):
            hosts[0].ssh.rsync_to(tmp_path, path)
    for name in ("", ".", "..", "../x", "/etc/passwd", "a\0b"):
        with pytest.raises(ConfigError, match="name of a file"):
            hosts[0].ssh.rsync_from([name], "/tmp", tmp_path)


def test_a_file_that_is_not_there(hosts: NetworkHosts, tmp_path: Path) -> None:
    (hosts[0].home / "one").write_text("1")
    with pytest.raises(RemoteError, match="two"):
        hosts[0].ssh.rsync_from(["one", "two"], str(hosts[0].home), tmp_path)
    assert (tmp_path / "one").read_text() == "1"


@pytest.mark.slow
def test_a_link_cut_in_the_middle_of_a_file(hosts: NetworkHosts, tmp_path: Path) -> None:
    host, content = hosts[1], os.urandom(6_000_000)
    (host.home / "big").write_bytes(content)
    host.slow("8mbit")  # six seconds for all of it

    def has_begun() -> bool:
        return any(path.stat().st_size > 1_000_000 for path in tmp_path.rglob(".big.*"))

    failures: list[RemoteError] = []

    def fetch() -> None:
        try:
            host.ssh.rsync_from(["big"], str(host.home), tmp_path)
        except RemoteError as error:
            failures.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_until(has_begun, 20, "the first megabyte", interval_seconds=0.02)
    host.cut()
    thread.join(60)
    assert [error.kind for error in failures] == ["lost"]
    assert not (tmp_path / "big").exists()
    assert (tmp_path / PARTIAL_DIR / "big").stat().st_size >= 500_000
    host.join()
    host.slow("")
    before = time.monotonic()
    host.ssh.rsync_from(["big"], str(host.home), tmp_path)
    assert time.monotonic() - before < 10
    assert hashlib.sha256((tmp_path / "big").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert not (tmp_path / PARTIAL_DIR).exists()


def test_a_host_that_dies_and_comes_back(hosts: NetworkHosts) -> None:
    hosts[1].kill()
    with pytest.raises(RemoteError) as caught:
        hosts[1].ssh.run(["true"])
    assert caught.value.kind == "unreachable"
    hosts[1].start()
    assert hosts[1].ssh.run(["echo", "back"]) == "back\n"


def test_commands_share_a_connection_until_the_end(hosts: NetworkHosts, tmp_path: Path) -> None:
    host, before = hosts[0], _num_logins(hosts[0])
    with shared_connections(hosts.options) as options:
        ssh = Ssh(host.host, options)
        assert ssh.run(["echo", "one"]) == "one\n"
        (host.home / "shared").write_text("file")
        ssh.rsync_from(["shared"], str(host.home), tmp_path)
        with pytest.raises(RemoteError, match="no-such") as caught:
            ssh.run(["ls", "/no-such"])
        assert caught.value.status == 2
        assert _num_logins(host) == before + 1
        folder = options.shared_dir
        assert folder is not None and len(list(folder.iterdir())) == 1
        host.kill()  # and the connection with it
        with pytest.raises(RemoteError):
            ssh.run(["true"])
        host.start()
        before = _num_logins(host)
        assert [ssh.run(["echo", "back"]) for _ in range(2)] == ["back\n"] * 2
        assert _num_logins(host) == before + 1
    assert not folder.exists()
    wait_until(lambda: len(host.process_ids()) == 1, 20, "the end of the connection")  # sshd that listens


def _num_logins(host: NetworkHost) -> int:
    return (host.folder / "sshd.log").read_text().count("Accepted publickey")


def test_where_no_socket_can_be_each_command_has_its_own_connection(
    hosts: NetworkHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x" * 50, "%d $(x)"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
        with shared_connections(hosts.options) as options:
            assert options == hosts.options


def test_what_a_program_said_is_told_apart_and_bounded() -> None:
    said = "kex_exchange_identification: read: Connection reset by peer\nConnection closed by 10.0.0.1"
    assert kind_of_failure(said) == "unreachable"
    assert kind_of_failure("rsync: write failed: No space left on device (28)") == "disk_full"
    assert kind_of_failure("anything else") == "failed"
    assert last_words("\x1b[31mred\n" + "x" * 5_000).isprintable()
    assert len(last_words("x\n" * 10 + "y" * 5_000)) == 2_000
