"""`convert`: the part of `metainfo.json` that serving needs (specification 12.3)."""

from __future__ import annotations

from pathlib import Path

from fastnode_ops.samples.metainfo import AttrInfo, CallInfo, MetaInfo, ProductionIndex, read_metainfo


def serving_metainfo(metainfo: MetaInfo) -> MetaInfo:
    """Return the metainfo without what only training reads: distributions, parents, bases, the grammar.

    Nor does it say when it was made: a product's files are the same when a training is repeated.
    """
    return MetaInfo(
        header=metainfo.header.model_copy(update={"created_at": ""}),
        attr=AttrInfo(CanonToSyms=metainfo.attr.CanonToSyms),
        call=CallInfo(infos=metainfo.call.infos),
        name_subtoken_index=metainfo.name_subtoken_index,
        type_subtoken_index=metainfo.type_subtoken_index,
        production_index=ProductionIndex(indices=metainfo.production_index.indices),
    )


def convert(metainfo_path: Path, output_path: Path) -> MetaInfo:
    """Write `metainfo-inference.json` out of `metainfo.json`.

    Returns:
        What was written.

    Raises:
        ArtifactError: There is no such file.
        DataError: It cannot be used.
    """
    serving = serving_metainfo(read_metainfo(metainfo_path))
    serving.write(output_path)
    return serving
