"""The trainer's side of the sync program (specification 11.3): what it is done with, and whether more can come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import httpx
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops_common.errors import ConfigError, ServiceError

_TIMEOUT = httpx.Timeout(10.0)
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_START_HINT = "start it with `make sync`"


class SyncerRefusal(ServiceError):
    """The syncer cannot begin another epoch: files were deleted where they were made."""


class SyncerState(BaseModel):
    """What the trainer needs to know of the syncer's state.

    Args:
        num_used: Files that were reported used in this epoch, and are not fetched again in it.
        paused: Whether it fetches nothing because its disk budget is used up.
    """

    model_config = ConfigDict(frozen=True)

    num_used: Annotated[int, Field(ge=0)]
    paused: bool


class SyncerClient:
    """Requests to a syncer, each sent once: who asks tries again in its own time.

    Args:
        url: Where it answers, such as `http://localhost:3087`.

    Raises:
        ConfigError: It is no URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"{url!r} is not the URL of a syncer: {error}", "give http://<host>:<port>") from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigError(f"{url!r} is not the URL of a syncer", "give http://<host>:<port>")
        self._client = httpx.Client(timeout=_TIMEOUT, trust_env=parsed.host not in _LOCAL_HOSTS)

    def report_used(self, file_names: Sequence[str]) -> None:
        """Say that files are not needed any more; the syncer deletes them.

        Raises:
            ServiceError: It does not answer, or refuses.
        """
        self._request("POST", "/used", orjson.dumps({"used": list(file_names)}))

    def reset(self) -> None:
        """Begin another epoch: files that were used are fetched again.

        Raises:
            SyncerRefusal: They were deleted where they were made.
            ServiceError: It does not answer, or refuses.
        """
        self._request("POST", "/reset", b"")

    def state(self) -> SyncerState:
        """Return its state.

        Raises:
            ServiceError: It does not answer, or what answers is no syncer.
        """
        content = self._request("GET", "/state", b"")
        try:
            return SyncerState.model_validate_json(content)
        except ValidationError:
            raise ServiceError(f"what answers at {self.url} is not a syncer", "give the URL of `make sync`") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        url = self.url + path
        try:
            response = self._client.request(method, url, content=body, headers={"content-type": "application/json"})
        except httpx.HTTPError as error:
            raise ServiceError(f"{url}: {error or type(error).__name__}", _START_HINT) from None
        if response.is_success:
            return response.content
        text = f"{url}: status {response.status_code}: {response.text[:2_000]}"
        if response.status_code == httpx.codes.CONFLICT:
            raise SyncerRefusal(text, "make the samples again, or sync without deleting them on the hosts")
        raise ServiceError(text, "is this a syncer of ours?")
