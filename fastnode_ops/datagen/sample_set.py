"""All the samples of a training, and what each of their files is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastnode_ops.config import ExpressionConfig, Split
from fastnode_ops.datagen.ranges import ranges, steps_of
from fastnode_ops.sample_files.header import SampleFileHeader, request_digest
from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.samples.request import SessionRequest, session_request
from ops_common.errors import ConfigError


@dataclass(frozen=True)
class SampleSet:
    """What is to be made, by however many hosts.

    Args:
        metainfo: What the batches are made with.
        config: Seed, size and proportions of the batches.
        data_steps: How many batches there are in all.
        samples_per_file: How many go into a file; the last one may have fewer.
        split: Which files of the corpus they are drawn from.
    """

    metainfo: MetaInfo
    config: ExpressionConfig
    data_steps: int
    samples_per_file: int
    split: Split = "train"

    @property
    def numbers(self) -> range:
        """The numbers of its ranges, each of which is a file; ConfigError when a setting is out of its limits."""
        return ranges(self.data_steps, self.samples_per_file)

    @cached_property
    def request(self) -> SessionRequest:
        """What a server is asked for, in answers that end where files end."""
        most = self.config.train.batches_per_response
        size = max(size for size in range(1, most + 1) if self.samples_per_file % size == 0)
        return session_request(self.metainfo, self.config, num_batches=size, split=self.split)

    @cached_property
    def digests(self) -> dict[str, Any]:
        """What the samples are tied to: as in the header of a file."""
        return {
            "metainfo_digest": self.metainfo.digest,
            "corpus_digest": self.metainfo.header.corpus_digest,
            "request_digest": request_digest(self.request),
        }

    @property
    def identity(self) -> dict[str, Any]:
        """All that must be equal for two runs to make files of one set, but for the number of steps."""
        return {**self.digests, "seed": self.request.random_seed, "samples_per_file": self.samples_per_file}

    def header(self, number: int) -> SampleFileHeader:
        """Return the header of a range's file."""
        steps = self.steps(number)
        return SampleFileHeader(
            **self.digests,
            seed=self.request.random_seed,
            split=self.split,
            first_step=steps.start,
            num_batches=len(steps),
        )

    def steps(self, number: int) -> range:
        """Return the steps of a range.

        Raises:
            ConfigError: There is no such range.
        """
        if number not in self.numbers:
            raise ConfigError(
                f"there is no range {number}: {self.data_steps:,} steps make {len(self.numbers):,} files",
                f"give ranges from 0 to {len(self.numbers) - 1}",
            )
        return steps_of(number, self.data_steps, self.samples_per_file)
