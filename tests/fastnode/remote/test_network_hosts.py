"""The hosts of the tests are what they say."""

from pathlib import Path

from tests.network_hosts import NetworkHosts


def test_each_host_has_its_own_folder_under_one_name(tmp_path: Path) -> None:
    with NetworkHosts(tmp_path, 2) as hosts:
        for index in range(2):
            hosts[index].ssh.run(["sh", "-c", 'echo "$1" > "$2"/who', "sh", str(index), str(hosts.data)])
        assert [(hosts[index].data / "who").read_text() for index in range(2)] == ["0\n", "1\n"]
        assert list(hosts.data.iterdir()) == []
        hosts[0].kill()
        hosts[0].start()
        assert hosts[0].ssh.run(["cat", str(hosts.data / "who")]) == "0\n"
        sshd = hosts[0].sshd
    assert sshd is not None and sshd.returncode is not None
    assert not Path("/sys/class/net", hosts.name).exists()
    assert not Path("/run/netns", hosts[0].namespace).exists()
