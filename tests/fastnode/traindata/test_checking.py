"""A metainfo whose parts do not fit together is not written."""

from collections.abc import Callable
from typing import Any

import pytest

from fastnode_ops.samples.metainfo import MetaInfo, production_id
from fastnode_ops.traindata.checking import check_metainfo
from fastnode_ops.traindata.productions import Grammar
from fastnode_ops.traindata.subtoken_indexes import name_index
from ops_common.errors import DataError

STOP = str(production_id("choose_argtype:json.dumps:stop"))
PARENT = str(production_id("json"))
NEW = str(production_id("new"))


def _values() -> dict[str, Any]:
    grammar = Grammar()
    grammar.add("json", ["json.dumps", "json.loads"])
    grammar.add("choose_argtype:json.dumps", ["choose_argtype:json.dumps:stop"])
    grammar.add("choose_kwarg:json.dumps", ["choose_kwarg:json.dumps:indent"])
    entries = {name: {"symbol": name, "canonicalize": False, "weight": 2.0} for name in ("json.dumps", "json.loads")}
    return {
        "attr": {
            "CanonToSyms": {"json.dumps": ["json.dumps"], "json.loads": ["json.loads"]},
            "dist": entries,
            "parents": {"json.dumps": "json", "json.loads": "json"},
        },
        "call": {
            "infos": {"json.dumps": {"kwarg_names": ["indent"]}},
            "dist": {"json.dumps": dict(entries["json.dumps"])},
        },
        "attr_base": {"dist": {}},
        "name_subtoken_index": name_index(["path"]),
        "type_subtoken_index": name_index(["dict"]),
        "production_index": grammar.index().model_dump(),
    }


def test_a_sound_metainfo_passes() -> None:
    check_metainfo(MetaInfo.model_validate(_values()))


def _swap_rows(values: dict[str, Any]) -> None:
    rows = values["production_index"]["indices"]
    first, second = list(rows)[:2]
    rows[first], rows[second] = rows[second], rows[first]


BREAKS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda v: v["call"]["dist"]["json.dumps"].update(weight=0), r"call\.dist\.json\.dumps has the weight 0"),
    (lambda v: v["call"]["dist"]["json.dumps"].update(symbol="x"), r"call\.dist\.json\.dumps is of the symbol x"),
    (lambda v: v["attr"]["CanonToSyms"].pop("json.loads"), r"each symbol of attr\.dist once; see json\.loads"),
    (lambda v: v["attr"]["CanonToSyms"]["json.loads"].append("json.loads"), "once; see json.dumps"),
    (lambda v: v["attr"]["parents"].update({"json.loads": "os"}), "production of os does not lead to"),
    (lambda v: v["production_index"]["productions"][PARENT].update(children=[]), "production of json does not lead to"),
    (lambda v: v["call"]["infos"].update(x={}), r"only one has x"),
    (lambda v: v["call"]["infos"]["json.dumps"]["kwarg_names"].append("sep"), "choose_kwarg:json.dumps:sep has no row"),
    (lambda v: v["name_subtoken_index"].update(path=7_000), "name_subtoken_index: the rows are not the numbers"),
    (lambda v: v["type_subtoken_index"].popitem(), "type_subtoken_index has no row for FASTNODE_"),
    (lambda v: v["production_index"]["indices"].update({STOP: 99}), "production_index.indices: the rows are not"),
    (lambda v: v["production_index"]["productions"].pop(STOP), f"production {STOP} is in only one of"),
    (_swap_rows, "rows are not in the order of the ids"),
    (lambda v: v["production_index"]["productions"][STOP].update(id=3), f"production {STOP} says it is 3"),
    (
        lambda v: v["production_index"]["productions"][STOP].update(children=[int(NEW)]),
        f"production {STOP} leads to {NEW}, which has no row",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), BREAKS, ids=[message for _, message in BREAKS])
def test_what_does_not_fit_is_named(spoil: Callable[[dict[str, Any]], Any], message: str) -> None:
    values = _values()
    spoil(values)
    with pytest.raises(DataError, match=message):
        check_metainfo(MetaInfo.model_validate(values))
