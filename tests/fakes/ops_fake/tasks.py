"""Task functions that succeed, fail in every way, print, and refuse to end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from ops_common.errors import ArtifactError, ConfigError, DataError, GateError, OpsError, ServiceError, UsageError

ERRORS: dict[str, type[OpsError]] = {
    kind.__name__: kind for kind in (ArtifactError, ConfigError, DataError, GateError, ServiceError, UsageError)
}


def describe_arguments(
    *, run_dir: str, text: str, count: int = 1, share: float = 0.5, really: bool = True, names: list[str] | None = None
) -> dict[str, str | int | float | bool]:
    """Return what was received.

    Args:
        run_dir: The run's folder.
        text: Any text.
        count: A number.
        share: A share.
        really: Yes or no.
        names: Some names.
    """
    told = {"run_dir": run_dir, "text": text, "count": count, "share": share, "really": really}
    return {**told, "names": "|".join(names or [])}


def raise_error(*, kind: str) -> dict[str, str]:
    """Fail.

    Args:
        kind: The class of the error; any other name is a bug.
    """
    if kind in ERRORS:
        raise ERRORS[kind](f"this is what a {kind} says", "and this is its hint")
    raise RuntimeError(f"a bug called {kind}")


def print_lines(*, num_lines: int, with_odd_bytes: bool = False) -> dict[str, int]:
    """Print.

    Args:
        num_lines: How many lines.
        with_odd_bytes: Also print what is no UTF-8, a carriage return, and a line without an end.
    """
    for index in range(num_lines):
        print(f"line {index}", file=sys.stderr, flush=True)
    if with_odd_bytes:
        os.write(2, b"\xff\xfe odd\nfirst\rsecond\n" + b"x" * 40_000 + b"\nno end")
    return {"num_lines": num_lines}


def tell_environment(*, names: list[str]) -> dict[str, str]:
    """Return environment variables, and print them too.

    Args:
        names: The variables.
    """
    values = {name: os.environ.get(name, "(unset)") for name in names}
    print(values, file=sys.stderr)
    return values


def keep_running(*, folder: str, is_stubborn: bool = False, with_child: bool = True) -> dict[str, bool]:
    """Run until a signal comes; on the way out, take half a second to write the file `saved`.

    Args:
        folder: Gets `pids` when everything runs, and `saved` when SIGTERM was taken in.
        is_stubborn: Take no notice of SIGTERM.
        with_child: Start another process that takes no notice of SIGTERM.
    """
    place = Path(folder)
    pids = [os.getpid()]
    if with_child:
        stubborn = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
        )
        child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        pids.append(child.pid)
    is_asked: list[int] = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if is_stubborn else lambda number, _frame: is_asked.append(number))
    (place / "pids.part").write_text(" ".join(map(str, pids)))
    (place / "pids.part").rename(place / "pids")
    while not is_asked:
        time.sleep(0.05)
    for index in range(5):
        print(f"saving {index}", file=sys.stderr, flush=True)  # fails when the reader's end breaks the pipe
        time.sleep(0.1)
    (place / "saved").write_text("yes")
    return {"saved": True}


def leave_process_behind(*, folder: str) -> dict[str, bool]:
    """End well, but leave a process of the same group running that holds the output open.

    Args:
        folder: Gets `pids`.
    """
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (Path(folder) / "pids").write_text(str(child.pid))
    return {"left": True}


def change_folder(*, run_dir: str, data_dir: str, config_file: str = "", fail: bool = False) -> dict[str, int]:
    """Make, change and remove files of a run, as a training does.

    Args:
        run_dir: Gets `made/new.txt`, a longer `log.txt`, and loses `old.txt`.
        data_dir: Holds `numbers.txt`.
        config_file: A file to copy.
        fail: Whether to fail when all that is done.
    """
    run, numbers = Path(run_dir), (Path(data_dir) / "numbers.txt").read_text()
    (run / "made").mkdir(exist_ok=True)
    (run / "made/new.txt").write_text(numbers)
    (run / "made/big.bin").write_bytes(b"0123456789" * 1_000_000)
    with (run / "log.txt").open("a") as log:
        log.write("one more line\n")
    (run / "old.txt").unlink(missing_ok=True)
    if config_file:
        (run / "config.txt").write_text(Path(config_file).read_text())
    if fail:
        raise ServiceError("no more", "try again")
    return {"total": sum(map(int, numbers.split()))}


def end_without_result(*, status: int) -> dict[str, int]:
    """End the process at once.

    Args:
        status: The exit status; negative: end by this signal.
    """
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


TASKS = (
    describe_arguments,
    raise_error,
    print_lines,
    tell_environment,
    keep_running,
    leave_process_behind,
    change_folder,
    end_without_result,
)
