"""Which model is released at a destination, which ones were before, and how that changes: in one step, or not at all.

    <destination>/RELEASED.json                  the model that is released now: a copy of its entry
    <destination>/releases/<UTC>-<run>.json      one entry for each release and each roll back; never changed

An entry is written first, then the pointer, and only where the pointer is still the one that was looked at: the store
itself decides between two that release at once. Whatever fails before that leaves the old model released. Every entry
names the one before it, so the history is what the pointer leads to; an entry that it does not lead to is of a release
that lost, or was cut off, and never took effect.

    release_model   a model that was uploaded and passed its gate becomes the released one
    roll_back       an earlier model becomes the released one again, after each of its files was read
    read_released   the pointer
    read_history    all entries, newest first
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops_common.errors import ArtifactError, ConfigError, GateError, ServiceError
from ops_common.object_store import RetryPolicy
from ops_common.publishing import read_published, verify_published
from ops_common.release_record import Family
from ops_common.stores import Store, open_store

POINTER_NAME, HISTORY_FOLDER = "RELEASED.json", "releases"
PREVIOUS = "previous"
MANIFEST_NAMES: Mapping[Family, str] = {"gematria": "manifest.json", "pythonexpr": "MANIFEST.json"}
"""What completes an upload of each family."""

_TIME = "%t"
_MAX_ENTRIES = 100_000
_MAX_BYTES = 1_000_000
_NUM_TRIES = 5


class Release(BaseModel):
    """One entry of the history; the newest one that took effect is the pointer."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    family: Family
    run: str = Field(description="the run that released or rolled back")
    decision: Literal["released", "rolled_back"]
    model_uri: str = Field(description="prefix of the model's upload")
    manifest_sha256: str = Field(description="digest of the upload's manifest, which has those of its files")
    replaced: str = Field(description="model_uri that was released before; empty: none")
    replaced_entry: str = Field(description="key of the entry before; empty: none")
    entry: str = Field(description="key of this entry")
    figures: dict[str, float] = Field(default_factory=dict, description="of the model, by name")
    by: str = Field(default="", description="who; empty: nobody was asked, the gate alone decided")
    why: str = ""
    at: str = Field(description="UTC, ISO 8601")


def release_place(destination: str) -> str:
    """Where the pointer of a destination stands: the destination itself, up to the first part with a time (`%t`)."""
    parts = destination.rstrip("/").split("/")
    timed = next((index for index, part in enumerate(parts) if _TIME in part), len(parts))
    return "/".join(parts[:timed])


def read_released(destination: str, *, policy: RetryPolicy | None = None) -> Release | None:
    """The release that is in effect at a destination; None when there was none yet.

    Raises:
        ArtifactError: The pointer is damaged.
        ServiceError: The service does not answer.
    """
    return _Place(destination, policy).current()[0]


def open_released(release: Release, *, policy: RetryPolicy | None = None) -> tuple[Store, dict[str, Any]]:
    """The upload of a released model, and its manifest, which is the one that was released.

    Raises:
        ArtifactError: There is no manifest, it is damaged, or it is another one by now.
        ServiceError: The service does not answer.
    """
    store, name = open_store(release.model_uri, policy=policy), MANIFEST_NAMES[release.family]
    digest = hashlib.sha256(store.get_bytes(name)).hexdigest()
    if digest != release.manifest_sha256:
        raise ArtifactError(
            f"the manifest of {release.model_uri} is another one than when it was released "
            f"(SHA-256 {digest[:16]}…, not {release.manifest_sha256[:16]}…)",
            "somebody has written there: choose another model of the history (roll-back-model)",
        )
    return store, read_published(store, name)


def read_history(destination: str, *, policy: RetryPolicy | None = None) -> list[tuple[Release, bool]]:
    """All entries of a destination, newest first, each with whether it took effect.

    Raises:
        ArtifactError: The pointer or an entry is damaged.
        ServiceError: The service does not answer.
    """
    place = _Place(destination, policy)
    chain = {release.entry for release in place.chain(place.current()[0])}
    return [(entry, entry.entry in chain) for entry in place.entries()]


def release_model(
    destination: str,
    *,
    family: Family,
    run: str,
    model_uri: str,
    compared_with: str | None,
    figures: Mapping[str, float] | None = None,
    by: str = "",
    why: str = "",
    policy: RetryPolicy | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Release:
    """Makes an uploaded model the released one. Done again by the same run, it changes nothing.

    Args:
        destination: Where models are published.
        family: The model's family.
        run: Name of the run.
        model_uri: Prefix of the upload.
        compared_with: The model that the gate compared with (empty: there was none); None: whatever is released.
        figures: Of the model, for the history.
        by: Who approved; empty: nobody was asked.
        why: What else to remember.
        policy: How patient to be with the service.
        now: The clock; tests bring their own.

    Raises:
        ArtifactError: The upload is not complete.
        GateError: Another model than compared_with is released by now.
        ServiceError: The service does not answer.
    """
    place = _Place(destination, policy)

    def draft(current: Release | None) -> Release | None:
        if current is not None and (current.run, current.model_uri) == (run, model_uri):
            return None
        released = current.model_uri if current else ""
        if compared_with is not None and released != compared_with:
            raise GateError(
                f"{model_uri} is not released: it was compared with {compared_with or 'no model'}, and by now "
                f"{released or 'none'} is released at {place.uri}",
                "run check-release again, which compares with that one",
            )
        return Release(
            family=family,
            run=run,
            decision="released",
            model_uri=model_uri,
            manifest_sha256=_manifest_sha256(model_uri, family, policy),
            replaced=released,
            replaced_entry=current.entry if current else "",
            entry="",
            figures=dict(figures or {}),
            by=by,
            why=why,
            at="",
        )

    return place.move(draft, run, now)


def roll_back(
    destination: str,
    *,
    family: Family,
    run: str,
    to: str = PREVIOUS,
    by: str = "",
    why: str = "",
    policy: RetryPolicy | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Release:
    """Makes an earlier model the released one again. Done again by the same run, it changes nothing.

    Args:
        destination: Where models are published.
        family: The family of its models.
        run: Name of the roll back, its own each time.
        to: "previous": the model that the released one replaced when it was released first; or the URI of a model
            that was released here.
        by: Who wants it.
        why: Why.
        policy: How patient to be with the service.
        now: The clock; tests bring their own.

    Raises:
        ConfigError: Nothing is released, there is none before, or the model was never released here.
        ArtifactError: The model is not complete, or a file of it is damaged; the pointer stays where it is.
        ServiceError: The service does not answer.
    """
    place = _Place(destination, policy)

    def draft(current: Release | None) -> Release | None:
        if current is None:
            raise ConfigError(f"no model is released at {place.uri}", "check the destination")
        if current.family != family:
            raise ConfigError(f"{place.uri} has models of {current.family}, not of {family}", "check the family")
        if (current.run, current.decision) == (run, "rolled_back"):
            return None
        earlier = _earlier(list(place.chain(current)), to, place.uri)
        if earlier.model_uri == current.model_uri:
            raise ConfigError(f"{earlier.model_uri} is the released model already", "see the history for others")
        open_released(earlier, policy=policy)
        verify_published(open_store(earlier.model_uri, policy=policy), MANIFEST_NAMES[family])
        change = {
            "run": run,
            "decision": "rolled_back",
            "replaced": current.model_uri,
            "replaced_entry": current.entry,
            "by": by,
            "why": why,
        }
        return earlier.model_copy(update=change)

    return place.move(draft, run, now)


def _earlier(chain: list[Release], to: str, where: str) -> Release:
    """The entry whose model is to be released again; the chain begins with the entry in effect."""
    wanted = to.rstrip("/")
    if to == PREVIOUS:
        # Not the entry before: after a roll back that is the model that was rolled back.
        first = next((one for one in chain if one.decision == "released" and one.model_uri == chain[0].model_uri), None)
        wanted = first.replaced if first else ""
        if not wanted:
            raise ConfigError(f"{chain[0].model_uri} replaced no model at {where}", "there is nothing to go back to")
    found = next((one for one in chain if wanted == one.model_uri or wanted.startswith(f"{one.model_uri}/")), None)
    if found is None:
        known = ", ".join(dict.fromkeys(one.model_uri for one in chain))
        raise ConfigError(f"{to} was never released at {where}", f"models that were: {known}")
    return found


class _Place:
    """The pointer and the history of one destination."""

    def __init__(self, destination: str, policy: RetryPolicy | None) -> None:
        self._store: Store = open_store(release_place(destination), policy=policy)

    @property
    def uri(self) -> str:
        return self._store.uri()

    def current(self) -> tuple[Release | None, str]:
        """The release in effect, and the tag that its pointer had before it was read; None and "" without one."""
        head = self._store.head(POINTER_NAME)
        return (None, "") if head is None else (self._read(POINTER_NAME), head.etag)

    def entries(self) -> list[Release]:
        """All entries, newest first."""
        keys = [info.key for info in self._store.list_objects(f"{HISTORY_FOLDER}/") if info.key.endswith(".json")]
        return [self._read(key) for key in sorted(keys, reverse=True)[:_MAX_ENTRIES]]

    def chain(self, newest: Release | None) -> list[Release]:
        """The entries that took effect, newest first, as each names the one before it."""
        found: list[Release] = []
        met: set[str] = set()
        while newest is not None and newest.entry not in met and len(found) < _MAX_ENTRIES:
            met.add(newest.entry)
            found.append(newest)
            newest = self._read(newest.replaced_entry) if newest.replaced_entry else None
        return found

    def move(self, draft: Callable[[Release | None], Release | None], run: str, now: Callable[[], datetime]) -> Release:
        """Writes the entry that `draft` makes of the current one, then the pointer; again when somebody was faster."""
        for _ in range(_NUM_TRIES):
            current, etag = self.current()
            wanted = draft(current)
            if wanted is None:
                assert current is not None  # there is nothing to do, so it was done
                return current
            entry = self._write_entry(wanted, run, now())
            if self._store.put_bytes_if(_encoded(entry), POINTER_NAME, etag=etag) is not None:
                return entry
        raise ServiceError(f"{self._store.uri(POINTER_NAME)} changes all the time", "see who releases there; try again")

    def _write_entry(self, wanted: Release, run: str, at: datetime) -> Release:
        moment = at.astimezone(UTC)
        name = re.sub(r"[^A-Za-z0-9._-]", "_", run).strip(".")[:120]
        for number in range(100):
            ending = f"-{number}" if number else ""
            key = f"{HISTORY_FOLDER}/{moment:%Y%m%dT%H%M%S.%fZ}-{name}{ending}.json"
            entry = wanted.model_copy(update={"entry": key, "at": moment.isoformat(timespec="seconds")})
            if self._store.put_bytes_if(_encoded(entry), key, etag="") is not None:
                return entry
        raise ServiceError(f"{self._store.uri(key)} is taken", "see who releases there; try again")

    def _read(self, key: str) -> Release:
        where = self._store.uri(key)
        head = self._store.head(key)
        if head is not None and head.size_bytes > _MAX_BYTES:
            raise ArtifactError(f"{where} has {head.size_bytes:,d} bytes, which no release has", "see who wrote it")
        try:
            return Release.model_validate_json(self._store.get_bytes(key))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ArtifactError(
                f"{where}: {name}: {first['msg']}", "see who wrote it; entries are never changed"
            ) from None


def _manifest_sha256(model_uri: str, family: Family, policy: RetryPolicy | None) -> str:
    """The digest of an upload's manifest; ArtifactError when there is none, or it is damaged."""
    store, name = open_store(model_uri, policy=policy), MANIFEST_NAMES[family]
    read_published(store, name)
    return hashlib.sha256(store.get_bytes(name)).hexdigest()


def _encoded(entry: Release) -> bytes:
    return (json.dumps(entry.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
