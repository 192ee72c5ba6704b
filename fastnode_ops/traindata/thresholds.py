"""What is too rare to learn (specification 4.1, 20.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

SMALL_CORPUS = 2_000
_GOOGLE = "google"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least counts.

    Args:
        min_score: A symbol's score; half of it for symbols below `google`.
        min_keyword_count: A keyword of a function is kept when it was seen more often than this.
        min_type_count: How often a symbol stands in the corpus, in any context, for its name to be a type's.
    """

    min_score: float = 100
    min_keyword_count: float = 50
    min_type_count: float = 100

    def score_of(self, path: str) -> float:
        """Return the least score of a symbol."""
        return self.min_score / 2 if path.partition(".")[0] == _GOOGLE else self.min_score

    def as_dict(self) -> dict[str, float]:
        """Return the thresholds by name."""
        return {name: float(value) for name, value in asdict(self).items()}


def default_thresholds(num_files: int) -> Thresholds:
    """Return thresholds for a corpus: those of the reference for a million files, in proportion, but at least 5.

    For a corpus below 2,000 files, which only shows that everything works, it is 2.
    """
    score = 2.0 if num_files < SMALL_CORPUS else max(5.0, 100 * num_files / 1_000_000)
    return Thresholds(score, score / 2, score)
