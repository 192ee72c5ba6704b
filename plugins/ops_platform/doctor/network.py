"""Ports, the object store, and the hosts that make samples."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fastnode_ops.datagen.many_hosts import on_each_host
from fastnode_ops.remote.hosts import Host, parse_hosts
from fastnode_ops.remote.ssh import Ssh, SshOptions
from ops_common.errors import OpsError
from ops_common.object_store import ObjectStore, RetryPolicy, parse_s3_uri
from ops_platform.doctor.finding import Finding, Status
from ops_platform.embedded import ports
from ops_platform.embedded.lifecycle import Instance
from ops_platform.settings import PORT_VARIABLES

HOST = "127.0.0.1"
MAX_SKEW_SECONDS = 5.0
MIN_HOST_BYTES = 2_000_000_000

_PATIENCE = RetryPolicy(total_seconds=0, request_attempts=1, connect_timeout_seconds=3, read_timeout_seconds=10)
_HOST_SECONDS = 30.0

# Sent as one argument of `sh -c`; the folder comes as `$1`, never as code. `cd ..` finds the disk of a folder to come.
_LOOK = """date +%s
command -v rsync >/dev/null && echo rsync || echo none
d=$1; while [ ! -d "$d" ] && [ "$d" != / ]; do d=$(dirname -- "$d"); done
df -Pk -- "$d" | awk 'NR == 2 {print $4}'
"${2:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none
"""


def check_ports(asked: Mapping[str, int], instance: Instance | None) -> list[Finding]:
    """Whether the platform's ports are free, or its own.

    Args:
        asked: Ports that the settings ask for, by service; the others may move.
        instance: The platform that is running, if any.
    """
    if instance is not None:
        used = ", ".join(f"{service} {port}" for service, port in instance.ports.items())
        return [Finding("ports", "ok", f"in use by the platform: {used}")]
    findings = []
    for service, (variable, usual) in PORT_VARIABLES.items():
        port = asked.get(service, usual)
        if ports.is_free(port, HOST):
            findings.append(Finding(f"port {port}", "ok", f"free for {service}"))
        elif service in asked:
            hint = f"end that process, or set {variable} to a free port"
            findings.append(Finding(f"port {port}", "fail", f"taken by {ports.holder(port)}", hint))
        else:
            text = f"taken by {ports.holder(port)}; {service} takes the next free one"
            findings.append(Finding(f"port {port}", "warn", text, f"set {variable} where the port must not move"))
    return findings


def check_object_store(place: str, *, creates_bucket: bool = False) -> list[Finding]:
    """Whether a place in S3 takes an object, gives it back and lets it go, with the credentials of the environment.

    Args:
        place: `s3://bucket/prefix`; anything else is no place in S3.
        creates_bucket: Whether a bucket that is missing is made by whoever uploads.
    """
    if not place.startswith("s3://"):
        return [Finding("object store", "ok", f"{place} is a folder; no S3 is asked")]
    bucket, prefix = parse_s3_uri(place)
    store = ObjectStore.from_uri(f"s3://{bucket}" + (f"/{prefix}" if prefix else ""), policy=_PATIENCE)
    key, content = f".doctor-{uuid.uuid4().hex}", uuid.uuid4().bytes
    started = time.monotonic()
    try:
        store.ensure_bucket(create=creates_bucket)
        store.put_bytes(content, key)
        came = store.get_bytes(key)
    except OpsError as error:
        return [Finding("object store", "fail", error.message, error.hint)]
    finally:
        with suppress(OpsError):
            store.delete(key)
    if came != content or store.head(key) is not None:
        hint = "the keys need s3:GetObject, s3:PutObject and s3:DeleteObject there"
        return [Finding("object store", "fail", f"{place}: what was written cannot be read or deleted", hint)]
    milliseconds = 1000 * (time.monotonic() - started)
    text = f"{place} at {store.endpoint}: wrote, read, deleted an object in {milliseconds:.0f} ms"
    return [Finding("object store", "ok", text)]


def check_hosts(texts: Sequence[str], remote_dir: str, remote_python: str, options: SshOptions) -> list[Finding]:
    """Whether each host lets us in, has what a deployment needs, and knows what time it is.

    Args:
        texts: The hosts as `[user@]name[:port]`.
        remote_dir: Our folder there, which need not exist.
        remote_python: The interpreter there; empty: `python3`.
        options: How hosts are reached.
    """
    hosts = parse_hosts(texts)

    def look(host: Host) -> list[Finding]:
        asked = time.time()
        answer = Ssh(host, options).run(["sh", "-c", _LOOK, "sh", remote_dir, remote_python], timeout=_HOST_SECONDS)
        return [_of_host(host, answer.split(), asked, time.time(), remote_python)]

    answers, errors = on_each_host(hosts, look)
    findings = []
    for host in hosts:
        if host in answers:
            findings += answers[host]
        else:
            text = errors[host].message.partition(": ")[2] or errors[host].message
            findings.append(Finding(f"host {host}", "fail", " ".join(text.split()), errors[host].hint))
    return findings


def _of_host(host: Host, words: list[str], asked: float, answered: float, remote_python: str) -> Finding:
    check = f"host {host}"
    try:
        seconds, rsync, free_bytes, python = int(words[0]), words[1], int(words[2]) * 1024, words[3]
    except (IndexError, ValueError):
        return Finding(check, "fail", f"gave no sensible answer: {' '.join(words)[:200]!r}", "log in and look")
    skew = min(0.0, seconds + 1 - asked) or max(0.0, seconds - answered)  # it looked at some time between the two
    problems: list[tuple[Status, str, str]] = []
    if rsync != "rsync":
        problems.append(("fail", "no rsync", "apt-get install rsync"))
    if tuple(int(part) for part in python.split(".") if part.isdigit()) < (3, 11):
        name = remote_python or "python3"
        problems.append(("fail", f"{name} is {python}", "install Python 3.11, or name one: REMOTE_PYTHON"))
    if free_bytes < MIN_HOST_BYTES:
        problems.append(("fail", f"{free_bytes / 1e9:.1f} GB free", "make clean_remote, or another REMOTE_DIR"))
    if abs(skew) > MAX_SKEW_SECONDS:
        problems.append(("warn", f"its clock is off by {skew:+.0f} s", "timedatectl set-ntp true"))
    if problems:
        status: Status = "fail" if any(status == "fail" for status, _, _ in problems) else "warn"
        return Finding(check, status, "; ".join(text for _, text, _ in problems), "; ".join(h for _, _, h in problems))
    return Finding(check, "ok", f"rsync, Python {python}, {free_bytes / 1e9:.0f} GB free, clock {skew:+.0f} s")


def ssh_options(key: str, known_hosts: str, config: str) -> SshOptions:
    """How hosts are reached, from the texts of a command line.

    Raises:
        ConfigError: A file does not exist.
    """
    key_file, hosts_file, config_file = (
        Path(text).expanduser() if text else None for text in (key, known_hosts, config)
    )
    return SshOptions(key_file, hosts_file, config_file)
