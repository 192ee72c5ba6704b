"""An application of two task functions, for the tests of commands. Runs as a program of its own."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops_common.artifacts import atomic_path
from ops_common.cli import build_cli
from ops_common.cli_help import HelpTexts
from ops_common.errors import ConfigError, DataError, GateError, Interrupted, OpsError, ServiceError, UsageError

KINDS: dict[str, type[OpsError]] = {
    kind.__name__: kind for kind in (UsageError, ConfigError, DataError, ServiceError, GateError, Interrupted, OpsError)
}


def weigh_things(
    *,
    name: str,
    num_things: int = 2,
    share: float = 0.5,
    is_heavy: bool = False,
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """Weigh some things.

    More about it, which is not shown in the list.

    Args:
        name: Whose things, as [who].
        num_things: How many
            there are.
        tags: Words.

    Returns:
        What was given.
    """
    print("printed by the task")
    os.system("echo printed by a child")  # noqa: S605 - that is what a careless library does
    logging.getLogger("httpx").info("HTTP Request: not for people")
    logging.getLogger("task").info("logged")
    logging.getLogger("task").warning("worried")
    return {"name": name, "num_things": num_things, "share": share, "is_heavy": is_heavy, "tags": ",".join(tags or [])}


def break_things(*, how: str, folder: str = "") -> Mapping[str, Any]:
    """Fail in one way or another.

    Args:
        how: An error of ours, or another word.
        folder: Where to leave a file.
    """
    if how in KINDS:
        raise KINDS[how]("what was wrong", "what to do")
    if how == "signal":
        with atomic_path(Path(folder) / "file") as temporary:
            temporary.touch()
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
    if how == "nan":
        return {"loss": float("nan"), "rate": float("inf"), "path": Path("a/b")}
    if how == "list":
        return [1]  # type: ignore[return-value]
    raise RuntimeError("a bug of ours")


if __name__ == "__main__":
    texts = HelpTexts(
        groups={"Scales": ["weigh_things"]},
        examples={"weigh_things": "--name=me"},
        first_steps=[("Weigh", "things weigh-things --name=me")],
    )
    build_cli("things", [break_things, weigh_things], about="Things.", texts=texts)()
