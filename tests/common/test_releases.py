"""Which model is released: the pointer moves in one step or not at all, in a folder and on the real S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops_common.errors import ArtifactError, ConfigError, GateError, ServiceError
from ops_common.object_store import ObjectStore
from ops_common.publishing import publish_files
from ops_common.releases import Release, read_history, read_released, release_model, release_place, roll_back
from ops_common.stores import Store, open_store
from tests.local_s3 import (  # noqa: F401 - fixtures
    IMPATIENT,
    ONE_TRY,
    LocalS3,
    Proxy,
    destination,
    own_s3,
    shared_s3,
    use_endpoint,
)

# ruff: noqa: F811 - a fixture's name is an argument's name

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "models") if request.param == "folder" else request.getfixturevalue("destination")


@pytest.fixture
def upload(tmp_path: Path) -> Callable[[str, str], str]:
    """Uploads a small model and returns its prefix."""

    def run(place: str, name: str) -> str:
        (tmp_path / "weights").write_text(f"weights of {name}")
        done = publish_files({"bundle/weights": tmp_path / "weights"}, place, name, {}, policy=IMPATIENT)
        return done.store.uri()

    return run


def remove(store: Store, key: str) -> None:
    if isinstance(store, ObjectStore):
        store.delete(key)
    else:
        Path(store.uri(key)).unlink()


def release(place: str, run: str, uri: str, compared_with: str | None = None, minutes: int = 0) -> Release:
    return release_model(
        place,
        family="gematria",
        run=run,
        model_uri=uri,
        compared_with=compared_with,
        figures={"mape_percent_hsw": 9.5},
        policy=IMPATIENT,
        now=lambda: NOW + timedelta(minutes=minutes),
    )


def back(place: str, run: str, to: str = "previous") -> Release:
    return roll_back(place, family="gematria", run=run, to=to, by="ann", why="too slow", policy=IMPATIENT)


def models(place: str) -> list[str]:
    """The models of the history by name, newest first, those that never took effect in brackets."""
    return [
        (name if in_effect else f"({name})")
        for entry, in_effect in read_history(place, policy=IMPATIENT)
        for name in [entry.model_uri.rpartition("/")[2]]
    ]


def test_releases_and_roll_backs(place: str, upload: Callable[[str, str], str]) -> None:
    a, b, c = (upload(place, name) for name in "abc")
    assert read_released(place, policy=IMPATIENT) is None
    first = release(place, "night 1", a, compared_with="")
    assert first.entry == "releases/20260301T020000.000000Z-night_1.json"
    assert (first.replaced, first.replaced_entry, first.figures) == ("", "", {"mape_percent_hsw": 9.5})
    assert read_released(place, policy=IMPATIENT) == first
    second = release(place, "night 2", b, compared_with=a, minutes=1)
    assert (second.replaced, second.replaced_entry) == (a, first.entry)
    assert release(place, "night 2", b, compared_with=a, minutes=2) == second  # tried again: nothing changes
    release(place, "night 3", c, compared_with=b, minutes=3)
    assert models(place) == ["c", "b", "a"]

    rolled = back(place, "back 1")
    assert (rolled.model_uri, rolled.decision, rolled.replaced, rolled.by, rolled.why) == (
        b,
        "rolled_back",
        c,
        "ann",
        "too slow",
    )
    assert rolled.manifest_sha256 == second.manifest_sha256
    assert back(place, "back 1") == rolled  # the same roll back goes back once
    assert back(place, "back 2").model_uri == a  # and not to c, which the first one left
    with pytest.raises(ConfigError, match="replaced no model"):
        back(place, "back 3")
    assert back(place, "forward", to=f"{c}/bundle").model_uri == c
    assert models(place) == ["c", "a", "b", "c", "b", "a"]
    pointer = json.loads(open_store(place, policy=IMPATIENT).get_bytes("RELEASED.json"))
    assert pointer["model_uri"] == c


def test_a_model_that_was_compared_with_another_one_is_refused(place: str, upload: Callable[[str, str], str]) -> None:
    a, b, c = (upload(place, name) for name in "abc")
    release(place, "night 1", a)
    release(place, "night 2", b, compared_with=a, minutes=1)
    with pytest.raises(GateError, match=f"compared with {a}, and by now {b} is released"):
        release(place, "night 3", c, compared_with=a, minutes=2)
    assert models(place) == ["b", "a"]


def test_what_cannot_be_released_or_rolled_back(place: str, upload: Callable[[str, str], str]) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        release(place, "night 1", f"{place}/nothing")
    with pytest.raises(ConfigError, match="no model is released"):
        back(place, "back 1")
    a, b = upload(place, "a"), upload(place, "b")
    release(place, "night 1", a)
    with pytest.raises(ConfigError, match="b was never released"):
        back(place, "back 1", to=b)
    with pytest.raises(ConfigError, match="is the released model already"):
        back(place, "back 1", to=a)
    with pytest.raises(ConfigError, match="has models of gematria"):
        roll_back(place, family="pythonexpr", run="back 1", policy=IMPATIENT)
    assert models(place) == ["a"]


@pytest.mark.parametrize("harm", ["changed", "gone", "another manifest"])
def test_no_roll_back_to_a_damaged_model(place: str, upload: Callable[[str, str], str], harm: str) -> None:
    a, b = upload(place, "a"), upload(place, "b")
    release(place, "night 1", a)
    release(place, "night 2", b, minutes=1)
    store = open_store(a, policy=IMPATIENT)
    if harm == "changed":
        store.put_bytes(b"other weights", "bundle/weights")
        message = "bundle/weights has SHA-256"
    elif harm == "gone":
        remove(store, "bundle/weights")
        message = "bundle/weights does not exist"
    else:
        store.put_bytes(store.get_bytes("manifest.json") + b" ", "manifest.json")
        message = "is another one than when it was released"
    with pytest.raises(ArtifactError, match=message):
        back(place, "back 1")
    released = read_released(place, policy=IMPATIENT)
    assert released is not None and released.model_uri == b
    assert models(place) == ["b", "a"]


_CHILD = """
import sys
from ops_common.errors import GateError
from ops_common.object_store import RetryPolicy
from ops_common.releases import release_model
place, run, uri, compared_with = sys.argv[1:]
policy = RetryPolicy(total_seconds=30)
print("ready", flush=True)
sys.stdin.readline()
try:
    release_model(place, family="gematria", run=run, model_uri=uri, policy=policy,
                  compared_with=None if compared_with == "anything" else compared_with)
    print("released", flush=True)
except GateError as error:
    print("refused", flush=True)
"""


def start_release(place: str, run: str, uri: str, compared_with: str) -> subprocess.Popen[str]:
    """A process that releases as soon as it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, place, run, uri, compared_with],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("compared_with", ["first", "anything"])
def test_processes_that_release_at_once(place: str, upload: Callable[[str, str], str], compared_with: str) -> None:
    first = upload(place, "first")
    release(place, "night 1", first)
    names = ["a", "b", "c"]
    uris = {name: upload(place, name) for name in names}
    expected = first if compared_with == "first" else compared_with
    processes = [start_release(place, name, uris[name], expected) for name in names]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    with ThreadPoolExecutor() as pool:
        said = [out.strip() for out, _ in pool.map(lambda process: process.communicate(timeout=120), processes)]
    assert [process.returncode for process in processes] == [0, 0, 0]
    effective = [name for name in models(place) if not name.startswith("(")]
    if compared_with == "first":  # one wins; the others were compared with what is no longer released
        assert sorted(said) == ["refused", "refused", "released"]
        assert effective == [names[said.index("released")], "first"]
    else:  # one after the other, none lost
        assert said == ["released"] * 3
        assert sorted(effective[:-1]) == names


@pytest.mark.slow
def test_a_crash_before_the_pointer_leaves_the_old_model_released(
    own_s3: LocalS3, upload: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "s3://own/models"
    a, b = upload(place, "a"), upload(place, "b")
    first = release(place, "night 1", a)
    proxy = Proxy(own_s3.port, num_puts=1, hold=True)  # the entry passes, the pointer does not
    use_endpoint(monkeypatch, proxy.endpoint)
    process = start_release(place, "night 2", b, a)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert proxy.refused.wait(60)
    process.kill()
    process.communicate()
    proxy.close()
    use_endpoint(monkeypatch, own_s3.endpoint)
    assert read_released(place, policy=IMPATIENT) == first
    assert models(place) == ["(b)", "a"]
    release(place, "night 2", b, compared_with=a)  # the task is tried again
    assert sorted(models(place)) == ["(b)", "a", "b"]


@pytest.mark.slow
def test_a_service_that_does_not_answer_moves_nothing(
    own_s3: LocalS3, upload: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "s3://own/models"
    a, b = upload(place, "a"), upload(place, "b")
    release(place, "night 1", a)
    proxy = Proxy(own_s3.port, num_puts=0)
    use_endpoint(monkeypatch, proxy.endpoint)
    with pytest.raises(ServiceError):
        release_model(place, family="gematria", run="2", model_uri=b, compared_with=a, policy=ONE_TRY)
    proxy.close()
    use_endpoint(monkeypatch, own_s3.endpoint)
    assert models(place) == ["a"]


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "Invalid JSON"), (b"{}", "family: Field required"), (b" " * 2_000_000, "bytes")]
)
def test_a_damaged_pointer_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "RELEASED.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=f"RELEASED.json.*{message}"):
        read_released(str(tmp_path))


@pytest.mark.parametrize(
    ("destination", "place"),
    [
        ("s3://models/gematria/", "s3://models/gematria"),
        ("s3://models", "s3://models"),
        ("s3://models/x/%t/y", "s3://models/x"),
        ("s3://models/x-%t", "s3://models"),
        ("/srv/models/%t", "/srv/models"),
    ],
)
def test_where_the_pointer_stands(destination: str, place: str) -> None:
    assert release_place(destination) == place
