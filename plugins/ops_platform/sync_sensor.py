"""A sensor that waits for sample files to arrive, without a worker: the triggerer asks the syncer (`GET /state`).

The deadline is a point in time and travels with the trigger, so that a restarted triggerer goes on with the same one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from typing import Any

import httpx
from airflow.sdk import BaseSensorOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout
from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import ValidationError

from ops_platform import settings
from ops_platform.sync_progress import SyncState, Wanted, Watch

FIRST_LOOK_SECONDS = 10.0
"""A trigger that fires within a few seconds of the deferral can overtake the report that the task was deferred; the
scheduler of the LocalExecutor then takes the task for failed. With ten seconds that was not seen in 36 deferrals."""

ANSWER_SECONDS = 10.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024

_MARGIN = timedelta(minutes=10)  # after the deadline the trigger itself says why; this is for one that is not there
_GONE_SECONDS = 300.0


class NoSyncerError(Exception):
    """What answers is not a syncer."""


class SyncTrigger(BaseTrigger):
    """Asks a syncer until enough is there, nothing can come any more, or the time is up.

    Args:
        syncer: Base URL of the syncer.
        num_files: Verified sample files to wait for.
        num_batches: Training batches in them to wait for.
        deadline: When to give up, in seconds since 1970.
        poll_seconds: Pause between two questions.
        lost_seconds: How long all hosts, or the syncer, may be out of reach.
        first_look_seconds: Pause before the first question.
    """

    def __init__(
        self,
        *,
        syncer: str,
        num_files: int,
        num_batches: int,
        deadline: float,
        poll_seconds: float,
        lost_seconds: float = _GONE_SECONDS,
        first_look_seconds: float = FIRST_LOOK_SECONDS,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._arguments = {
            "syncer": syncer,
            "num_files": num_files,
            "num_batches": num_batches,
            "deadline": deadline,
            "poll_seconds": poll_seconds,
            "lost_seconds": lost_seconds,
            "first_look_seconds": first_look_seconds,
        }
        self._syncer, self._deadline = syncer, deadline
        self._poll_seconds, self._lost_seconds = poll_seconds, lost_seconds
        self._first_look_seconds = first_look_seconds
        self._wanted = Wanted(num_files, num_batches)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How the triggerer makes it again."""
        return f"{SyncTrigger.__module__}.{SyncTrigger.__qualname__}", dict(self._arguments)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until there is something to say; one event."""
        await asyncio.sleep(self._first_look_seconds)
        watch, answered, faults = Watch(self._wanted, self._lost_seconds), time.monotonic(), ""
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
            while True:
                now = time.monotonic()
                try:
                    state = await _ask(client, self._syncer)
                    answered, faults = now, state.faults
                    outlook, reason = watch.look(state, now)
                except NoSyncerError as error:
                    outlook, reason, state = "hopeless", str(error), None
                except httpx.HTTPError as error:
                    outlook, reason, state = "waiting", "", None
                    faults = f"  the syncer at {self._syncer} does not answer: {error or type(error).__name__}"
                    if now - answered >= self._lost_seconds:
                        outlook, reason = "gone", f"the syncer did not answer for {now - answered:,.0f} s"
                if outlook == "waiting" and time.time() >= self._deadline:
                    outlook, reason = "late", "the time is up"
                if outlook != "waiting":
                    event = _event(outlook, reason, faults, state)
                    yield TriggerEvent(event)  # type: ignore[no-untyped-call]
                    return
                await asyncio.sleep(max(0.1, min(self._poll_seconds, self._deadline - time.time())))


class SyncSensor(BaseSensorOperator):
    """Waits for verified sample files in the triggerer. Its value says how many there were.

    Args:
        syncer: Base URL of the syncer; templated.
        num_files: Verified sample files to wait for; templated.
        num_batches: Training batches in them to wait for; templated.
        hours: How long to wait; templated.
        **kwargs: As every sensor takes them.
    """

    template_fields: Collection[str] = ("syncer", "num_files", "num_batches", "hours")
    ui_color = "#e7f5e9"

    def __init__(
        self, *, syncer: Any, num_files: Any = 1, num_batches: Any = 0, hours: Any = 12.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.syncer = syncer
        self.num_files = num_files
        self.num_batches = num_batches
        self.hours = hours

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's
        """Look once; when there is not enough, wait without a worker."""
        wanted = Wanted(int(self.num_files), int(self.num_batches))
        state = asyncio.run(_ask_once(str(self.syncer)))
        if state is not None and wanted.is_met(state):
            return _counts(state)
        config, seconds = settings.load(), float(self.hours) * 3_600
        self.log.info("waiting for %s from %s", wanted, self.syncer)
        self.defer(
            trigger=SyncTrigger(
                syncer=str(self.syncer),
                num_files=wanted.num_files,
                num_batches=wanted.num_batches,
                deadline=time.time() + seconds,
                poll_seconds=config.sync_poll_seconds,
                lost_seconds=config.sync_lost_seconds,
            ),
            method_name="resume",
            timeout=timedelta(seconds=seconds) + _MARGIN,
        )
        raise AssertionError("unreachable: defer raises")

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - Airflow's
        """Say what the triggerer saw."""
        outlook = event["outlook"]
        if outlook == "ready":
            return {name: event[name] for name in ("num_files", "num_batches")}
        wanted = Wanted(int(self.num_files), int(self.num_batches))
        told = f"no {wanted}: {event['reason']}; there are {event['num_files']:,} files"
        message = f"{told}\n{event['faults']}" if event["faults"] else told
        if outlook == "gone":
            raise AirflowException(f"{message}\nit can be retried")
        hint = "`datagen-status` and the syncer's log (tmp/syncer.log of the run) say more"
        raise (AirflowSensorTimeout if outlook == "late" else AirflowFailException)(f"{message}\n{hint}")


async def _ask_once(syncer: str) -> SyncState | None:
    """The syncer's state, or None: a first look, whatever is wrong shows in the next ones."""
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        try:
            return await _ask(client, syncer)
        except (httpx.HTTPError, NoSyncerError):
            return None


async def _ask(client: httpx.AsyncClient, syncer: str) -> SyncState:
    """Ask for the state.

    Raises:
        httpx.HTTPError: No answer, or one that says that the syncer cannot give any now.
        NoSyncerError: What answers is not a syncer.
    """
    content = bytearray()
    try:
        async with client.stream("GET", f"{syncer.rstrip('/')}/state") as answer:
            if answer.is_server_error:
                answer.raise_for_status()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise NoSyncerError(f"{syncer}/state answers more than {MAX_ANSWER_BYTES:,} bytes")
            if answer.is_success:
                return SyncState.model_validate_json(bytes(content))
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise NoSyncerError(f"{syncer!r} is not the URL of a syncer") from None
    except ValidationError:
        raise NoSyncerError(f"what answers at {syncer}/state is not a syncer") from None
    raise NoSyncerError(f"{syncer}/state answers {answer.status_code}: it is not a syncer")


def _event(outlook: str, reason: str, faults: str, state: SyncState | None) -> dict[str, Any]:
    counts = _counts(state) if state is not None else {"num_files": 0, "num_batches": 0}
    return {"outlook": outlook, "reason": reason, "faults": faults, **counts}


def _counts(state: SyncState) -> dict[str, int]:
    return {"num_files": state.num_verified, "num_batches": state.num_batches_verified}
