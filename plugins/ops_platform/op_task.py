"""`op_task(function, **arguments)`: a task function of a library as an Airflow task.

The function is never called here. It names the task, its signature checks the arguments while the DAG file is parsed,
and the task runs the command of the same name as a child process of the worker:

    python -m gematria_ops train-model --run-dir=... --dataset-dir=... --result-file=<run>/results/train_model.json

The child's output becomes the task's log, line by line; the result file becomes the task's XCom value.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from ops_common.errors import OpsError
from ops_platform import child_guard, settings
from ops_platform.command_line import check_arguments, command_name, command_options, is_true
from ops_platform.object_store_connection import object_store_environment

NOT_RETRIED = {2: "usage", 3: "configuration", 4: "data", 6: "release gate"}
"""Exit statuses of faults that stay the same however often one tries."""

_LINE_LIMIT = 16_384  # bytes of one log line; a longer line is cut into several
_NUM_LAST_LINES = 12  # of the child's output, kept for the error message


class OpTask(BaseOperator):
    """Runs the command of a task function as a child process. Made by `op_task`.

    Args:
        library: The package whose command is run, e.g. `gematria_ops`.
        function: The task function; only its name and signature are used.
        arguments: The function's arguments; templates and XComs are allowed.
        run_dir: Run folder in whose `results/` the result file and the lock of the task stand; templated.
        object_store: Whether the child is given the object store's endpoint and credentials.
        asset_extra: What the events of the outlets say; templated.
        only_if: The task is skipped unless this is true; templated.
    """

    template_fields: Collection[str] = ("arguments", "run_dir", "asset_extra", "only_if")
    ui_color = "#e6f0fa"

    def __init__(
        self,
        *,
        library: str,
        function: Callable[..., Any],
        arguments: Mapping[str, Any],
        run_dir: Any,
        object_store: bool = False,
        asset_extra: Mapping[str, Any] | None = None,
        only_if: Any = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.library = library
        self.function = function
        self.arguments = dict(arguments)
        self.run_dir = run_dir
        self.object_store = object_store
        self.asset_extra = dict(asset_extra or {})
        self.only_if = only_if
        self._guard: subprocess.Popen[bytes] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the command and return what it wrote into its result file."""
        if not is_true(self.only_if):
            raise AirflowSkipException(f"{self.task_id} was not asked for")
        try:
            config = settings.load()
            options = command_options(self.function, self.arguments)
            environment = settings.child_environment(
                config, object_store_environment(config.s3_connection_id) if self.object_store else {}
            )
        except OpsError as error:
            raise AirflowFailException(str(error)) from None
        results = Path(str(self.run_dir)) / "results"
        results.mkdir(parents=True, exist_ok=True)
        result_path = results / f"{self.task_id}.json"
        result_path.unlink(missing_ok=True)  # an earlier attempt's answer is not this attempt's answer
        command = [config.python, "-m", self.library, command_name(self.function), *options]
        self._run([*command, f"--result-file={result_path}"], results, config, environment)
        result = self._read_result(result_path)
        self._describe_assets(context)
        return result

    def on_kill(self) -> None:
        """Ask the command to save its state and leave; the guard sees to it if we do not live to see it."""
        if self._guard is not None and self._guard.poll() is None:
            self._guard.terminate()

    def _run(
        self, command: list[str], results: Path, config: settings.Settings, environment: Mapping[str, str]
    ) -> None:
        lock, grace = results / f".{self.task_id}.guard", f"{config.stop_grace_seconds:g}"
        guarded = [sys.executable, "-I", child_guard.__file__, f"--lock={lock}", f"--grace={grace}", "--", *command]
        self.log.info("command: %s", " ".join(command))
        last_lines: deque[str] = deque(maxlen=_NUM_LAST_LINES)
        # The write end of the guard's standard input is ours alone: when this process ends, however, the guard knows.
        self._guard = subprocess.Popen(
            guarded,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=config.project_root,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            self._stream(self._guard, last_lines)
            status = self._guard.wait()
        finally:
            self._end_guard(self._guard, config.stop_grace_seconds)
        if status != 0:
            raise _failure(self.task_id, status, last_lines)

    def _stream(self, guard: subprocess.Popen[bytes], last_lines: deque[str]) -> None:
        assert guard.stdout is not None  # it was started with a pipe
        while raw := guard.stdout.readline(_LINE_LIMIT):
            for part in raw.decode("utf-8", errors="replace").replace("\r", "\n").splitlines():
                line = part.rstrip()
                if line:
                    last_lines.append(line)
                    self.log.log(_level(line), "%s", line)

    def _end_guard(self, guard: subprocess.Popen[bytes], grace_seconds: float) -> None:
        """Leave no process behind when the log loop was left early (a time limit, an error in here)."""
        if guard.poll() is None:
            guard.terminate()
            try:
                guard.wait(grace_seconds + 10)
            except subprocess.TimeoutExpired:
                guard.kill()
                guard.wait()
        for pipe in (guard.stdin, guard.stdout):
            if pipe is not None:
                pipe.close()

    def _read_result(self, path: Path) -> dict[str, Any]:
        try:
            result = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise AirflowException(f"{self.task_id} ended well but left no result in {path}: {error}") from None
        if not isinstance(result, dict):
            raise AirflowException(f"{self.task_id} left {type(result).__name__} in {path}, expected an object")
        for name, value in result.items():
            self.log.info("result: %s = %s", name, value)
        return result

    def _describe_assets(self, context: Context) -> None:
        for outlet in self.outlets:
            if isinstance(outlet, Asset) and self.asset_extra:
                context["outlet_events"][outlet].extra = dict(self.asset_extra)


def op_task(
    function: Callable[..., Any],
    *,
    run_dir: Any,
    outlets: Sequence[Asset] = (),
    asset_extra: Mapping[str, Any] | None = None,
    object_store: bool = False,
    pool: str | None = None,
    execution_timeout: timedelta | None = None,
    only_if: Any = True,
    **arguments: Any,
) -> OpTask:
    """A task that runs the command of a task function.

    Args:
        function: A task function of a library, e.g. `gematria_ops.tasks.train_model`.
        run_dir: Folder of the run: the result file is `<run_dir>/results/<function>.json`. Also passed to the
            function when it has an argument of this name.
        outlets: Assets that the task updates.
        asset_extra: What the asset events say; templates and XComs are allowed.
        object_store: Give the command the endpoint and the credentials of the object store, in its environment.
        pool: Airflow pool that limits how many such tasks run at once.
        execution_timeout: Longest time the task may take.
        only_if: Skip the task unless this is true; templates and XComs are allowed.
        **arguments: The function's own arguments; templates and XComs are allowed.

    Returns:
        The operator; its `output` is the dict that the function returns.

    Raises:
        ConfigError: An argument does not fit the function's signature, or the deployment's settings are wrong.
    """
    config = settings.load()
    takes_run_dir = "run_dir" in check_arguments(function, {**arguments, "run_dir": run_dir}, optional=("run_dir",))
    optional: dict[str, Any] = {"pool": pool} if pool else {}
    return OpTask(
        task_id=function.__name__,
        doc_md=function.__doc__,
        library=function.__module__.partition(".")[0],
        function=function,
        arguments={**arguments, "run_dir": run_dir} if takes_run_dir else arguments,
        run_dir=run_dir,
        object_store=object_store,
        asset_extra=asset_extra,
        only_if=only_if,
        outlets=list(outlets),
        execution_timeout=execution_timeout,
        retries=config.retries,
        retry_delay=timedelta(seconds=config.retry_delay_seconds),
        retry_exponential_backoff=2.0,
        max_retry_delay=timedelta(minutes=15),
        multiple_outputs=True,  # so that `output["url"]` of a task can be another one's argument
        **optional,
    )


def _failure(task: str, status: int, last_lines: Collection[str]) -> AirflowException:
    output = "\n".join(f"  {line}" for line in last_lines) or "  (no output)"
    if status in NOT_RETRIED:
        return AirflowFailException(f"{task} ended with status {status} ({NOT_RETRIED[status]} error):\n{output}")
    reason = f"killed by signal {status - 128}" if status > 128 and status != 130 else f"ended with status {status}"
    return AirflowException(f"{task} {reason}; it can be retried. Its last lines:\n{output}")


def _level(line: str) -> int:
    """The log level of a line of the command's output, by how it starts."""
    start = line[:9].lower()
    if start.startswith(("error", "critical")):
        return 40
    return 30 if start.startswith("warning") else 20
