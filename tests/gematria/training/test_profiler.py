"""The profiler server: a client gets a trace of a training; a port that is taken is told before anything begins."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from gematria_ops.config import SummaryConfig
from gematria_ops.training.profiler import start_profiler
from ops_common.errors import ServiceError
from tests.gematria.runner_programs import command, read_until, run, start
from tests.gematria.small_blocks import write_data

pytestmark = pytest.mark.tf


@pytest.fixture(params=["both", "IPv4"])
def taken_port(request: pytest.FixtureRequest) -> Iterator[int]:
    both = request.param == "both"
    family = socket.AF_INET6 if both else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=both) as server:
        yield server.getsockname()[1]


def test_without_the_flag_nothing_listens(taken_port: int) -> None:
    start_profiler(SummaryConfig(tf_profiler_port=taken_port))  # would be refused otherwise


def test_a_port_in_use_is_named(taken_port: int) -> None:
    with pytest.raises(ServiceError, match=rf"\(--gematria_tf_profiler_port\): port {taken_port} is in use"):
        start_profiler(SummaryConfig(run_tf_profiler=True, tf_profiler_port=taken_port))


@pytest.mark.slow
def test_a_client_gets_a_trace_of_a_training(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    data = write_data(tmp_path / "data", 60)
    profiled = command(
        "run_granite_model",
        data,
        "--gematria_training_num_epochs=0",
        "--gematria_run_tf_profiler",
        f"--gematria_tf_profiler_port={port}",
    )
    with start(profiled) as process:
        told = read_until(process.stderr, r"Training: epoch: 1,")
        assert f"the profiler listens at port {port}" in told
        tf.profiler.experimental.client.trace(f"grpc://127.0.0.1:{port}", str(tmp_path / "trace"), 500)
        second = run(profiled)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 143
    (trace,) = (tmp_path / "trace").rglob("*.xplane.pb")
    # The trace holds the operations of the training's step.
    assert b"MatMul" in trace.read_bytes()
    assert second.returncode == 5
    assert f"port {port} is in use" in second.stderr
    assert "Traceback" not in second.stderr
