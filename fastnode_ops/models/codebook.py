"""Tables of vectors as sums of few code vectors (specification 12.1): made by k-means, refined by least squares.

A row of a V x D table becomes M codes below K; the row is the sum over m of `codebooks[m * K + code_m]`.

The books begin as product quantisation: book m holds k-means centres of its own slice of the columns, zero elsewhere.
Then rounds follow that lower the squared error: the best vectors for the codes (ridge regression, one solve), and for
each book in turn the best code given the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from ops_common.artifacts import atomic_path
from ops_common.errors import ArtifactError, ConfigError, DataError

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

KMEANS_ROUNDS = 10
MAX_FIRST_POINTS = 4_096
CHUNK_ROWS = 8_192
MIN_GAIN = 5e-4
"""Rounds end when the relative error falls by less than this share of itself."""

RIDGE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """A compressed table.

    Args:
        codebooks: [M * K, D] float32.
        codes: [V, M] uint8, each below K.
    """

    codebooks: Floats
    codes: Codes

    @property
    def num_books(self) -> int:
        """M."""
        return int(self.codes.shape[1])

    @property
    def num_entries(self) -> int:
        """K."""
        return len(self.codebooks) // self.num_books

    @property
    def num_bytes(self) -> int:
        """4 M K D + V M."""
        return self.codebooks.nbytes + self.codes.nbytes

    def decode(self) -> Floats:
        """Return the table that it stands for: [V, D]."""
        decoded: Floats = np.asarray(_indicator(self.codes, self.num_entries) @ self.codebooks, np.float32)
        return decoded

    def relative_error(self, table: Floats) -> float:
        """Return |decoded - table| / |table|, in the Frobenius norm, of the codes as they are shipped."""
        norm = float(np.linalg.norm(table))
        return float(np.linalg.norm(self.decode() - table)) / norm if norm else 0.0

    def save(self, folder: Path) -> None:
        """Write `model.codebook.npy` and `model.codes.npy`."""
        for name, array in (("codebook", self.codebooks), ("codes", self.codes)):
            with atomic_path(folder / f"model.{name}.npy") as path, path.open("wb") as file:
                np.save(file, array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Codebook:
        """Read what `save` wrote.

        Raises:
            ArtifactError: A file is missing or no array; or the arrays do not belong together.
        """
        try:
            arrays = [np.load(folder / f"model.{name}.npy", allow_pickle=False) for name in ("codebook", "codes")]
        except (OSError, ValueError, EOFError) as error:
            raise ArtifactError(f"cannot read the codebooks in {folder}: {error}", "run `compress` again") from None
        vectors, codes = arrays
        fits = vectors.ndim == codes.ndim == 2 and codes.shape[1] and len(vectors) % codes.shape[1] == 0
        if not fits or vectors.dtype != np.float32 or codes.dtype != np.uint8:
            raise ArtifactError(f"the codebooks in {folder} have shapes {vectors.shape} and {codes.shape}")
        if codes.size and int(codes.max()) >= len(vectors) // codes.shape[1]:
            raise ArtifactError(f"a code in {folder} is beyond its book")
        return cls(vectors, codes)


def train_codebook(
    table: Floats,
    num_books: int,
    num_entries: int,
    *,
    max_rounds: int,
    seed: int,
    report: Callable[[int, float], None] | None = None,
) -> Codebook:
    """Compress a table.

    Args:
        table: [V, D] float32.
        num_books: M, at most D.
        num_entries: K, at most 256.
        max_rounds: At most so many rounds of refinement.
        seed: Of the first centres.
        report: Told the relative error after each round; round 0 is product quantisation alone.

    Raises:
        ConfigError: There are more books than columns, or more entries than a byte can tell apart.
        DataError: The table has a value that is not finite.
    """
    num_rows, depth = table.shape
    if num_books > depth:
        raise ConfigError(f"{num_books} codebooks for vectors of {depth} values", "take fewer codebooks")
    if num_entries > 256:
        raise ConfigError(f"{num_entries} entries per codebook do not fit into a byte", "take at most 256")
    if not np.isfinite(table).all():
        raise DataError("the table has a value that is not finite")
    best = _product_quantised(table, num_books, num_entries, np.random.default_rng(seed))
    best_error = best.relative_error(table)
    if report is not None:
        report(0, best_error)
    codes = best.codes
    for round_index in range(1, max_rounds + 1):
        if not num_rows or best_error == 0:
            break
        vectors = _best_vectors(table, codes, num_entries)
        codes = _best_codes(table, vectors, codes)
        found = Codebook(_best_vectors(table, codes, num_entries), codes)
        error = found.relative_error(table)
        if report is not None:
            report(round_index, error)
        gain = best_error - error
        if gain > 0:
            best, best_error = found, error
        if gain < MIN_GAIN * best_error:
            break
    return best


def _product_quantised(table: Floats, num_books: int, num_entries: int, rng: np.random.Generator) -> Codebook:
    num_rows, depth = table.shape
    codebooks = np.zeros((num_books * num_entries, depth), np.float32)
    codes = np.zeros((num_rows, num_books), np.uint8)
    for book, columns in enumerate(np.array_split(np.arange(depth), num_books)):
        centres, nearest = _kmeans(table[:, columns], num_entries, rng)
        codebooks[book * num_entries : book * num_entries + len(centres), columns] = centres
        codes[:, book] = nearest
    return Codebook(codebooks, codes)


def _kmeans(points: Floats, num_centres: int, rng: np.random.Generator) -> tuple[Floats, Codes]:
    """Lloyd's rounds from k-means++ centres; an empty cluster keeps its centre."""
    num_points = len(points)
    centres = _first_centres(points, num_centres, rng)
    nearest = np.zeros(num_points, np.uint8)
    for _ in range(KMEANS_ROUNDS if num_points else 0):
        nearest = _nearest(points, centres)
        counts = np.bincount(nearest, minlength=len(centres))
        sums = _indicator(nearest[:, None], len(centres)).T @ points
        is_used = counts > 0
        centres[is_used] = sums[is_used] / counts[is_used, None]
    return centres, _nearest(points, centres) if num_points else nearest


def _first_centres(points: Floats, num_centres: int, rng: np.random.Generator) -> Floats:
    """Draw points one after the other, far ones rather (Arthur and Vassilvitskii, 2007), until all are covered."""
    sample = points[rng.permutation(len(points))[:MAX_FIRST_POINTS]]
    chosen = list(range(min(len(sample), 1)))
    distances = ((sample - sample[chosen]) ** 2).sum(axis=1).astype(np.float64)
    while len(chosen) < num_centres and distances.sum() > 0:
        chosen.append(int(rng.choice(len(sample), p=distances / distances.sum())))
        distances = np.minimum(distances, ((sample - sample[chosen[-1]]) ** 2).sum(axis=1))
    return sample[chosen].copy()


def _nearest(points: Floats, centres: Floats) -> Codes:
    distances = (centres**2).sum(axis=1) - 2 * points @ centres.T
    nearest: Codes = distances.argmin(axis=1).astype(np.uint8)
    return nearest


def _indicator(codes: Codes, num_entries: int) -> sparse.csr_matrix:
    """Return the 0/1 matrix [V, M * K] that has a one for each code."""
    num_rows, num_books = codes.shape
    columns = (codes.astype(np.int32) + np.arange(num_books, dtype=np.int32) * num_entries).ravel()
    starts = np.arange(num_rows + 1, dtype=np.int32) * num_books
    ones = np.ones(len(columns), np.float32)
    return sparse.csr_matrix((ones, columns, starts), shape=(num_rows, num_books * num_entries))


def _best_vectors(table: Floats, codes: Codes, num_entries: int) -> Floats:
    """Return the vectors with the least squared error for given codes.

    A little ridge makes the solution unique: a constant may be moved from one book to another without any difference.
    """
    chosen = _indicator(codes, num_entries)
    gram = (chosen.T @ chosen).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += RIDGE * max(1.0, len(table) / num_entries)
    vectors: Floats = linalg.solve(gram, (chosen.T @ table).astype(np.float64), assume_a="pos").astype(np.float32)
    return vectors


def _best_codes(table: Floats, vectors: Floats, codes: Codes) -> Codes:
    """Choose each book's code anew, book by book, given those of the others."""
    num_books = codes.shape[1]
    books = vectors.reshape(num_books, -1, vectors.shape[1])
    changed = codes.copy()
    for start in range(0, len(table), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        chosen = changed[part]
        left = table[part] - sum(book[chosen[:, index]] for index, book in enumerate(books))
        for index, book in enumerate(books):
            left += book[chosen[:, index]]  # what this book has to stand for
            chosen[:, index] = _nearest(left, book)
            left -= book[chosen[:, index]]
    return changed
