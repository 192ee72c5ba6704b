"""The settings of a deployment: defaults, refusals, and that nothing else reads the environment."""

import re
from pathlib import Path

import pytest
from ops_platform import pod_settings, settings

from ops_common.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_defaults_lie_in_the_checkout() -> None:
    found = settings.load({})
    assert found.project_root == ROOT
    assert (found.data_root, found.runs_root) == (ROOT / ".ops/data", ROOT / ".ops/runs")
    assert (found.nightly_cron, found.mode, found.asked_ports) == ("0 2 * * *", "local", {})


def test_relative_folders_are_meant_from_the_checkout() -> None:
    found = settings.load({"OPS_PROJECT_ROOT": "/srv/ops", "OPS_HOME": "state", "OPS_RUNS_ROOT": "/mnt/runs"})
    assert (found.home, found.data_root, found.runs_root) == (
        Path("/srv/ops/state"),
        Path("/srv/ops/state/data"),
        Path("/mnt/runs"),
    )
    assert (found.rundb, found.checkout) == ("/mnt/runs/run-db", Path("/srv/ops/state/product"))
    found = settings.load({"OPS_PROJECT_ROOT": "/srv/ops", "OPS_RUNDB": "db", "OPS_EXPRESSION_DESTINATION": "s3://m/x"})
    assert (found.rundb, found.expression_destination) == ("/srv/ops/db", "s3://m/x")


@pytest.mark.parametrize("text", ["off", "none", "", "OFF"])
def test_the_nightly_run_can_be_switched_off(text: str) -> None:
    assert settings.load({"OPS_NIGHTLY_CRON": text}).nightly_cron == ""


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"OPS_MODE": "cloud"}, "OPS_MODE=cloud: not a mode"),
        ({"OPS_CONTINUE_CRON": "weekly"}, "OPS_CONTINUE_CRON=weekly: not a cron expression"),
        ({"OPS_NIGHTLY_STEPS": "many"}, "OPS_NIGHTLY_STEPS=many: not a number"),
        ({"OPS_NIGHTLY_CRON": "2 am"}, "OPS_NIGHTLY_CRON=2 am: not a cron expression"),
        ({"OPS_AIRFLOW_PORT": "http"}, "OPS_AIRFLOW_PORT=http: not a port"),
        ({"OPS_TENSORBOARD_URL": "javascript:alert(1)"}, "OPS_TENSORBOARD_URL=javascript:alert(1): not a web address"),
        ({"OPS_S3_PORT": "70000"}, "OPS_S3_PORT=70000: not a port"),
        ({"OPS_S3_PORT": "0"}, "OPS_S3_PORT=0: not a port"),
        ({"OPS_STOP_GRACE_SECONDS": "soon"}, "OPS_STOP_GRACE_SECONDS=soon: not a number"),
        ({"OPS_STOP_GRACE_SECONDS": "-1"}, "OPS_STOP_GRACE_SECONDS=-1: not a number"),
        ({"OPS_POD_VOLUMES": "pvc:/claim:/data"}, "OPS_POD_VOLUMES: pvc:/claim:/data is no volume"),
        ({"OPS_POD_VOLUMES": "host:folder:/data"}, "OPS_POD_VOLUMES: host:folder:/data is no volume"),
        ({"OPS_POD_VOLUMES": "host:/a:/b/../c"}, "OPS_POD_VOLUMES: host:/a:/b/../c is no volume"),
        ({"OPS_POD_VOLUMES": "host:/a:/"}, "OPS_POD_VOLUMES: host:/a:/ is no volume"),
        ({"OPS_POD_EXCHANGE": "/srv/pods"}, "OPS_POD_EXCHANGE: "),
        ({"OPS_POD_NAMESPACE": "My Space"}, "OPS_POD_NAMESPACE=My Space: no name in Kubernetes"),
        ({"OPS_POD_GPUS": "some"}, "OPS_POD_*: gpus"),
        ({"OPS_POD_MEMORY": "16 GB"}, "OPS_POD_*: memory"),
        ({"OPS_POD_TOLERATIONS": "gpu:Sometimes"}, "OPS_POD_*: tolerations"),
        ({"OPS_POD_NODE_SELECTOR": "gpu"}, "OPS_POD_NODE_SELECTOR: gpu: not label=value"),
        ({"OPS_POD_IMAGE_POLICY": "Often"}, "OPS_POD_IMAGE_POLICY=Often: not known"),
        ({"OPS_POD_KEEP_FAILED": "maybe"}, "OPS_POD_KEEP_FAILED=maybe: says neither yes nor no"),
        ({"OPS_POD_CHECK_SECONDS": "0"}, "OPS_POD_CHECK_SECONDS=0: not a time in seconds"),
        ({"OPS_KUBECONFIG": "k", "OPS_KUBERNETES_CONNECTION": "c"}, "OPS_KUBECONFIG and OPS_KUBERNETES_CONNECTION"),
        ({"OPS_RETRIES": "inf"}, "OPS_RETRIES=inf: not a number"),
        ({"OPS_RETRIES": "nan"}, "OPS_RETRIES=nan: not a number"),
    ],
)
def test_wrong_values_name_the_variable(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        settings.load(variables)


def test_the_example_file_lists_every_variable() -> None:
    source = Path(settings.__file__).read_text() + Path(pod_settings.__file__).read_text()
    read = set(re.findall(r'"(OPS_[A-Z0-9_]+)"', source))
    listed = set(re.findall(r"^#? ?(OPS_[A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read == listed


def test_nothing_else_on_the_dag_side_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("plugins", "dags")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"os\.environ|os\.getenv", path.read_text())
    }
    # the S3 server hands its own environment on to the program that it becomes; the others are programs of people:
    # the doctor looks at their environment, OpenTelemetry's variables are the export's, the reference sets Airflow's
    programs = {"s3_server.py", "repeat.py", "doctor/__main__.py", "metrics/export.py", "reference/__main__.py"}
    assert readers - {f"plugins/ops_platform/{name}" for name in programs} == {"plugins/ops_platform/settings.py"}


def test_secrets_of_the_platform_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW_CONN_X", "AWS_SECRET_ACCESS_KEY", "PYTHONDONTWRITEBYTECODE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("LANG_OF_TEST", "kept")
    given = settings.child_environment(settings.load({}), {"AWS_ACCESS_KEY_ID": "given"})
    assert given["LANG_OF_TEST"] == "kept"
    assert given["AWS_ACCESS_KEY_ID"] == "given"
    assert not {name for name in given if name.startswith(("AIRFLOW", "PYTHONDONT")) or name == "AWS_SECRET_ACCESS_KEY"}
