"""What a pod runs and sees: commands, folders, the template. Without Kubernetes, and without Airflow."""

import sys
from pathlib import Path
from typing import Any

import pytest
from ops_platform import settings
from ops_platform.pod_work import PodWork, plan_work, render_pod

from ops_common.errors import ConfigError
from ops_common.pod_request import PodRequest, toleration_fields

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
from ops_fake import tasks

BASE = {"OPS_PROJECT_ROOT": "/srv", "OPS_DATA_ROOT": "/srv/data", "OPS_RUNS_ROOT": "/srv/runs"}
EXCHANGE = {"OPS_POD_EXCHANGE": "s3://models/pods"}


def work(environment: dict[str, str], **arguments: Any) -> PodWork:
    values = {"run_dir": "/srv/runs/dag/r", "data_dir": "/srv/data/d", **arguments}
    return plan_work(
        "ops_fake",
        tasks.change_folder,
        values,
        run_dir=Path("/srv/runs/dag/r"),
        files_name="change_folder",
        exchange_name="dag/r/change_folder",
        config=settings.load({**BASE, **environment}),
    )


def rendered(variables: dict[str, str], request: PodRequest | None = None, **values: Any) -> dict[str, Any]:
    config = settings.load({**BASE, **EXCHANGE, **variables})
    given = {"environment": {"AWS_ENDPOINT_URL": "http://s3:9000"}, "needs_secret": True, **values}
    planned = work({**EXCHANGE, **variables})
    request = request or PodRequest()
    return render_pod(planned, library="ops_fake", function="change_folder", request=request, pods=config.pods, **given)


def test_the_command_is_that_of_the_local_mode_in_a_wrapper() -> None:
    planned = work({"OPS_POD_VOLUMES": "pvc:training:/srv"}, fail=True)
    wrapper, task = planned.command[: planned.command.index("--")], planned.command[planned.command.index("--") + 1 :]
    result = "--result-file=/srv/runs/dag/r/results/change_folder.json"
    assert wrapper == ["python3", "-m", "ops_common.pod_command", result, "--result-copy=/airflow/xcom/return.json"]
    options = ["--run-dir=/srv/runs/dag/r", "--data-dir=/srv/data/d", "--fail"]
    assert task == ["python3", "-m", "ops_fake", "change-folder", *options, result]
    assert (planned.folders, planned.own_folders) == ({}, [])


def test_folders_on_no_volume_are_exchanged_each_once() -> None:
    planned = work(EXCHANGE, data_dir="/srv/runs/dag/r/data")
    assert planned.folders == {"run_dir": Path("/srv/runs/dag/r")}
    planned = work(EXCHANGE)
    assert planned.folders == {"run_dir": Path("/srv/runs/dag/r"), "data_dir": Path("/srv/data/d")}
    assert planned.own_folders == [Path("/srv/data"), Path("/srv/runs")]
    planned = work({**EXCHANGE, "OPS_POD_VOLUMES": "pvc:data:/srv/data"}, data_dir="/srv/data/d")
    assert planned.folders == {"run_dir": Path("/srv/runs/dag/r")}
    assert "--folder=run_dir=/srv/runs/dag/r" in planned.command
    assert work(EXCHANGE, data_dir="/mnt/elsewhere/d").own_folders == [Path("/mnt/elsewhere/d"), Path("/srv/runs")]


def test_a_folder_that_pods_cannot_see_is_an_error() -> None:
    with pytest.raises(ConfigError, match="data_dir /srv/data/d is on no volume that pods see"):
        work({"OPS_POD_VOLUMES": "pvc:runs:/srv/runs"})


def test_a_file_of_the_workers_disk_is_copied_into_the_run(tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("x = 1")
    planned = work(EXCHANGE, config_file=str(config))
    copy = Path("/srv/runs/dag/r/results/.change_folder.inputs/config_file-settings.toml")
    assert planned.inputs == {config: copy}
    assert f"--config-file={copy}" in planned.command


def test_a_run_asks_and_the_deployment_says_the_rest() -> None:
    environment = {
        "OPS_POD_GPUS": "1",
        "OPS_POD_CPU": "4",
        "OPS_POD_MEMORY": "8Gi",
        "OPS_POD_GPU_RESOURCE": "amd.com/gpu",
        "OPS_POD_NODE_SELECTOR": "pool=gpu",
        "OPS_POD_TOLERATIONS": "gpu:NoSchedule spot=yes",
        "OPS_POD_SECRET": "s3-keys",
        "OPS_POD_NAMESPACE": "ml",
        "OPS_POD_VOLUMES": "pvc:data:/srv/data host:/mnt/cache:/cache",
    }
    pod = rendered(environment, PodRequest(gpus=2, memory="16Gi"))
    (container,) = pod["spec"]["containers"]
    assert pod["metadata"]["namespace"] == "ml"
    assert container["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"memory": "16Gi", "amd.com/gpu": "2"},
    }
    assert pod["spec"]["nodeSelector"] == {"pool": "gpu"}
    assert pod["spec"]["tolerations"] == [
        {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "spot", "operator": "Equal", "value": "yes"},
    ]
    assert container["envFrom"] == [{"secretRef": {"name": "s3-keys"}}]
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["volume-0", "volume-1", "own"]
    assert pod["spec"]["volumes"][1]["hostPath"] == {"path": "/mnt/cache", "type": "Directory"}
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/srv/data", "/cache", "/srv/runs"}
    without = rendered(environment, needs_secret=False)
    assert "envFrom" not in without["spec"]["containers"][0]


def test_no_text_changes_the_form_of_the_pod() -> None:
    odd = "x\"}\n    hostNetwork: true # '{{ 7 * 7 }}' <&>"
    pod = rendered({}, environment={"ODD": odd})
    assert {"name": "ODD", "value": odd} in pod["spec"]["containers"][0]["env"]
    assert "hostNetwork" not in pod["spec"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Job", "its kind is not Pod"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("a: [", "does not make a pod"),
    ],
)
def test_a_template_that_makes_no_pod_is_named(tmp_path: Path, text: str, message: str) -> None:
    template = tmp_path / "mine.yaml.j2"
    template.write_text(text)
    with pytest.raises(ConfigError, match=message):
        rendered({"OPS_POD_TEMPLATE": str(template)})


def test_a_request_is_laid_over_the_defaults() -> None:
    defaults = PodRequest(gpus=1, cpu="4", node_selector={"a": "b"})
    assert PodRequest(gpus=0).over(defaults) == PodRequest(gpus=0, cpu="4", node_selector={"a": "b"})
    assert toleration_fields("k=") == {"key": "k", "operator": "Equal", "value": ""}
