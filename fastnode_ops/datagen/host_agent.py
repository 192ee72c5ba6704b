"""Ask a host to do what `remote_run.py` and `remote_setup.py` can.

The programs travel with the question, so nothing has to be there yet, and whatever is there does not matter.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastnode_ops.datagen import remote_run, remote_setup
from fastnode_ops.remote.ssh import COMMAND_SECONDS
from fastnode_ops.remote.this_machine import Shell
from ops_common.errors import ServiceError

DEFAULT_PYTHON = "python3"

_MODULES = (remote_run, remote_setup)

# Makes modules of the texts, under the names by which they import each other.
_LOADER = """
import sys, types
for name, text in {sources!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
print(sys.modules[{run!r}].answer(sys.modules[{home!r}].VERBS[{verb!r}], {request!r}))
"""


class HostAgent:
    """One host's `remote_run.py`.

    Args:
        ssh: The host.
        python: The interpreter there that runs it.
        root: Our folder there.
    """

    def __init__(self, ssh: Shell, python: str, root: str) -> None:
        self.ssh, self.python, self.root = ssh, python or DEFAULT_PYTHON, root

    def call(self, verb: str, *, timeout: float = COMMAND_SECONDS, **arguments: Any) -> dict[str, Any]:
        """Have a function of `remote_run.py` called there.

        Args:
            verb: Its name.
            timeout: How long it may take, in seconds.
            **arguments: Its arguments beside `root`.

        Returns:
            What it returned.

        Raises:
            ServiceError: The host cannot be reached, or cannot do it; the message names the host.
        """
        program = program_for(verb, {"root": self.root, **arguments})
        said = self.ssh.run([self.python, "-I", "-"], stdin=program, timeout=timeout)
        try:
            reply = json.loads(said.strip().splitlines()[-1])  # a login script may have had its say before
        except (ValueError, IndexError):
            raise ServiceError(f"host {self.ssh.host}: {verb} answered {said[-200:]!r}", "log in and look") from None
        if "error" in reply:
            is_full = reply.get("errno") == errno.ENOSPC
            hint = "free disk space on the host, or choose another REMOTE_DIR" if is_full else reply["hint"]
            raise ServiceError(f"host {self.ssh.host}: {reply['error']}", hint)
        result: dict[str, Any] = reply["result"]
        return result


def program_for(verb: str, arguments: Mapping[str, Any]) -> str:
    """Return the text of a Python program that calls a verb and prints its answer, anywhere.

    Raises:
        KeyError: There is no such verb.
    """
    homes = {name: module.__name__ for module in _MODULES for name in module.VERBS}
    request = json.dumps(dict(arguments))
    return _LOADER.format(sources=_sources(), run=remote_run.__name__, home=homes[verb], verb=verb, request=request)


@cache
def _sources() -> dict[str, str]:
    return {module.__name__: Path(str(module.__file__)).read_text(encoding="utf-8") for module in _MODULES}
