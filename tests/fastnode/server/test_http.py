"""Every endpoint of specification 5.2, its answers and its refusals, over real HTTP."""

import gzip
import json
import urllib.request
from typing import Any

import httpx
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.fastnode.server.servers import RunningServer, session_request, session_values
from tests.fastnode.server.toy_server import DIGEST, FAILING_STEP, FILES, batch_of

POST_PATHS = (
    "/session",
    "/session/ping",
    "/session/kill",
    "/symbol/scores",
    "/symbol/meta-info",
    "/symbol/members",
    "/symbol/sources",
    "/symbol/imports",
    "/hash/source",
)


def expected(seed: int, step: int) -> Any:
    return json.loads(json.dumps(batch_of(session_request(seed), step).to_json(), default=lambda array: array.tolist()))


# --- sessions


def test_a_session_gives_its_steps_in_order(server: RunningServer) -> None:
    created = server.post("/session", session_values())
    assert created.status_code == 200
    assert created.headers["content-type"] == "application/json"
    values = created.json()
    assert list(values) == ["session", "first_step", "corpus_digest", "samples"]
    assert (values["first_step"], values["corpus_digest"]) == (0, DIGEST)
    assert values["samples"] == [{"data": {"expr": expected(1, step)}} for step in range(3)]
    following = server.post("/session", {"session": values["session"]}).json()
    assert (following["session"], following["first_step"]) == (values["session"], 3)
    assert following["samples"] == [{"data": {"expr": expected(1, step)}} for step in range(3, 6)]


def test_a_session_that_starts_later_goes_on_as_one_that_never_stopped(server: RunningServer) -> None:
    resumed = server.post("/session", session_values(start_step=100)).json()
    assert resumed["first_step"] == 100
    assert [sample["data"]["expr"] for sample in resumed["samples"]] == [expected(1, step) for step in (100, 101, 102)]


def test_an_answer_that_was_lost_can_be_asked_for_again(server: RunningServer) -> None:
    session = server.post("/session", session_values()).json()["session"]
    lost = server.post("/session", {"session": session}).content
    assert server.post("/session", {"session": session, "start_step": 3}).content == lost
    assert server.post("/session", {"session": session}).json()["first_step"] == 6
    assert server.post("/session", {"session": session, "start_step": -1}).status_code == 400


def test_sessions_are_counted_pinged_and_killed(server: RunningServer) -> None:
    session = server.post("/session", session_values()).json()["session"]
    info = server.get("/sessions/info").json()[str(session)]
    assert (info["BuildCount"], info["BuildErrCount"], info["BuildOKCount"], info["NextStep"]) == (3, 0, 3, 3)
    assert info["Drops"] == {"call: too large": 1}
    for path in ("/session/ping", "/session/kill"):
        answer = server.post(path, {"session": session})
        assert (answer.status_code, answer.content) == (200, b"")
    assert str(session) not in server.get("/sessions/info").json()
    refused = [
        (path, server.post(path, {"session": session})) for path in ("/session", "/session/ping", "/session/kill")
    ]
    assert [(path, answer.status_code) for path, answer in refused] == [
        ("/session", 404),
        ("/session/ping", 404),
        ("/session/kill", 400),
    ]
    assert {answer.text for _, answer in refused} == {f"there is no session {session}"}
    assert refused[0][1].headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"random_seed": None}, "random_seed: Input should be a valid integer"),
        ({"partition": {"low": -0.1, "high": 1}}, "partition.low: Input should be greater than or equal to 0"),
        ({"partition": {"low": 0, "high": 1.1}}, "partition.high: Input should be less than or equal to 1"),
        ({"partition": {"low": 0.5, "high": 0.5}}, "partition: low must be below high"),
        ({"name_subtoken_index": {}}, "name_subtoken_index: Dictionary should have at least 1 item"),
        ({"type_subtoken_index": {}}, "type_subtoken_index: Dictionary should have at least 1 item"),
        ({"production_index": {"indices": {}}}, "production_index must not be empty"),
        ({"config": {"edge_set": ["ast_child", "computed_from"]}}, "config.edge_set.1: Input should be 'ast_child'"),
        ({"expr": {"max_samples": 4, "attr": {"batch_proportion": -1}}}, "expr.attr.batch_proportion: Input should be"),
        ({"expr": {"max_samples": 4}}, "expr: at least one batch_proportion must be above 0"),
        (
            {"expr": {"max_samples": 1, "call": {"batch_proportion": 1}, "attr": {"batch_proportion": 1}}},
            "expr: max_samples must be at least 2",
        ),
        ({"num_batches": 0}, "num_batches: Input should be greater than or equal to 1"),
        ({"split": "all"}, "split: Input should be 'train', 'validation' or 'test'"),
    ],
)
def test_a_wrong_request_is_refused(server: RunningServer, change: dict[str, Any], text: str) -> None:
    answer = server.post("/session", session_values(**change))
    assert answer.status_code == 400
    assert text in answer.text


def test_a_seed_is_required(server: RunningServer) -> None:
    values = session_values()
    del values["random_seed"]
    answer = server.post("/session", values)
    assert (answer.status_code, answer.text) == (400, "random_seed: Field required")


def test_a_session_that_cannot_be_built_is_an_error_of_the_server(server: RunningServer) -> None:
    values = session_values(expr={"max_samples": 4, "call": {"batch_proportion": 1}})
    answer = server.post("/session", values)
    assert (answer.status_code, answer.text) == (500, "task call: none of its 0 symbols has a usable file")


def test_a_step_that_cannot_be_made_is_an_error_each_time(server: RunningServer) -> None:
    values = session_values(FAILING_STEP, start_step=FAILING_STEP - 3)
    session = server.post("/session", values).json()["session"]
    for _ in range(2):
        answer = server.post("/session", {"session": session})
        assert (answer.status_code, answer.text) == (500, "step 13: not one graph sample could be made")
    info = server.get("/sessions/info").json()[str(session)]
    assert (info["BuildCount"], info["BuildErrCount"], info["BuildOKCount"]) == (5, 2, 3)
    after = server.post("/session", {"session": session, "start_step": FAILING_STEP + 1}).json()
    assert after["samples"][0]["data"]["expr"] == expected(FAILING_STEP, FAILING_STEP + 1)


# --- symbols and files


def asked(symbol: str = "json", **more: Any) -> dict[str, Any]:
    return {"symbol": symbol, **more}


def test_files_of_a_symbol(server: RunningServer) -> None:
    assert server.post("/symbol/meta-info", asked()).json() == {"total_sources": 25}
    assert server.post("/symbol/meta-info", asked(context="symbol_context_name")).json() == {"total_sources": 0}
    for alias in ("symbol_context_import_alias:", "symbol_context_import_alias:np"):
        assert server.post("/symbol/meta-info", asked(context=alias)).json() == {"total_sources": 0}
    # ordered by id over all splits; the first cannot be read
    found = server.post("/symbol/sources", asked()).json()
    assert found == {"sources": ["", *[FILES[name] for name in sorted(FILES)[1:10]]], "total": 25}
    last = server.post("/symbol/sources", asked(offset=23, limit=5)).json()
    assert last == {"sources": [FILES[name] for name in sorted(FILES)[23:]], "total": 25}
    assert server.post("/symbol/sources", asked(offset=25)).json() == {"sources": [], "total": 25}
    assert server.post("/symbol/meta-info", asked("simplejson", canonicalize=True)).json() == {"total_sources": 25}
    assert server.post("/symbol/meta-info", asked("simplejson")).json() == {"total_sources": 0}


@pytest.mark.parametrize("path", ["/symbol/meta-info", "/symbol/sources", "/symbol/imports"])
def test_what_is_no_question_about_files(server: RunningServer, path: str) -> None:
    for body, text in (
        (asked(offset=26), "offset 26 is beyond the number of files, 25"),
        (asked("nothing.such"), "there is no symbol 'nothing.such'"),
        (asked("dumps"), "there is no symbol 'dumps'; did you mean 'json.dumps'?"),
        (asked(context="symbol_context_other"), "unknown symbol context 'symbol_context_other'"),
        (asked(context="attribute"), "unknown symbol context 'attribute'"),
        (asked(limit=-1), "limit: Input should be greater than or equal to 0"),
        (asked(limit=100_000), "limit: Input should be less than or equal to 1000"),
        (asked(""), "symbol: String should have at least 1 character"),
        ({}, "symbol: Field required"),
    ):
        answer = server.post(path, body)
        assert (answer.status_code, answer.text) == (400, text)


def test_members_come_with_their_counts_most_frequent_first(server: RunningServer) -> None:
    found = server.post("/symbol/members", asked(limit=1, offset=5)).json()
    assert found == {"members": [{"member": "loads", "score": 9}, {"member": "dumps", "score": 7}]}
    assert server.post("/symbol/members", asked("json.dumps")).json() == {"members": []}


def test_imports_of_files(server: RunningServer) -> None:
    found = server.post("/symbol/imports", asked(limit=3)).json()
    assert found == {"imports": [["json", "json.dumps"]] * 3, "total": 25}
    assert server.post("/symbol/imports", asked(offset=25)).json() == {"imports": [], "total": 25}


def test_every_symbol_has_a_score_or_an_error(server: RunningServer) -> None:
    body = {"symbols": ["json", "json.loads", "simplejson", "nothing", "dumps"], "canonicalize": True}
    assert server.post("/symbol/scores", body).json() == {
        "scores": {"json": 40, "json.loads": 9, "simplejson": 40},
        "errors": {
            "nothing": "there is no symbol 'nothing'",
            "dumps": "there is no symbol 'dumps'; did you mean 'json.dumps'?",
        },
    }
    imported = server.post("/symbol/scores", {"symbols": ["json"], "context": "symbol_context_import"}).json()
    assert imported == {"scores": {"json": 0}, "errors": {}}
    wrong = server.post("/symbol/scores", {"symbols": ["json"], "context": "x"})
    assert (wrong.status_code, wrong.text) == (400, "unknown symbol context 'x'")


def test_packages(server: RunningServer) -> None:
    assert server.get("/symbol/packages").json() == [{"name": "json", "score": 40}]


def test_the_text_of_a_file(server: RunningServer) -> None:
    name = sorted(FILES)[3]
    assert server.post("/hash/source", {"hash": name}).json() == {"source": FILES[name]}
    for unknown in ("0" * 64, "f" * 64, "", "../../etc/passwd"):
        answer = server.post("/hash/source", {"hash": unknown})
        assert (answer.status_code, answer.text) == (404, f"there is no file {unknown!r}")


# --- everything else


def test_unknown_paths_and_methods(server: RunningServer) -> None:
    for path in ("/", "/nothing", "/session/", "/debug/other", "/docs", "/openapi.json"):
        answer = server.get(path)
        assert (answer.status_code, answer.text) == (404, "404 page not found"), path
    answer = server.get("/session")
    assert (answer.status_code, answer.text) == (405, "405 method not allowed")


def test_the_server_is_ready(server: RunningServer) -> None:
    health = server.get("/healthz")
    assert health.status_code == 200
    assert health.json()["status"] == "ready"
    assert health.json()["corpus_digest"] == DIGEST


def test_metrics(server: RunningServer) -> None:
    server.post("/session", session_values())
    sections = server.get("/debug/status-json").json()
    batches = sections["/python/graph-data-server sessions"]["get batch for session"]
    assert batches["events"] >= 1 and batches["unit"] == "seconds"
    assert list(batches["percentiles"]) == ["25", "50", "75", "95", "99"]
    graphs = sections["/python/graph-data-server infer-expr"]["graphs per infer-expr sample"]
    assert (graphs["unit"], graphs["percentiles"]["50"]) == ("count", 1.0)
    text = server.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["fastnode_server_sessions"].samples[0].value >= 0
    counts = [one for one in families["fastnode_server_seconds"].samples if one.name.endswith("_count")]
    assert {(one.labels["section"], one.labels["name"]) for one in counts} <= {
        (section, name) for section, metrics in sections.items() for name in metrics
    }
    assert len(counts) > 5
    page = server.get("/debug/status")
    assert page.headers["content-type"].startswith("text/html")
    assert "get batch for session" in page.text
    values = server.get("/debug/vars").json()
    assert values["worker_restarts"] == 0
    assert all(size > 1_000_000 for size in values["worker_resident_bytes"].values())
    assert "Thread" in server.get("/debug/pprof/").text


@pytest.mark.parametrize(
    ("accepted", "encoding"), [("gzip", "gzip"), ("gzip, zstd;q=0.5", "zstd"), ("br, gzip;q=0", None), ("", None)]
)
def test_answers_are_compressed_for_who_can_read_it(server: RunningServer, accepted: str, encoding: str | None) -> None:
    body = json.dumps(session_values()).encode()
    request = urllib.request.Request(server.url + "/session", body, {"Accept-Encoding": accepted})
    with urllib.request.urlopen(request) as answer:
        content = answer.read()
        assert answer.headers["content-encoding"] == encoding
        assert answer.headers["vary"] == "Accept-Encoding"
    if encoding == "gzip":
        content = gzip.decompress(content)
    if encoding == "zstd":
        content = zstandard.ZstdDecompressor().decompress(content)
    assert json.loads(content)["samples"][0]["data"]["expr"] == expected(1, 0)


@pytest.mark.parametrize("path", POST_PATHS)
def test_large_bodies_are_refused(server: RunningServer, path: str) -> None:
    limit = 200_000 if path == "/session" else 20_000

    def endless() -> Any:
        for _ in range(100):
            yield b" " * 10_000

    declared = server.post(path, b" " * (limit + 1))
    assert (declared.status_code, declared.text) == (413, f"the body is larger than {limit} bytes")
    try:
        undeclared = httpx.post(server.url + path, content=endless(), timeout=60)
    except httpx.WriteError:
        return  # the server closed the connection while we were still sending
    assert (undeclared.status_code, undeclared.text) == (413, f"the body is larger than {limit} bytes")


@pytest.mark.parametrize("path", POST_PATHS)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 5_000, b"null", b"[]", b"3", b'"x"', b'{"session": []}'])
def test_bodies_of_another_form_are_refused(server: RunningServer, path: str, body: bytes) -> None:
    answer = server.post(path, body)
    assert answer.status_code == 400
    assert answer.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*session_values(), "symbol", "symbols", "offset", "limit", "context", "hash", "start_step"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(POST_PATHS), st.dictionaries(KEYS, JSON, max_size=4))
def test_no_body_makes_the_server_fail(server: RunningServer, path: str, values: dict[str, Any]) -> None:
    values.pop("session", None)  # an id of another test's session would be a right request
    assert server.post(path, values).status_code in (200, 400, 404)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS.filter(lambda key: key in session_values() and key != "session"), JSON)
def test_no_field_makes_the_server_fail(server: RunningServer, key: str, value: Any) -> None:
    answer = server.post("/session", session_values(**{key: value}))
    assert answer.status_code in (200, 400), answer.text
