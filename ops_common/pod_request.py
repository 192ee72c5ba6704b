"""What one run may ask of the pods that its trainings run in. Left out: what the deployment says."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ops_common.config import Section, build_config
from ops_common.errors import ConfigError

_TOLERATION = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9._/-]*)(=(?P<value>[A-Za-z0-9._-]*))?(:(?P<effect>[A-Za-z]+))?")

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,250}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]
Toleration = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,250}(=[A-Za-z0-9._-]{0,63})?"
        r"(:(NoSchedule|PreferNoSchedule|NoExecute))?$"
    ),
]
Cpu = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3}|m)?$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?$")]


class PodRequest(Section):
    """Resources of a pod and where it may run."""

    gpus: int | None = Field(None, ge=0, le=64, description="GPUs; 0: none.")
    cpu: Cpu | None = Field(None, description="CPUs that are set aside, such as 4 or 500m.")
    memory: Memory | None = Field(None, description="Memory that is set aside and not exceeded, such as 16Gi.")
    node_selector: dict[Label, LabelValue] | None = Field(None, description="Labels that the node must have.")
    tolerations: list[Toleration] | None = Field(
        None, max_length=50, description="Taints that are no hindrance, each as key, key=value or key=value:Effect."
    )

    def over(self, defaults: PodRequest) -> PodRequest:
        """This request, completed with what the deployment says."""
        return PodRequest(**{**defaults.model_dump(exclude_none=True), **self.model_dump(exclude_none=True)})


def _checked(values: dict[str, Any] | None) -> dict[str, Any] | None:
    try:
        build_config(PodRequest, values or {}, where="pod")
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return values


PodField = Annotated[
    dict[str, Any] | None,
    AfterValidator(_checked),
    Field(
        description="Only where trainings run in pods, what this run's pod gets: gpus, cpu, memory, node_selector, "
        'tolerations, for example {"gpus": 1, "memory": "16Gi"}. Empty: as the deployment says.'
    ),
]
"""The field of a request that says it; a form shows it as JSON."""


def toleration_fields(text: str) -> dict[str, Any]:
    """A toleration in the form of a pod's specification: without a value any value will do, without an effect any."""
    match = _TOLERATION.fullmatch(text)
    assert match is not None  # PodRequest has seen to it
    value, effect = match["value"], match["effect"]
    fields: dict[str, Any] = {"key": match["key"], "operator": "Exists" if value is None else "Equal"}
    return {**fields, **({"value": value} if value is not None else {}), **({"effect": effect} if effect else {})}
