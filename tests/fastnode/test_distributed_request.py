"""What may be asked of the distributed workflow: hosts that reach no shell, limits, and the plans that follow."""

from pathlib import Path
from typing import Any

import pytest

from fastnode_ops.distributed_request import DEFAULT_REMOTE_DIR, DistributedRequest, plan_distributed
from fastnode_ops.requests import plan_standalone
from ops_common.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with settings and ssh files."""
    (tmp_path / "config/fastnode").mkdir(parents=True)
    (tmp_path / "config/fastnode/expression.toml").write_text("")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/known hosts").write_text("")
    return tmp_path


def places(root: Path) -> dict[str, Any]:
    deployment = {"destination": "s3://models", "rundb": str(root / "run-db"), "checkout": root / "product"}
    return {"project_root": root, "data_root": root / "data", "run_dir": root / "runs/run-7", **deployment}


def plan(root: Path, **values: Any) -> dict[str, Any]:
    return plan_distributed(values, **places(root))


def test_it_holds_all_of_a_standalone_plan(root: Path) -> None:
    values = {"steps": 300, "model_name": "mine", "batch": 5, "pin": False}
    both = plan(root, **values, hosts=["host-a"])
    assert both.items() >= plan_standalone(values, **places(root)).items()


def test_without_hosts_this_machine_makes_everything(root: Path) -> None:
    made = plan(root, steps=1_001)
    assert made["hosts"] == ["this-machine"]
    assert made["remote_dir"] == str(root / "data/.datagen")  # no corpus can have this name
    assert made["synced_hosts"] == [made["samples_dir"]] == [str(root / "data/.datagen/samples/run-7")]
    assert (made["data_steps"], made["min_files"], made["delete_remote"]) == (1_001, 1, True)
    assert made["data_dir"] == str(root / "runs/run-7/data")
    assert (made["patience_seconds"], made["first_files_hours"]) == (3_600, 12)


def test_hosts_are_reached_over_ssh_but_for_this_machine(root: Path) -> None:
    hosts = ["gen@host-a:2222", "[2001:db8::1]", "this-machine"]
    made = plan(root, hosts=hosts, ssh_known_hosts="keys/known hosts", remote_python="/opt/python")
    assert made["remote_dir"] == DEFAULT_REMOTE_DIR
    assert made["synced_hosts"] == [*hosts[:2], "/data/datagen/samples/run-7"]
    assert (made["ssh_key"], made["ssh_known_hosts"]) == ("", str(root / "keys/known hosts"))
    assert made["remote_python"] == "/opt/python"
    assert plan(root, hosts=["this-machine"], remote_dir="/srv/gen")["samples_dir"] == "/srv/gen/samples/run-7"


def test_samples_that_are_read_again_stay_on_the_hosts(root: Path) -> None:
    made = plan(root, steps=1_000, data_steps=100, samples_per_file=30, min_files_before_training=9)
    assert (made["data_steps"], made["delete_remote"]) == (100, False)
    assert made["min_files"] == 4  # there are no more
    assert plan(root, steps=10, data_steps=100)["data_steps"] == 10
    assert plan(root, steps=1_000, data_steps=100, delete_remote=True)["delete_remote"] is True
    assert plan(root, steps=1_000, dry_run=True)["data_steps"] == 10


def test_tasks_make_the_samples_in_the_place_of_hosts(root: Path) -> None:
    made = plan(root, sample_tasks=3, sample_pod={"memory": "2Gi"}, pod={"gpus": 1})
    assert (made["hosts"], made["shares"]) == ([], ["1-of-3", "2-of-3", "3-of-3"])
    assert made["share_dir"] == str(root / "runs/run-7/shares/{item}")
    assert made["share_samples"] == f"{made['share_dir']}/samples"
    assert made["synced_hosts"] == [str(root / f"runs/run-7/shares/{share}/samples") for share in made["shares"]]
    assert (made["pod"], made["sample_pod"]) == ({"gpus": 1}, {"gpus": 0, "memory": "2Gi"})  # no GPU for samples
    assert plan(root, sample_tasks=1, sample_pod={"gpus": 2})["sample_pod"] == {"gpus": 2}
    assert plan(root)["shares"] == []


@pytest.mark.parametrize(
    "name",
    ["-oProxyCommand=id", "a b", "a,b", "$(id)", "`id`", "a;id", "a'b", 'a"b', "a\nb", "", " ", "u@-v", "a:0", "a:ssh"],
)
def test_what_is_no_hosts_name_is_refused_by_name(root: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^conf: hosts: host .* is not a") as caught:
        plan(root, hosts=["host-a", name])
    assert repr(name)[1:-1] in str(caught.value)
    assert "write [user@]name[:port]" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hosts": ["a", "a"]}, "conf: hosts: host a is given twice"),
        ({"hosts": [f"h{n}" for n in range(1_001)]}, "conf: hosts"),
        ({"remote_dir": "data"}, "conf: remote_dir"),
        ({"remote_dir": "/data/$(id)*"}, "conf: remote_dir"),
        ({"remote_python": "python3"}, "conf: remote_python"),
        ({"samples_per_file": 0}, "conf: samples_per_file"),
        ({"max_local_bytes": 10}, "conf: max_local_bytes"),
        ({"syncer_address": "-x"}, "conf: syncer_address"),
        ({"host": ["a"]}, "conf: unknown setting .host."),
        ({"hosts": ["a"], "sample_tasks": 1}, "hosts and sample_tasks both say who makes the samples"),
        ({"sample_tasks": 1_001}, "conf: sample_tasks"),
        ({"sample_tasks": 1, "sample_pod": {"gpu": 1}}, "conf: sample_pod"),
    ],
)
def test_wrong_values_are_named(root: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(root, **values)


@pytest.mark.parametrize("name", ["ssh_key", "ssh_known_hosts", "ssh_config"])
def test_a_file_that_is_missing_is_named(root: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"conf: {name}: .*keys/none does not exist"):
        plan(root, **{name: "keys/none"})


def test_every_field_of_a_form_has_a_default_and_words() -> None:
    for name, field in DistributedRequest.model_fields.items():
        assert field.description and not field.is_required(), name
