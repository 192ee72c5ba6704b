"""Reports of validations that never were."""

import numpy as np

from fastnode_ops.validation.attribute_report import AttributeReport, Provenance
from fastnode_ops.validation.fallback import compare_by_symbol
from fastnode_ops.validation.providers import MODEL_PROVIDER, POPULARITY_PROVIDER
from fastnode_ops.validation.ranking import Outcome, provider_figures, symbol_figures


def outcomes(*ranks: int | None) -> list[Outcome]:
    """Outcomes with these ranks; None: failed."""
    shares = np.array([0.55, 0.2, 0.1, 0.1, 0.05], np.float32)
    return [
        Outcome(-1, "base is unsupported", 0.5, shares[:0]) if rank is None else Outcome(rank, "", 0.02, shares)
        for rank in ranks
    ]


def make_report(
    model: list[int | None],
    popularity: list[int | None],
    *,
    name: str = "new",
    digest: str = "same",
    symbol: str = "os.path",
) -> AttributeReport:
    """A report over situations of one symbol, each of a file of its own."""
    made = {MODEL_PROVIDER: outcomes(*model), POPULARITY_PROVIDER: outcomes(*popularity)}
    files = [f"file {number}" for number in range(len(model))]
    symbols = [symbol] * len(model)
    return AttributeReport(
        model=name,
        split="validation",
        num_files=len(files),
        num_situations=len(model),
        dropped={"file too large": 2, "nothing": 0},
        providers=provider_figures(made, files, frozenset(made)),
        symbols=symbol_figures(made, symbols),
        fallback=compare_by_symbol(symbols, made[POPULARITY_PROVIDER], made[MODEL_PROVIDER]),
        provenance=Provenance(
            created_at="2026-03-01T12:00:00Z",
            seconds=12.5,
            digests={"situations": digest},
            settings={"max_events": 1000},
            versions={"tensorflow": "2"},
        ),
    )
