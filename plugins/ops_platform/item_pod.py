"""The command of a task function for one item of a list, in a pod. Made by `item_tasks` where it is to be so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk.definitions.context import Context

from ops_platform.command_line import ITEM, with_item
from ops_platform.pods import PodTask


class ItemPodTask(PodTask):
    """Runs the command of a task function for one item in a pod.

    Args:
        item: The item; a function's argument.
        item_name: That argument's name.
        **kwargs: As `PodTask` takes them.
    """

    template_fields: Sequence[str] = (*PodTask.template_fields, "item")

    def __init__(self, *, item: Any, item_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.item = item
        self.item_name = item_name

    def _plan(self, context: Context) -> None:
        """Also where the triggerer hands the task back, to a process that knows nothing of the item yet."""
        self.task_arguments = with_item(self.task_arguments, self.item_name, self.item)
        self.run_dir = str(self.run_dir).replace(ITEM, str(self.item))
        self.files_name = f"{self.task_id}.{context['ti'].map_index}"
        super()._plan(context)
