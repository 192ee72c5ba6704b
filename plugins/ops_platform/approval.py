"""A person's approval as a task that may also be left out: it waits without a worker, and a timeout is a refusal.

The answer is kept in `release.json` of the run, whose model waits for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.definitions.context import Context

from ops_common.release_record import Approval, decide_release, now_utc, read_release
from ops_platform.command_line import is_true

_BODY = """
[The report](/ops/runs/{{ dag.dag_id | urlencode }}/{{ run_id | urlencode }}/reports/REPORT). What the release gate
found:

{% for name, value in (ti.xcom_pull(task_ids="check_release") or {}).items() %}
* {{ name }}: {{ value }}
{% endfor %}

The model will be uploaded to `{{ ti.xcom_pull(task_ids="resolve_request")["destination"] }}`.
"""


class ReleaseApproval(ApprovalOperator):
    """Asks a person whether a model may be released; whatever follows directly is skipped when the answer is no.

    Args:
        is_required: Whether anybody is asked at all; templated.
        hours: How long the answer may take; templated.
        run_dir: Folder of the run whose release.json keeps the answer; templated. Empty: nowhere.
    """

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "is_required", "hours", "run_dir")

    def __init__(self, *, is_required: Any, hours: Any, run_dir: Any = "", **kwargs: Any) -> None:
        super().__init__(defaults=self.REJECT, **kwargs)
        self.is_required = is_required
        self.hours = hours
        self.run_dir = run_dir

    @classmethod
    def of_run(cls, what: str, report: str, request: Any) -> Self:
        """The approval of a training's model, between its gate and its upload.

        Args:
            what: What is to be released, for the question; templated.
            report: File name of the report to read first.
            request: The run's plan, as XCom.
        """
        return cls(
            task_id="approve_release",
            subject=f"Release {what}?",
            body=_BODY.replace("REPORT", report),
            is_required=request["require_approval"],
            hours=request["approval_hours"],
            run_dir=request["run_dir"],
            retries=2,
        )

    def execute(self, context: Context) -> Any:
        """Ask and wait, or go on at once."""
        if not is_true(self.is_required):
            self.log.info("no approval was asked for")
            return {"chosen_options": [self.APPROVE], "params_input": {}}
        self.response_timeout = timedelta(hours=float(self.hours))
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep the answer, then go on, or skip what follows."""
        if "error" not in event:
            self._keep(event)
        return super().execute_complete(context, event)

    def _keep(self, event: Mapping[str, Any]) -> None:
        folder = Path(str(self.run_dir)) if self.run_dir else None
        if folder is None or read_release(folder) is None:
            return
        answer, by = event["chosen_options"][0], _name_of(event.get("responded_by_user"))
        approval = Approval(answer=answer, by=by, at=now_utc())
        if answer == self.APPROVE:
            decide_release(folder, "passed", approval=approval)
            return
        reason = f"{by} rejected it" if by else f"nobody approved it within {float(self.hours):g} hours"
        decide_release(folder, "not_approved", reasons=[reason], approval=approval)


def _name_of(user: Any) -> str:
    """The name of whoever answered; empty when nobody did."""
    if user is None:
        return ""
    found = user if isinstance(user, Mapping) else vars(user)
    return str(found.get("name") or found.get("id") or "")
