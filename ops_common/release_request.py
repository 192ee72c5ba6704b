"""What a person may ask of the release of any model: the fields that the forms of all trainings have in common."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ops_common.config import Section


class ReleaseChoices(Section):
    """Whether a model is released, how it is compared with the released one, and who is asked first."""

    confidence: float = Field(
        0.95,
        ge=0.5,
        le=0.999,
        description="Release gate: share of the resampled differences that the interval of a comparison holds.",
    )
    num_resamples: int = Field(
        1_000, ge=100, le=100_000, description="Release gate: resamples of the paired bootstrap of a comparison."
    )
    comparison_seed: int = Field(0, ge=0, le=2**31 - 1, description="Release gate: seed of that bootstrap.")
    require_approval: bool = Field(False, description="Wait for a person's approval before the model is uploaded.")
    approval_hours: float = Field(
        12.0, ge=0.01, le=720, description="Hours that the approval may take; after that the model is rejected."
    )
    release: bool = Field(
        True,
        description="Make the model the released one of its destination. No: it is uploaded, the released one stays.",
    )

    def release_choices(self) -> dict[str, Any]:
        """These fields alone, as tasks take them."""
        return self.model_dump(include=set(ReleaseChoices.model_fields))
