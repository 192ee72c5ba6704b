"""The operator's trigger with patience before its first look. Runs in the triggerer, so it has to stand in plugins/."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

FIRST_LOOK_SECONDS = 10.0
"""A trigger that fires within a few seconds of the deferral can overtake the report that the task was deferred; the
scheduler of the LocalExecutor then takes the task for failed. With ten seconds that was not seen in 36 deferrals."""


class PatientPodTrigger(KubernetesPodTrigger):
    """Watches a pod, but lets the deferral settle first.

    Args:
        first_look_seconds: Pause before the first look.
        **kwargs: As `KubernetesPodTrigger` takes them.
    """

    def __init__(self, *, first_look_seconds: float = FIRST_LOOK_SECONDS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first_look_seconds = first_look_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes it again."""
        _, arguments = super().serialize()
        name = f"{PatientPodTrigger.__module__}.{PatientPodTrigger.__qualname__}"
        return name, {**arguments, "first_look_seconds": self.first_look_seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, then watch until there is something to say."""
        await asyncio.sleep(self.first_look_seconds)
        async for event in super().run():
            yield event
