"""Where every sample is: each step of the data has exactly one standing, so that the sums must agree.

A *sample* here is a training batch, the content of a data step.

    planned = made + not made
    made    = used + left + waiting + lost

Nothing of this is counted twice from one source: made is what the hosts' ledgers and the syncer say, used is what the
training wrote down with its newest checkpoint, left and waiting are files that stand somewhere at this moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sync.accounts import SyncAccounts
from fastnode_ops.training.reading_record import Readings

MAX_NAMED = 20
"""How many files are named of each kind of trouble."""


@dataclass(frozen=True)
class HostAccount:
    """What a host says.

    Args:
        host: Its name.
        made: Ranges that it has made, by its ledger.
        files: Finished files that stand there.
        trouble: Why it does not answer; empty: it did.
    """

    host: str
    made: Collection[int] = ()
    files: Collection[SampleFileName] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Sources:
    """All that the accounts are made of.

    Args:
        ranges: The steps of every range, by its number.
        hosts: What the hosts say.
        here: Files that stand in our folder.
        synced: What the syncer says.
        readings: What the training says; None: it has said nothing yet.
    """

    ranges: Sequence[range]
    hosts: Sequence[HostAccount]
    here: Collection[SampleFileName]
    synced: SyncAccounts
    readings: Readings | None


@dataclass
class Count:
    """So many files, with so many samples. Of a file some samples may be used and some left: it then counts as left."""

    num_files: int = 0
    num_samples: int = 0

    def add(self, num_samples: int, *, is_file: bool = True) -> None:
        """Count some samples, and the file that they are in unless it is counted elsewhere."""
        self.num_files += is_file
        self.num_samples += num_samples


@dataclass
class Accounts:
    """The accounts.

    Args:
        planned: All that is to be made.
        made: What was made, by whomever.
        synced: What came here and was verified.
        used: What the training has learned from, up to its newest checkpoint.
        left: What stands here and is not used yet.
        waiting: What stands on hosts that answer, and not here.
        not_made: What nobody has made yet; also what only a host that does not answer has and nobody has fetched.
        lost: What was made and is nowhere.
        made_twice: What several hosts have made; it comes here once.
        used_again: Samples that were read in a later epoch, once more for each.
        num_duplicated: Samples that were read again within an epoch.
        num_elsewhere: Updates whose samples came from no file.
        troubles: What is wrong, in a line each.
    """

    planned: Count = field(default_factory=Count)
    made: Count = field(default_factory=Count)
    synced: Count = field(default_factory=Count)
    used: Count = field(default_factory=Count)
    left: Count = field(default_factory=Count)
    waiting: Count = field(default_factory=Count)
    not_made: Count = field(default_factory=Count)
    lost: Count = field(default_factory=Count)
    made_twice: Count = field(default_factory=Count)
    used_again: int = 0
    num_duplicated: int = 0
    num_elsewhere: int = 0
    troubles: list[str] = field(default_factory=list)


def balance(sources: Sources) -> Accounts:
    """Find out where every sample is."""
    accounts = Accounts()
    used = _read_steps(sources, accounts)
    makers = _makers(sources)
    here = _steps(sources.here)
    brought = here | _steps(one.name for one in sources.synced.brought)
    waiting = _steps(name for host in sources.hosts for name in host.files)
    lost = []
    for number, steps in enumerate(sources.ranges):
        num_samples, num_used = len(steps), sum(step in used for step in steps)
        is_brought, num_makers = steps in brought, len(makers.get(number, ()))
        accounts.planned.add(num_samples)
        if not is_brought and not num_makers and not num_used:
            accounts.not_made.add(num_samples)
            continue
        accounts.made.add(num_samples)
        if is_brought:
            accounts.synced.add(num_samples)
        if num_makers > 1:
            accounts.made_twice.add(num_samples)
        num_unused = num_samples - num_used
        if num_used:
            accounts.used.add(num_used, is_file=not num_unused)
        if num_unused:
            if steps in here:
                accounts.left.add(num_unused)
            elif steps in waiting:
                accounts.waiting.add(num_unused)
            else:
                accounts.lost.add(num_unused)
                lost.append(f"steps {steps.start} to {steps.stop - 1} were made, and are nowhere")
    accounts.troubles += _some(lost)
    return accounts


def _steps(names: Iterable[SampleFileName]) -> set[range]:
    return {range(name.first_step, name.end_step) for name in names}


def _makers(sources: Sources) -> Mapping[int, set[str]]:
    """Which hosts have made a range: by their ledgers, and those that do not answer by where the syncer saw it."""
    numbers = {steps: number for number, steps in enumerate(sources.ranges)}
    silent = {host.host for host in sources.hosts if host.trouble}
    makers: dict[int, set[str]] = {}
    for host in sources.hosts:
        for number in host.made:
            makers.setdefault(number, set()).add(host.host)
    for one in sources.synced.brought:
        number = numbers.get(range(one.name.first_step, one.name.end_step), -1)
        seen = {*sources.synced.copies.get(one.name, ()), one.host} & silent
        if number >= 0 and seen:
            makers.setdefault(number, set()).update(seen)
    return makers


def _read_steps(sources: Sources, accounts: Accounts) -> set[int]:
    """The data steps that were read; counts those that came again, and holds what was read against what was brought."""
    readings = sources.readings
    if readings is None:
        return set()
    digests = {one.name.file_name: one.sha256 for one in sources.synced.brought}
    times: Counter[tuple[int, int]] = Counter()
    others = set()
    for epoch, step, file_name, sha256 in readings.times_read():
        times[epoch, step] += 1
        if digests.get(file_name, sha256) != sha256:
            others.add(f"{file_name} was read with other bytes than the syncer has verified")
    used = {step for _, step in times}
    repeated = sorted((epoch, step, count) for (epoch, step), count in times.items() if count > 1)
    again = [f"data step {step} was read {count} times in epoch {epoch}" for epoch, step, count in repeated]
    accounts.num_duplicated = sum(count - 1 for count in times.values())
    accounts.used_again = len(times) - len(used)
    accounts.num_elsewhere = readings.num_updates - times.total()
    accounts.troubles += [*_some(again), *_some(sorted(others))]
    return used


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - MAX_NAMED} more like it"] if len(lines) > MAX_NAMED else []
    return [*lines[:MAX_NAMED], *more]
