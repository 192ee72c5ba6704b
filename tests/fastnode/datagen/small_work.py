"""Work with a small generator in the place of the real one, for tests of deployments."""

import os
from pathlib import Path

from fastnode_ops.config import ExpressionConfig
from fastnode_ops.datagen.bundle import make_bundle
from fastnode_ops.datagen.deploy import Work
from ops_common.artifacts import write_manifest
from tests.fastnode.datagen.generator import PROGRAM

RANGES = range(12)
CORPUS_BYTES = 3_000_000


def make_work(folder: Path) -> Work:
    """A bundle, a corpus, and a generator that makes each range at once."""
    for package in ("fastnode_ops", "ops_common"):
        (folder / "project" / package).mkdir(parents=True)
        (folder / "project" / package / "__init__.py").touch()
    (folder / "project" / "requirements-datagen.txt").touch()
    (folder / "metainfo.json").write_text("{}")
    bundle = make_bundle(
        folder,
        metainfo_path=folder / "metainfo.json",
        config=ExpressionConfig(),
        parameters={},
        project_root=folder / "project",
    )
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "corpus.sqlite").write_bytes(os.urandom(CORPUS_BYTES))
    write_manifest(corpus, ["corpus.sqlite"])
    return Work(
        bundle=bundle,
        corpus_dir=corpus,
        identity="a" * 64,
        ranges=RANGES,
        data_steps=10 * len(RANGES),
        samples_per_file=10,
        finished=(),
        command=command(0),
        min_free_bytes=1,
    )


def command(seconds: float) -> list[str]:
    """The generator, with a pause after each range."""
    return ["{python}", "-c", PROGRAM, "{ranges}", "{samples}", "{state}", str(seconds)]
