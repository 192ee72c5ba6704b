"""The workers of a data parallel training, as TF_CONFIG describes them: who they are, and which one this process is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops_common.errors import ConfigError

VARIABLE = "TF_CONFIG"
_HINT = 'write it as {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """Workers that train one model together.

    Attributes:
        addresses: host:port of each worker, in the order of their ranks.
        rank: Which of them this process is; 0 is the chief.
    """

    addresses: tuple[str, ...]
    rank: int


def read_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """Reads the cluster from the environment; None when it describes none.

    Raises:
        ConfigError: The variable is not JSON, or describes no such cluster.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    try:
        described = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{VARIABLE} is not JSON: {error}", _HINT) from None
    cluster, task = _mapping(described, "cluster"), _mapping(described, "task")
    addresses = cluster.get("worker")
    if not isinstance(addresses, list) or not addresses or not all(isinstance(item, str) for item in addresses):
        raise ConfigError(f"{VARIABLE} names no workers", _HINT)
    if other := sorted(set(cluster) - {"worker"}):
        raise ConfigError(f"{VARIABLE} names tasks of type {other[0]!r}; there are workers only", _HINT)
    rank = task.get("index")
    if task.get("type") != "worker" or not isinstance(rank, int) or not 0 <= rank < len(addresses):
        raise ConfigError(f"{VARIABLE} does not say which of the {len(addresses)} workers this process is", _HINT)
    return Cluster(tuple(addresses), rank)


def _mapping(described: Any, key: str) -> Mapping[str, Any]:
    found = described.get(key) if isinstance(described, Mapping) else None
    if not isinstance(found, Mapping):
        raise ConfigError(f"{VARIABLE} has no {key!r}", _HINT)
    return found
