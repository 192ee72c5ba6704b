"""Is the service of a container well? Asked by the health checks of our images, so it is quick: standard library only.

health.py http URL                      an address answers with 200
health.py greeting HOST:PORT TEXT       a server greets with a text
health.py airflow COMPONENT             Airflow says that a component is healthy: metadatabase, scheduler,
                                        dag_processor, triggerer (`airflow jobs check` takes eight CPU-seconds)
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import urllib.request
from urllib.parse import urljoin

SECONDS = 15.0
LONGEST_SECONDS = 25  # Docker leaves a check that takes too long running, so it ends itself


def is_answering(url: str) -> bool:
    """Whether an address answers with 200, whatever it says."""
    _read(url)
    return True


def is_greeting(address: str, text: str) -> bool:
    """Whether what a server says first starts with a text.

    Args:
        address: `host:port`.
        text: The start of the greeting.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        return connection.recv(256).decode("ascii", "replace").startswith(text)


def is_healthy_component(component: str) -> bool:
    """Whether the API server knows of a component that has reported lately."""
    api = urljoin(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"], "/api/v2/monitor/health")
    state = json.loads(_read(api)).get(component) or {}
    return bool(state.get("status") == "healthy")


def _read(url: str) -> bytes:
    """What an address answers with 200, asked without a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=SECONDS) as answer:
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return bytes(answer.read())


CHECKS = {"http": is_answering, "greeting": is_greeting, "airflow": is_healthy_component}


def main(arguments: list[str]) -> int:
    """Run one check; the exit status is what Docker wants: 0 healthy, 1 not."""
    signal.alarm(LONGEST_SECONDS)
    try:
        if CHECKS[arguments[0]](*arguments[1:]):
            return 0
        print("not healthy", *arguments)
    except (OSError, ValueError) as error:
        print("not healthy", *arguments, error)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
