"""The reader's side of the graph data server (specification 10.2).

One response is always fetched ahead in a thread, so training and sampling overlap. A lost session is created again with
the step that is needed next, and goes on exactly there (defect D28); pings come at a third of the session's time-out
(D27).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import orjson
import tenacity

from fastnode_ops.samples.batch import TrainingBatch
from fastnode_ops.samples.request import SessionRequest
from ops_common.errors import DataError, ServiceError

logger = logging.getLogger(__name__)

PING_SECONDS = 100.0  # a third of the 300 s after which a session ends
NUM_TRIES = 6
_RETRIED_STATUSES = frozenset({408, 429, 502, 503, 504})
_SHUT_DOWN = "session was shut down"
_TIMEOUT = httpx.Timeout(60.0, connect=10.0, read=900.0)
_SYMBOLS_PER_REQUEST = 2_000
_RESPONSES_PER_LOG = 3
_START_HINT = "start it with `python -m fastnode_ops graph-data-server`"


class LostSessionError(ServiceError):
    """The server does not know the session any more."""


class _TryAgainError(ServiceError):
    """The server may answer the next time."""


@dataclass(frozen=True, slots=True)
class _Response:
    first_step: int
    batches: list[TrainingBatch]


class ServerClient:
    """Plain requests to a graph data server, each tried a few times.

    Args:
        url: Where it answers, such as `http://127.0.0.1:3039`.
        num_tries: How often a request is sent at most.
        wait: Between two of them; exponential, up to 30 s, by default.
    """

    def __init__(self, url: str, *, num_tries: int = NUM_TRIES, wait: tenacity.wait.wait_base | None = None) -> None:
        self.url = url.rstrip("/")
        self._stopped = threading.Event()
        is_local = httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        # on one machine compressing costs more than it saves
        encoding = "identity" if is_local else "zstd, gzip"
        self._client = httpx.Client(timeout=_TIMEOUT, headers={"accept-encoding": encoding}, trust_env=not is_local)
        self._retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(num_tries),
            wait=wait or tenacity.wait_exponential(multiplier=0.5, max=30),
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, _TryAgainError) and not self._stopped.is_set()),
            before_sleep=lambda state: logger.warning("%s; trying again", state.outcome and state.outcome.exception()),
            sleep=tenacity.sleep_using_event(self._stopped),
            reraise=True,
        )

    def post(self, path: str, body: bytes) -> bytes:
        """Send a request until it is answered, and return the answer.

        Raises:
            LostSessionError: The session that it is about has ended.
            ServiceError: The server refuses it, or does not answer; the message names URL, status and text.
        """
        return self._retrying(self.post_once, path, body)

    def post_once(self, path: str, body: bytes) -> bytes:
        """Send a request once; errors as for `post`."""
        url = self.url + path
        try:
            response = self._client.post(url, content=body, headers={"content-type": "application/json"})
        except httpx.UnsupportedProtocol as error:
            raise ServiceError(f"{url}: {error}", "give a URL such as http://127.0.0.1:3039") from None
        except httpx.TransportError as error:
            raise _TryAgainError(f"{url}: {error or type(error).__name__}", _START_HINT) from None
        except httpx.HTTPError as error:
            raise ServiceError(f"{url}: {error}", "is this a graph data server?") from None
        if response.status_code == 200:
            return response.content
        text = f"{url}: status {response.status_code}: {response.text[:2_000]}"
        if path.startswith("/session") and (response.status_code == 404 or response.text == _SHUT_DOWN):
            raise LostSessionError(text)
        raise (_TryAgainError if response.status_code in _RETRIED_STATUSES else ServiceError)(text)

    def scores(self, symbols: Iterable[str], context: str, *, canonicalize: bool) -> dict[str, int]:
        """Return the count of each symbol in a context such as `call_func`; unknown symbols are left out."""
        wanted = sorted(set(symbols))
        found: dict[str, int] = {}
        for start in range(0, len(wanted), _SYMBOLS_PER_REQUEST):
            part = wanted[start : start + _SYMBOLS_PER_REQUEST]
            asked = {"symbols": part, "context": f"symbol_context_{context}", "canonicalize": canonicalize}
            found |= read_json(self.post("/symbol/scores", orjson.dumps(asked)), self.url)["scores"]
        return found

    def stop(self) -> None:
        """Wait no more for a server that does not answer."""
        self._stopped.set()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class SessionClient:
    """Reads the training batches of one session, step by step.

    Args:
        url: Where the server answers.
        request: What to draw; its `start_step` is the first step to be read.
        metainfo_digest: The metainfo that the request was made from; a feed says so to who trains with it.
        corpus_digest: The corpus that the request was made for; another one is refused. Empty: any.
        ping_seconds: How often to tell the server that we are still there.
        client: Sends the requests; made for the URL by default.
        following: Which step is read once those before a given one are: that one by default, None for no more. Asked
            where an answer ends.

    Raises:
        ServiceError: The server does not answer, or refuses the request.
        DataError: It serves another corpus.
    """

    def __init__(
        self,
        url: str,
        request: SessionRequest,
        *,
        metainfo_digest: str = "",
        corpus_digest: str = "",
        ping_seconds: float = PING_SECONDS,
        client: ServerClient | None = None,
        following: Callable[[int], int | None] = lambda step: step,
    ) -> None:
        self._client = client or ServerClient(url)
        self._request = request
        self._metainfo_digest = metainfo_digest
        self._corpus_digest = corpus_digest
        self._session = 0
        self._batches: deque[TrainingBatch] = deque()
        self._next_step: int | None = request.start_step
        self._following = following
        self._times: list[tuple[float, float, float]] = []
        self._stopped = threading.Event()
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch-batches")
        self._ahead: Future[_Response] | None = None
        self._pinger = threading.Thread(target=self._ping, args=(ping_seconds,), name="ping-session", daemon=True)
        try:
            self._take(self._fetch(request.start_step))
        except BaseException:
            self.close()
            raise
        self._pinger.start()

    @property
    def metainfo_digest(self) -> str:
        """Digest of the metainfo that the batches are made with."""
        return self._metainfo_digest

    def batch(self, step: int) -> TrainingBatch:
        """Return the batch of a step. Steps read in order are there already; others are asked for.

        Raises:
            ServiceError: The server does not answer, or cannot make the step.
        """
        if step != self._next_step:
            self._forget()
            self._next_step = step
        if not self._batches:
            ahead = self._ahead or self._fetcher.submit(self._fetch, step)
            self._ahead = None
            self._take(ahead.result())
        batch = self._batches.popleft()
        self._next_step = step + 1 if self._batches else self._following(step + 1)
        return batch

    def close(self) -> None:
        """End the session."""
        self._stopped.set()
        self._client.stop()
        self._kill()  # ends also the request that may be under way
        self._fetcher.shutdown(wait=True, cancel_futures=True)
        if self._pinger.is_alive():
            self._pinger.join()
        self._kill()  # one that came into being meanwhile
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, response: _Response) -> None:
        self._batches.extend(response.batches)
        following = self._following(response.first_step + len(response.batches))
        self._ahead = None if following is None else self._fetcher.submit(self._fetch, following)

    def _forget(self) -> None:
        self._batches.clear()
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _fetch(self, step: int) -> _Response:
        """Fetch the steps from a given one on."""
        started = time.monotonic()
        content = self._request_steps(step)
        requested = time.monotonic()
        value = read_json(content, self._client.url)
        decoded = time.monotonic()
        response = self._unpack(value, step)
        self._log_times(requested - started, decoded - requested, time.monotonic() - decoded)
        return response

    def _request_steps(self, step: int) -> bytes:
        """Ask for steps; in a new session when there is none yet, or when the old one is lost."""
        if self._session:
            try:
                return self._client.post("/session", self._session_body(step))
            except LostSessionError as error:
                if self._stopped.is_set():
                    raise
                logger.warning("%s; the session is created again at step %d", error.message, step)
        request = self._request.model_copy(update={"start_step": step})
        return self._client.post("/session", request.model_dump_json().encode())

    def _kill(self) -> None:
        if not self._session:
            return
        try:
            self._client.post_once("/session/kill", self._session_body())
        except ServiceError as error:
            logger.info("the session could not be ended: %s", error.message)
        self._session = 0

    def _unpack(self, value: Any, step: int) -> _Response:
        url = self._client.url
        try:
            self._session, first_step = int(value["session"]), int(value["first_step"])
            served, samples = str(value["corpus_digest"]), value["samples"]
            texts = [sample["data"]["expr"] for sample in samples]
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError(f"{url}: the answer has no {error}", "is this a graph data server of ours?") from None
        if self._corpus_digest and served != self._corpus_digest:
            raise DataError(
                f"{url} serves the corpus {served[:12]}, but metainfo.json was made from {self._corpus_digest[:12]}",
                "start the server with the corpus that metainfo.json was made from, or run `make traindata` again",
            )
        if first_step != step:
            raise ServiceError(f"{url}: asked for step {step}, got {first_step}")
        return _Response(first_step, [TrainingBatch.from_json(text) for text in texts])

    def _session_body(self, step: int | None = None) -> bytes:
        return orjson.dumps({"session": self._session} | ({} if step is None else {"start_step": step}))

    def _ping(self, seconds: float) -> None:
        while not self._stopped.wait(seconds):
            try:
                self._client.post_once("/session/ping", self._session_body())
            except ServiceError as error:  # the next fetch finds out, and knows what to do
                logger.warning("ping: %s", error.message)

    def _log_times(self, *times: float) -> None:
        self._times.append((times[0], times[1], times[2]))
        if len(self._times) == _RESPONSES_PER_LOG:
            means = [1000 * sum(column) / len(self._times) for column in zip(*self._times)]
            logger.info("responses: request %.0f ms, JSON %.0f ms, unpacking %.0f ms on average", *means)
            self._times.clear()


def read_json(content: bytes, url: str) -> Any:
    """Return the value of an answer.

    Raises:
        ServiceError: It is not JSON.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ServiceError(f"{url}: the answer is not JSON: {error}", "is this a graph data server?") from None
