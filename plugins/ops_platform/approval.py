"""A person's approval as a task that may also be left out: it waits without a worker, and a timeout is a refusal."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.definitions.context import Context

from ops_platform.command_line import is_true


class ReleaseApproval(ApprovalOperator):
    """Asks a person whether a model may be released; whatever follows directly is skipped when the answer is no.

    Args:
        is_required: Whether anybody is asked at all; templated.
        hours: How long the answer may take; templated.
    """

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "is_required", "hours")

    def __init__(self, *, is_required: Any, hours: Any, **kwargs: Any) -> None:
        super().__init__(defaults=self.REJECT, **kwargs)
        self.is_required = is_required
        self.hours = hours

    def execute(self, context: Context) -> Any:
        """Ask and wait, or go on at once."""
        if not is_true(self.is_required):
            self.log.info("no approval was asked for")
            return {"chosen_options": [self.APPROVE], "params_input": {}}
        self.response_timeout = timedelta(hours=float(self.hours))
        return super().execute(context)
