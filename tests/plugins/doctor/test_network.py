"""Ports that are taken, a real S3 server, real hosts over ssh, and the double of a cluster."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ops_platform import pod_settings, settings
from ops_platform.doctor import airflow_config, network
from ops_platform.doctor.cluster import check_cluster

from ops_common.errors import ConfigError
from ops_common.object_store import ObjectStore
from tests.local_s3 import IMPATIENT, SECRET_KEY, LocalS3
from tests.network_hosts import NetworkHosts, make_key
from tests.plugins.pod_cluster import Cluster, Fault


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_fails_where_it_was_asked_for(taken_port: int) -> None:
    found = {one.check: one for one in network.check_ports({"airflow": taken_port}, None)}[f"port {taken_port}"]
    assert found.status == "fail"
    assert "OPS_AIRFLOW_PORT" in found.hint
    assert "process" in found.text


def test_a_taken_port_that_may_move_is_a_warning(taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PORT_VARIABLES", {"s3": ("OPS_S3_PORT", taken_port)})
    (found,) = network.check_ports({}, None)
    assert (found.status, "takes the next free one" in found.text) == ("warn", True)


def test_a_place_that_works_is_left_as_it_was(destination: str) -> None:
    (found,) = network.check_object_store(destination)
    assert (found.status, "wrote, read, deleted" in found.text) == ("ok", True)
    assert ObjectStore.from_uri(destination, policy=IMPATIENT).is_empty()


def test_a_missing_bucket(destination: str) -> None:
    (found,) = network.check_object_store("s3://no-such-bucket-of-ours/models")
    assert (found.status, "no bucket" in found.text) == ("fail", True)


def test_wrong_keys_are_told_and_not_shown(destination: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-" + SECRET_KEY)
    (found,) = network.check_object_store(destination)
    assert found.status == "fail"
    assert SECRET_KEY not in repr(found)


def test_a_dead_server_is_given_up_soon(own_s3: LocalS3) -> None:
    own_s3.kill()
    (found,) = network.check_object_store("s3://own/models")
    assert (found.status, own_s3.endpoint in found.text) == ("fail", True)


def test_a_folder_needs_no_s3(tmp_path: Path) -> None:
    assert network.check_object_store(str(tmp_path))[0].status == "ok"


@pytest.mark.slow
def test_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with NetworkHosts(tmp_path, 2) as hosts:
        remote = str(hosts.data / "it's $(touch pwned)")
        found = network.check_hosts(hosts.names, remote, "", hosts.options)
        assert [one.status for one in found] == ["ok", "ok"], found
        assert all("rsync, Python" in one.text and "clock +0 s" in one.text for one in found)
        assert not list(hosts[0].home.iterdir())
        found = network.check_hosts(hosts.names[:1], remote, "/no/such/python", hosts.options)
        assert (found[0].status, found[0].hint) == ("fail", "install Python 3.11, or name one: REMOTE_PYTHON")
        make_key(tmp_path / "stranger")
        strange = replace(hosts.options, key_file=tmp_path / "stranger")
        assert "Permission denied" in network.check_hosts(hosts.names[:1], remote, "", strange)[0].text
        hosts[1].kill()
        statuses = [one.status for one in network.check_hosts(hosts.names, remote, "", hosts.options)]
        assert statuses == ["ok", "fail"]
        monkeypatch.setattr(network, "time", type("Late", (), {"time": staticmethod(lambda: 0.0)}))
        (found_late,) = network.check_hosts(hosts.names[:1], remote, "", hosts.options)
        assert (found_late.status, found_late.hint) == ("warn", "timedatectl set-ntp true")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["0", "none", "99000000", "3.11"], "no rsync"),
        (["0", "rsync", "1000", "3.11"], "0.0 GB free"),
        (["0", "rsync", "99000000", "3.9"], "python3 is 3.9"),
        (["nonsense"], "no sensible answer"),
    ],
)
def test_what_a_host_lacks(words: list[str], text: str) -> None:
    found = network._of_host(network.Host("gen1"), words, 0.0, 1.0, "")
    assert (found.status, text in found.text) == ("fail", True)


def test_a_key_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        network.ssh_options("/no/such/key", "", "")


@pytest.mark.parametrize(
    ("environment", "ours", "text"),
    [
        ({"CORE__EXECUTOR": "LocalExecutor"}, {}, "PARALLELISM is 32"),
        ({"CORE__PARALLELISM": "3"}, {"OPS_MODE": "pod", "OPS_POD_DEFERRABLE": "yes"}, "OPS_POD_DEFERRABLE"),
        ({"CORE__EXECUTOR": "CeleryExecutor", "DATABASE__SQL_ALCHEMY_CONN": "sqlite:///x"}, {}, "SQLite"),
        ({"CORE__EXECUTOR": "CeleryExecutor"}, {}, "JWT_SECRET"),
        ({"CORE__EXECUTOR": "CeleryExecutor"}, {}, "more than 24 hours"),
    ],
)
def test_traps_of_airflow(environment: dict[str, str], ours: dict[str, str], text: str) -> None:
    variables = {f"AIRFLOW__{name}": value for name, value in environment.items()}
    found = airflow_config.check_airflow(variables, settings.load(ours))
    assert any(text in one.text and one.status != "ok" and one.hint for one in found), found


def test_no_trap() -> None:
    variables = {"AIRFLOW__CORE__PARALLELISM": "3"}
    assert [one.status for one in airflow_config.check_airflow(variables, settings.load({}))] == ["ok"]
    assert airflow_config.check_stray_variables({"PATH": "x"}) == []
    assert airflow_config.check_stray_variables({"AIRFLOW_HOME": "x"})[0].status == "warn"


def pods(**variables: str) -> pod_settings.PodSettings:
    return pod_settings.load(variables, Path("/"))


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    assert check_cluster(pods(OPS_KUBECONFIG=str(tmp_path / "absent")))[0].status == "fail"
    assert check_cluster(pods(OPS_KUBERNETES_CONNECTION="k8s"))[0].status == "warn"


def test_what_we_may_do_in_a_cluster(cluster: Cluster) -> None:
    cluster.things = {"secrets/keys", "persistentvolumeclaims/state"}
    variables = {
        "OPS_KUBECONFIG": str(cluster.kube_config),
        "OPS_POD_SECRET": "keys",
        "OPS_POD_VOLUMES": "pvc:state:/state pvc:gone:/gone",
    }
    found = check_cluster(pods(**variables))
    assert [one.status for one in found] == ["ok", "ok", "ok", "fail"], found
    assert "no claim gone in default" in found[3].text
    cluster.refused = {("create", "exec"), ("delete", "")}
    found = check_cluster(pods(OPS_KUBECONFIG=str(cluster.kube_config)))
    assert "may not delete pods, create pods/exec" in found[0].text
    cluster.faults = [Fault("POST", "selfsubjectaccessreviews", 500)]
    assert "answers 500" in check_cluster(pods(OPS_KUBECONFIG=str(cluster.kube_config)))[0].text
    address = cluster.kube_config.read_text()
    cluster.kube_config.write_text(address.replace("token-of-the-double", "another"))
    found = check_cluster(pods(OPS_KUBECONFIG=str(cluster.kube_config)))
    assert (found[0].status, "answers 401" in found[0].text) == ("fail", True)


def test_a_cluster_that_has_ended(cluster: Cluster) -> None:
    cluster.stop()
    assert "does not answer" in check_cluster(pods(OPS_KUBECONFIG=str(cluster.kube_config)))[0].text
