"""`item_tasks(function, item=..., items=...)`: the command of a task function once for each item of a list.

What the list is, is known when the run is; each item is a task of its own, with the item's name in the page. The result
files are `results/<function>.<number>.json`. Where the deployment says so, each has a pod of its own (`item_pod.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from airflow.sdk import XComArg, task
from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.mappedoperator import MappedOperator

from ops_platform import settings
from ops_platform.command_line import ITEM, with_item
from ops_platform.op_task import OpTask, complete_arguments, shared_fields


class ItemTask(OpTask):
    """Runs the command of a task function for one item. Made by `item_tasks`.

    Args:
        item: The item; a function's argument.
        item_name: That argument's name.
        **kwargs: As `OpTask` takes them.
    """

    template_fields: Collection[str] = (*OpTask.template_fields, "item")

    def __init__(self, *, item: Any, item_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.item = item
        self.item_name = item_name

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the command and return what it wrote into its result file."""
        self.arguments = with_item(self.arguments, self.item_name, self.item)
        self.run_dir = str(self.run_dir).replace(ITEM, str(self.item))
        self.files_name = f"{self.task_id}.{context['ti'].map_index}"
        return super().execute(context)


def item_tasks(
    function: Callable[..., Any],
    *,
    item: str,
    items: XComArg,
    run_dir: Any,
    retries: int | None = None,
    pool: str | None = None,
    pod: Any = None,
    **arguments: Any,
) -> MappedOperator:
    """Tasks that run the command of a task function, one for each item.

    Args:
        function: A task function of a library.
        item: The argument that is another one in each task.
        items: Its values: the list that a task returns.
        run_dir: Folder of the run; `{item}` in it, and in the arguments, stands for the item.
        retries: How often each is tried again; None: as every task.
        pool: Airflow pool that limits how many such tasks run at once.
        pod: What this run asks of each task's pod, an XCom; for no child process.
        **arguments: The function's other arguments; templates and XComs are allowed.

    Raises:
        ConfigError: An argument does not fit the function's signature, or the deployment's settings are wrong.
    """
    config = settings.load()
    values = complete_arguments(function, run_dir, {**arguments, item: "{{ item }}"})
    del values[item]
    common: dict[str, Any] = {
        **shared_fields(function, config),
        **({"retries": retries} if retries is not None else {}),
        **({"pool": pool} if pool else {}),
        "run_dir": run_dir,
        "item_name": item,
        "map_index_template": "{{ task.item }}",
    }
    if config.mode == "pod" and function.__name__ in config.pods.tasks:
        from ops_platform.item_pod import ItemPodTask  # loads a client of Kubernetes, as `op_task` says

        return ItemPodTask.partial(**common, task_arguments=values, pod_request=pod).expand(item=items)
    return ItemTask.partial(**common, arguments=values).expand(item=items)


@task
def each_of(values: list[str]) -> list[str]:
    """The items of a list as what tasks are made for: Airflow takes whole results of tasks only."""
    return values
