"""The last look at a metainfo before it is written (specification 4.1, 4.9)."""

from __future__ import annotations

from collections.abc import Mapping

from fastnode_ops.analysis.markers import SPECIAL_TOKENS
from fastnode_ops.samples.metainfo import Distribution, MetaInfo, ProductionIndex, production_id
from ops_common.errors import DataError

_HINT = "this is a bug of `make traindata`; report it"


def check_metainfo(metainfo: MetaInfo) -> None:
    """Check that the parts of a metainfo fit together.

    Raises:
        DataError: A weight is 0, a symbol has no parent, no keywords or no row, rows have gaps, or a special token is
            missing; the message names the first such thing.
    """
    for name, dist in (
        ("attr", metainfo.attr.dist),
        ("call", metainfo.call.dist),
        ("attr_base", metainfo.attr_base.dist),
    ):
        _check_distribution(name, dist)
    _check_attributes(metainfo)
    _check_functions(metainfo)
    for name in ("name_subtoken_index", "type_subtoken_index"):
        index: Mapping[str, int] = getattr(metainfo, name)
        _check_rows(name, index)
        missing = [token for token in SPECIAL_TOKENS if token not in index]
        if missing:
            raise DataError(f"{name} has no row for {missing[0]}", _HINT)
    _check_productions(metainfo.production_index)


def _check_distribution(name: str, dist: Distribution) -> None:
    for path, entry in dist.items():
        if entry.symbol != path:
            raise DataError(f"{name}.dist.{path} is of the symbol {entry.symbol}", _HINT)
        if entry.weight <= 0:
            raise DataError(f"{name}.dist.{path} has the weight {entry.weight}: it would never be drawn", _HINT)


def _check_attributes(metainfo: MetaInfo) -> None:
    attr = metainfo.attr
    named = sorted(path for paths in attr.CanonToSyms.values() for path in paths)
    if named != sorted(attr.dist):
        different = sorted(set(named) ^ attr.dist.keys()) or named
        raise DataError(f"attr.CanonToSyms must have each symbol of attr.dist once; see {different[0]}", _HINT)
    for path, parent in attr.parents.items():
        production = metainfo.production_index.productions.get(str(production_id(parent)))
        if production is None or production_id(path) not in production.children:
            raise DataError(f"the production of {parent} does not lead to its attribute {path}", _HINT)


def _check_functions(metainfo: MetaInfo) -> None:
    call = metainfo.call
    if call.infos.keys() != call.dist.keys():
        different = sorted(call.infos.keys() ^ call.dist.keys())
        raise DataError(f"call.infos and call.dist must name the same functions; only one has {different[0]}", _HINT)
    rows = metainfo.production_index
    for function, info in call.infos.items():
        needed = [f"choose_argtype:{function}:stop", *(f"choose_kwarg:{function}:{word}" for word in info.kwarg_names)]
        for id_string in needed:
            if rows.row(id_string) is None:
                raise DataError(f"{id_string} has no row in the production index", _HINT)


def _check_rows(name: str, index: Mapping[str, int]) -> None:
    if sorted(index.values()) != list(range(len(index))):
        raise DataError(f"{name}: the rows are not the numbers from 0 to {len(index) - 1}, each once", _HINT)


def _check_productions(index: ProductionIndex) -> None:
    _check_rows("production_index.indices", index.indices)
    if index.indices.keys() != index.productions.keys():
        different = sorted(index.indices.keys() ^ index.productions.keys())
        raise DataError(f"production {different[0]} is in only one of indices and productions", _HINT)
    if sorted(index.indices, key=int) != sorted(index.indices, key=index.indices.__getitem__):
        raise DataError("production_index.indices: the rows are not in the order of the ids", _HINT)
    for name, production in index.productions.items():
        if str(production.id) != name:
            raise DataError(f"production {name} says it is {production.id}", _HINT)
        unknown = [child for child in production.children if str(child) not in index.indices]
        if unknown:
            raise DataError(f"production {name} leads to {unknown[0]}, which has no row", _HINT)
