"""Sessions: who reads which steps, and until when (specification 5.3)."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastnode_ops.server.jobs import MadeStep, MakeStep, OpenedSession, OpenSession
from fastnode_ops.server.stream import StepStream
from fastnode_ops.server.workers import URGENT, WorkerPool
from fastnode_ops.web.refusals import RefusedError
from ops_common.errors import OpsError

MAX_SESSIONS = 10
IDLE_SECONDS = 300.0
STEPS_PER_WORKER = 4
"""Steps that are computed ahead per worker and session."""


@dataclass(slots=True, eq=False)
class Session:
    """One reader.

    Args:
        id: Its number.
        num_batches: How many steps a response has.
        stream: Its steps.
        request: The file with its request.
    """

    id: int
    num_batches: int
    stream: StepStream[MadeStep]
    request: Path
    last_request: float
    last_request_at: float
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    num_serving: int = 0
    num_built: int = 0
    num_failed: int = 0
    drops: Counter[str] = field(default_factory=Counter)

    def info(self) -> dict[str, Any]:
        """Return its statistics; the first four names are the reference's."""
        return {
            "BuildCount": self.num_built + self.num_failed,
            "BuildErrCount": self.num_failed,
            "BuildOKCount": self.num_built,
            "LastRequest": datetime.fromtimestamp(self.last_request_at, UTC).isoformat(),
            "NextStep": self.stream.next_step,
            "Drops": dict(sorted(self.drops.items())),
        }


class Sessions:
    """All sessions of a server. To be used in one event loop.

    Args:
        pool: Makes the steps.
        max_sessions: One more ends the session whose last request is oldest.
        idle_seconds: A session that serves nothing and was not asked for that long ends.
        clock: Seconds that only ever grow.
        wall_clock: Seconds since the epoch, for ids and to be read by people.
    """

    def __init__(
        self,
        pool: WorkerPool,
        *,
        max_sessions: int = MAX_SESSIONS,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._max_sessions = max_sessions
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._wall_clock = wall_clock
        self._sessions: dict[int, Session] = {}
        self._last_id = 0
        self._folder = Path(tempfile.mkdtemp(prefix="graph-data-server-"))

    def __len__(self) -> int:
        return len(self._sessions)

    async def create(self, body: bytes) -> Session:
        """Begin a session with a request as it was sent.

        Raises:
            RefusedError: The request is wrong (400).
            OpsError: It cannot be fulfilled with this corpus.
        """
        session_id = self._last_id = max(int(self._wall_clock() * 1000), self._last_id + 1)
        request = self._folder / f"{session_id}.json"
        await asyncio.to_thread(request.write_bytes, body)
        try:
            opened: OpenedSession = await asyncio.wrap_future(self._pool.submit(OpenSession(request), URGENT))
        except BaseException:
            request.unlink(missing_ok=True)
            raise
        while len(self._sessions) >= self._max_sessions:
            self._end(min(self._sessions.values(), key=lambda session: (session.last_request, session.id)))

        def submit(step: int) -> Future[MadeStep]:
            return self._pool.submit(MakeStep(request, step))

        stream = StepStream(submit, opened.start_step, STEPS_PER_WORKER * self._pool.num_workers)
        session = Session(session_id, opened.num_batches, stream, request, self._clock(), self._wall_clock())
        self._sessions[session_id] = session
        return session

    def get(self, session_id: int) -> Session:
        """Return a session, which counts as used now.

        Raises:
            RefusedError: There is none with this id (404).
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise RefusedError(404, f"there is no session {session_id}")
        self._touch(session)
        return session

    async def next_steps(self, session: Session, start_step: int | None = None) -> tuple[int, list[MadeStep]]:
        """Return the next steps of a session and the number of their first; other requests for it wait.

        Args:
            session: Which one.
            start_step: Go on with this step instead of the one after the last.

        Raises:
            OpsError: A step cannot be made, or the session was shut down.
        """
        session.num_serving += 1
        try:
            async with session.turn:
                if start_step is not None:
                    session.stream.seek(start_step)
                first = session.stream.next_step
                return first, [await self._take(session) for _ in range(session.num_batches)]
        finally:
            session.num_serving -= 1
            self._touch(session)

    def kill(self, session_id: int) -> None:
        """End a session.

        Raises:
            RefusedError: There is none with this id (400, as in the reference).
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise RefusedError(400, f"there is no session {session_id}")
        self._end(session)

    def expire(self) -> None:
        """End the sessions that nobody uses any more."""
        limit = self._clock() - self._idle_seconds
        for session in list(self._sessions.values()):
            if not session.num_serving and session.last_request <= limit:
                self._end(session)

    def close(self) -> None:
        """End all sessions."""
        for session in list(self._sessions.values()):
            self._end(session)
        shutil.rmtree(self._folder, ignore_errors=True)

    def info(self) -> dict[str, dict[str, Any]]:
        """Return the statistics of all sessions by id."""
        return {str(session_id): session.info() for session_id, session in sorted(self._sessions.items())}

    async def _take(self, session: Session) -> MadeStep:
        try:
            step = await session.stream.take()
        except OpsError:
            session.num_failed += 1
            raise
        session.num_built += 1
        session.drops.update(step.drops)
        return step

    def _touch(self, session: Session) -> None:
        session.last_request, session.last_request_at = self._clock(), self._wall_clock()

    def _end(self, session: Session) -> None:
        del self._sessions[session.id]
        session.stream.close()
        session.request.unlink(missing_ok=True)
