"""What goes and what stays. The first reason that holds decides; only what no reason holds is removed.

1. `kept by the list`     it is named in the keep list
2. `goes on`              a process works in it, or it is open and was written to lately
3. `released`             its model was published, or is one that the release history names, and others have not
                          replaced it for long
4. `newest`               it is among the newest of its workflow, or of the data sets
5. `young`                it is younger than the limit of its kind
6. `used`                 something that stays was made from it
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops_common.cleaning.inventory import Inventory, Item, Kind, Run, is_complete

DAY_SECONDS = 86_400.0
YOUNG, GOES_ON, RELEASED = "young", "goes on", "released"


@dataclass(frozen=True, slots=True)
class Rules:
    """How old is old.

    Attributes:
        max_age_days: By kind, the age from which it may go; a kind that is not named stays.
        release_days: The age from which the run of a released model that others have replaced is like any other.
        open_days: A run without a mark of its end goes on for as long as it was written to within these days.
        keep_newest: How many of the newest runs of each workflow, and of the newest data sets, stay at any age.
        keep: Names and patterns of what stays.
        released: Names of run folders that the release histories know.
        current: Those of them whose models are the released ones now; None: that is not known, so it may be any.
        now: The time, in seconds since 1970.
    """

    max_age_days: dict[Kind, float]
    release_days: float
    open_days: float
    keep_newest: int
    keep: Sequence[str]
    released: Collection[str]
    current: Collection[str] | None
    now: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of something.

    Attributes:
        item: What.
        is_removed: Whether it goes.
        reason: Why it goes or stays.
    """

    item: Item
    is_removed: bool
    reason: str


def choose(inventory: Inventory, rules: Rules) -> list[Verdict]:
    """Judge everything that was found.

    Checkpoints and samples in a run's folder go before the run when nothing but its youth keeps it, or a release that
    others have replaced since, and with it when it goes.

    Args:
        inventory: What there is.
        rules: What is old.

    Returns:
        A verdict for each item, in the inventory's order; none for parts of runs that go.
    """
    newest = _newest(inventory.items, rules.keep_newest)
    wholes = [item for item in inventory.items if item.kind == "run" or item.run is None]
    reasons = {id(item): _reason_to_stay(item, rules, newest) for item in wholes}
    _keep_what_is_used(wholes, reasons)
    of_runs = {item.run.path: reasons[id(item)] for item in wholes if item.run is not None}
    in_use = {item.paths[0] for item in wholes if id(item) in newest} | _references(wholes, reasons)
    verdicts = []
    for item in inventory.items:
        reason = reasons.get(id(item), "")
        if id(item) not in reasons and item.run is not None:
            of_run = of_runs[item.run.path]
            if not of_run:
                continue
            is_spare = of_run == RELEASED and item.run.path not in in_use and _is_replaced(item.run, rules)
            reason = _reason_of_age(item, rules) if of_run == YOUNG or is_spare else of_run
        verdicts.append(Verdict(item, not reason, reason or "old"))
    return verdicts


def read_keep_list(path: Path) -> list[str]:
    """Names and patterns of a keep list: one a line, `#` begins a remark."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def _reason_to_stay(item: Item, rules: Rules, newest: Collection[int]) -> str:
    run = item.run
    if _is_listed(item.name, rules.keep):
        return "kept by the list"
    if run is not None and _goes_on(run, rules):
        return GOES_ON
    if run is not None and _is_release(run, rules) and not (_is_replaced(run, rules) and _is_past(run, rules)):
        return RELEASED
    if id(item) in newest:
        return "newest"
    return _reason_of_age(item, rules)


def _is_release(run: Run, rules: Rules) -> bool:
    return run.is_released or (run.has_model and run.path.name in rules.released)


def _is_past(run: Run, rules: Rules) -> bool:
    return run.changed_at <= rules.now - rules.release_days * DAY_SECONDS


def _is_replaced(run: Run, rules: Rules) -> bool:
    return rules.current is not None and run.path.name not in rules.current


def _references(items: Sequence[Item], reasons: Mapping[int, str]) -> set[Path]:
    """What the runs that stay were made from."""
    return {path for item in items if item.run is not None and reasons[id(item)] for path in item.run.references}


def _reason_of_age(item: Item, rules: Rules) -> str:
    limit = rules.max_age_days.get(item.kind)
    return YOUNG if limit is None or item.changed_at > rules.now - limit * DAY_SECONDS else ""


def _is_listed(name: str, patterns: Iterable[str]) -> bool:
    """Whether a keep list names it: the whole name, or its last part."""
    last = name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns for text in (name, last))


def _goes_on(run: Run, rules: Rules) -> bool:
    return run.is_locked or (run.state == "open" and run.changed_at > rules.now - rules.open_days * DAY_SECONDS)


def _newest(items: Sequence[Item], number: int) -> set[int]:
    """The newest runs of each workflow, and the newest complete data sets."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.kind == "run" and item.run is not None:
            groups[f"run {item.run.workflow}"].append(item)
        elif item.kind == "dataset" and is_complete(item.paths[0]):
            groups["dataset"].append(item)
    found: set[int] = set()
    for group in groups.values():
        found |= {id(item) for item in sorted(group, key=lambda item: -item.changed_at)[:number]}
    return found


def _keep_what_is_used(items: Sequence[Item], reasons: dict[int, str]) -> None:
    """Whatever stays keeps what it was made from, and that in turn; samples, which can be made again, while it runs."""
    whole = {item.paths[0]: item for item in items}
    waiting = [item for item in items if item.kind == "run" and reasons[id(item)]]
    while waiting:
        run = waiting.pop().run
        assert run is not None  # an item of kind "run" has one
        for path in run.references:
            used = whole.get(path)
            if (
                used is None
                or reasons[id(used)]
                or (used.kind == "samples" and reasons[id(whole[run.path])] != GOES_ON)
            ):
                continue
            reasons[id(used)] = f"used by {run.name}"
            waiting += [used] if used.kind == "run" else []
