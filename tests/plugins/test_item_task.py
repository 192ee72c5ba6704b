"""`item_tasks`: the command of a task function once for each item, with files of its own."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

from tests.plugins.pod_cluster import FAKES, context  # noqa: E402

sys.path.insert(0, str(FAKES))

from airflow.sdk import DAG  # noqa: E402
from kubernetes_api.api import Cluster  # noqa: E402
from ops_fake import tasks  # noqa: E402
from ops_platform.item_pod import ItemPodTask  # noqa: E402
from ops_platform.item_task import ItemTask, each_of, item_tasks  # noqa: E402

from ops_common.errors import ConfigError  # noqa: E402


def of(items: list[str], **values: Any) -> Any:
    with DAG("of-items"):
        return item_tasks(tasks.describe_arguments, item="text", items=each_of(items), retries=1, **values)


def test_there_is_one_task_for_each_item_with_its_name_in_the_page() -> None:
    mapped = of(["a", "b"], run_dir="/runs/1", count=2)
    assert (mapped.task_id, mapped.is_mapped, mapped.retries) == ("describe_arguments", True, 1)
    assert mapped.map_index_template == "{{ task.item }}"
    assert mapped.partial_kwargs["arguments"] == {"count": 2, "run_dir": "/runs/1"}


def test_a_wrong_argument_is_told_while_the_file_is_parsed() -> None:
    with pytest.raises(ConfigError, match="describe_arguments has no argument 'nothing'"):
        of(["a"], run_dir="/runs/1", nothing=2)


def test_an_item_in_a_pod_has_a_folder_of_its_own(cluster: Cluster, deployment: Path) -> None:
    with DAG("of-pods"):
        mapped = item_tasks(
            tasks.describe_arguments, item="text", items=each_of(["one"]), run_dir="/runs/{item}", pod={"gpus": 0}
        )
    assert mapped.operator_class is ItemPodTask and mapped.map_index_template == "{{ task.item }}"
    for index, item in enumerate(["one", "two words"]):
        made = ItemPodTask(
            task_id="describe_arguments",
            library="ops_fake",
            function=tasks.describe_arguments,
            task_arguments={"run_dir": f"{deployment}/{{item}}", "names": ["{item}"]},
            run_dir=f"{deployment}/{{item}}",
            item=item,
            item_name="text",
        )
        answer = made.execute(context(map_index=index))
        assert (answer["text"], answer["run_dir"], answer["names"]) == (item, f"{deployment}/{item}", "{item}")
        result = json.loads((deployment / item / f"results/describe_arguments.{index}.json").read_bytes())
        assert result == answer
    assert [pod["metadata"]["labels"]["map_index"] for pod in cluster.made] == ["0", "1"]


def test_each_item_has_its_own_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(tasks.__file__).parents[1]))
    for index, item in enumerate(["one", "two words"]):
        made = ItemTask(
            task_id="describe_arguments",
            library="ops_fake",
            function=tasks.describe_arguments,
            arguments={"run_dir": str(tmp_path)},
            run_dir=str(tmp_path),
            item=item,
            item_name="text",
        )
        context: Any = {"ti": SimpleNamespace(map_index=index)}
        answer = ItemTask.execute.__wrapped__(made, context)  # type: ignore[attr-defined]
        assert answer["text"] == item
        result = json.loads((tmp_path / f"results/describe_arguments.{index}.json").read_bytes())
        assert result == answer
