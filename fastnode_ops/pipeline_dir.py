"""The folder that one model is made in, and the name of everything in it (specification 2.2).

For `make` it is the checkout, for Airflow the folder of the run. `tmp/` holds what is being made, `out/` what is whole:
everything is written under a temporary name and then renamed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

GRAPH_CONFIG_NAME = "graph-config.json"
FALLBACK_NAME = "attr-fallback.txt"


@dataclass(frozen=True, slots=True)
class PipelineDir:
    """Paths of one model's files.

    Args:
        path: The folder; made by whoever writes first.
    """

    path: Path

    @property
    def out(self) -> Path:
        """Finished files: all that is uploaded."""
        return self.path / "out"

    @property
    def tmp(self) -> Path:
        """Files in the making, checkpoints, and what stays on this machine."""
        return self.path / "tmp"

    @property
    def serve(self) -> Path:
        """What a product needs to complete code."""
        return self.out / "serve"

    @property
    def metainfo(self) -> Path:
        """Distributions and indexes, by `traindata`."""
        return self.out / "metainfo.json"

    @property
    def serving_metainfo(self) -> Path:
        """The part of the indexes that completions need, by `convert`."""
        return self.serve / "metainfo-inference.json"

    @property
    def serving_graph_config(self) -> Path:
        """How much of a file the model was trained to see, by `train`; completions look at as much."""
        return self.serve / GRAPH_CONFIG_NAME

    @property
    def saved_model(self) -> Path:
        """The trained model as a SavedModel."""
        return self.out / "saved_model"

    @property
    def frozen_model(self) -> Path:
        """The trained model as a frozen graph, before compression."""
        return self.out / "expr_model.uncompressed.frozen.pb"

    @property
    def weights(self) -> Path:
        """The trained weights as NumPy's `.npz`."""
        return self.out / "expr_model.weights.npz"

    @property
    def compressed_model(self) -> Path:
        """The frozen graph whose tables are codebooks, by `compress`."""
        return self.serve / "expr_model.frozen.pb"

    @property
    def codebooks(self) -> Path:
        """The codebooks of each table."""
        return self.tmp / "codebook_models"

    @property
    def checkpoint_prefix(self) -> Path:
        """Checkpoints are `<prefix>-<step>.*`, beside the state file `checkpoint`."""
        return self.tmp / "ckpt"

    @property
    def samples_read(self) -> Path:
        """Which sample files the training has read, by update."""
        return self.tmp / "samples-read.json"

    @property
    def continuation(self) -> Path:
        """What the newest `continue` set out to do."""
        return self.tmp / "continuation.json"

    @property
    def held_out_batches(self) -> Path:
        """The batches that the training is validated with."""
        return self.tmp / "held-out-batches.json"

    @property
    def metrics(self) -> Path:
        """The training curves as JSON lines."""
        return self.tmp / "metrics.jsonl"

    @property
    def fallback_of_pipeline(self) -> Path:
        """Symbols for which popularity did better in this validation."""
        return self.tmp / "attr-fallback-pipeline.txt"

    @property
    def fallback(self) -> Path:
        """All symbols that completions leave to popularity."""
        return self.serve / FALLBACK_NAME

    @property
    def uncurated_examples(self) -> Path:
        """Examples of the attribute validation, a file each."""
        return self.tmp / "uncurated-examples" / "attr"

    @property
    def curated_examples(self) -> Path:
        """The curated examples with the completions of this model."""
        return self.out / "curated-examples" / "attr.json"

    @property
    def reports(self) -> Path:
        """What people read: one JSON and one page per validation."""
        return self.out / "reports"

    @property
    def shares(self) -> Path:
        """Samples that tasks of the workflow make, a folder each, until they are fetched."""
        return self.path / "shares"

    @property
    def results(self) -> Path:
        """What each step returned."""
        return self.tmp / "results"

    def tensorboard(self, model_name: str) -> Path:
        """Summaries of a training, beside those of others."""
        return self.path / "tensorboard" / model_name

    @property
    def tensorboard_copy(self) -> Path:
        """The copy of all summaries that is uploaded."""
        return self.out / "tensorboard"
