"""`convert` keeps what serving reads and nothing else."""

from pathlib import Path

import pytest

from fastnode_ops.samples.metainfo import (
    AttrBaseInfo,
    AttrInfo,
    CallInfo,
    Entry,
    FunctionInfo,
    Header,
    MetaInfo,
    Production,
    ProductionIndex,
    read_metainfo,
)
from fastnode_ops.samples.serving_metainfo import convert
from ops_common.errors import ArtifactError

ENTRY = Entry(symbol="json.dumps", canonicalize=True, weight=3.0)
METAINFO = MetaInfo(
    header=Header(corpus_digest="c", created_at="2026-11-29T20:00:00+00:00"),
    attr=AttrInfo(CanonToSyms={"a": ["b"]}, dist={"json.dumps": ENTRY}, parents={"json.dumps": "json"}),
    call=CallInfo(infos={"json.dumps": FunctionInfo(kwarg_names=["indent"])}, dist={"json.dumps": ENTRY}),
    attr_base=AttrBaseInfo(dist={"json": ENTRY}),
    name_subtoken_index={"json": 0},
    type_subtoken_index={"dumps": 0},
    production_index=ProductionIndex(indices={"5": 0}, productions={"5": Production(id=5)}),
)


def test_it_keeps_indexes_aliases_and_keywords(tmp_path: Path) -> None:
    METAINFO.write(tmp_path / "metainfo.json")
    convert(tmp_path / "metainfo.json", tmp_path / "out" / "metainfo-inference.json")
    assert read_metainfo(tmp_path / "out" / "metainfo-inference.json") == MetaInfo(
        header=Header(corpus_digest="c"),
        attr=AttrInfo(CanonToSyms={"a": ["b"]}),
        call=CallInfo(infos={"json.dumps": FunctionInfo(kwarg_names=["indent"])}),
        name_subtoken_index={"json": 0},
        type_subtoken_index={"dumps": 0},
        production_index=ProductionIndex(indices={"5": 0}),
    )


def test_without_a_metainfo_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="make traindata"):
        convert(tmp_path / "metainfo.json", tmp_path / "metainfo-inference.json")
