"""The accounts of a small data set, by hand: eight files of ten samples, three hosts of which one is dead."""

from dataclasses import replace
from io import StringIO

from fastnode_ops.accounting.balance import Accounts, Count, HostAccount, Sources, balance
from fastnode_ops.accounting.table import print_accounts
from fastnode_ops.sample_files.names import SampleFileName
from fastnode_ops.sync.accounts import BroughtFile, SyncAccounts
from fastnode_ops.training.reading_record import Reading, Readings

DATA_STEPS = 80


def name(index: int) -> SampleFileName:
    return SampleFileName(10 * index, 10, 1)


def brought(index: int, host: str) -> BroughtFile:
    return BroughtFile(name(index), str(index) * 64, host, index == 0)


def read(index: int, first_update: int, num_updates: int = 10) -> Reading:
    return Reading(first_update, first_update + num_updates, name(index).file_name, str(index) * 64)


# File 0 was used and deleted everywhere, of 1 half was used, 2 came from the host that died since and has not been
# used, 3 and 4 wait on the living hosts, both of which have made 4. Nobody has made 5 and 6; 7 only the dead host has.
SOURCES = Sources(
    ranges=[range(10 * index, 10 * index + 10) for index in range(8)],
    hosts=[
        HostAccount("a", {0, 1, 4}, [name(1), name(4)]),
        HostAccount("b", {3, 4}, [name(3), name(4)]),
        HostAccount("dead", trouble="host dead: no route"),
    ],
    here=[name(1), name(2)],
    synced=SyncAccounts([brought(0, "a"), brought(1, "a"), brought(2, "dead")], {name(1): ["a", "dead"]}),
    readings=Readings(DATA_STEPS, 15, [read(0, 0), read(1, 10, 5)]),
)


def test_every_sample_is_somewhere() -> None:
    accounts = balance(SOURCES)
    assert accounts == Accounts(
        planned=Count(8, 80),
        made=Count(5, 50),
        synced=Count(3, 30),
        used=Count(1, 15),
        left=Count(2, 15),
        waiting=Count(2, 20),
        not_made=Count(3, 30),
        made_twice=Count(2, 20),  # 4 by a and b; 1 by a, and it was seen on the dead one
    )
    used, left, waiting, lost = accounts.used, accounts.left, accounts.waiting, accounts.lost
    assert accounts.made.num_samples == sum(one.num_samples for one in (used, left, waiting, lost))


def test_what_was_made_and_is_nowhere_is_lost() -> None:
    gone = replace(SOURCES, here=[name(1)])  # the dead host had the only copy
    accounts = balance(gone)
    assert (accounts.lost, accounts.left) == (Count(1, 10), Count(1, 5))
    assert accounts.troubles == ["steps 20 to 29 were made, and are nowhere"]
    deleted = replace(SOURCES, hosts=[SOURCES.hosts[0], HostAccount("b", {3, 4}, [name(4)])])
    assert balance(deleted).troubles == ["steps 30 to 39 were made, and are nowhere"]


def test_later_epochs_are_no_duplicates_and_a_second_reading_is() -> None:
    assert SOURCES.readings is not None
    # with files for 10 steps, the updates 10 to 19 read them again
    twice = Readings(10, 20, [read(0, 0), read(0, 10)])
    accounts = balance(replace(SOURCES, readings=twice))
    assert (accounts.used, accounts.used_again, accounts.num_duplicated) == (Count(1, 10), 10, 0)
    torn = Readings(DATA_STEPS, 12, [read(0, 0), Reading(8, 10, name(0).file_name, "0" * 64)])
    accounts = balance(replace(SOURCES, readings=torn))
    assert accounts.num_duplicated == 2
    assert accounts.troubles[0] == "data step 8 was read 2 times in epoch 0"


def test_other_bytes_than_were_verified_are_said() -> None:
    other = Readings(DATA_STEPS, 10, [Reading(0, 10, name(0).file_name, "f" * 64)])
    assert balance(replace(SOURCES, readings=other)).troubles == [
        f"{name(0).file_name} was read with other bytes than the syncer has verified"
    ]


def test_a_last_file_that_was_short_is_made_again() -> None:
    ranges = [range(0, 10), range(10, 20)]
    short = SampleFileName(10, 5, 1)  # made when 15 steps were wanted
    found = balance(Sources(ranges, [], [name(0), short], SyncAccounts([], {}), None))
    assert (found.left, found.not_made) == (Count(1, 10), Count(1, 10))


def test_updates_without_files_and_many_troubles_are_counted() -> None:
    assert balance(replace(SOURCES, readings=Readings(DATA_STEPS, 40, [read(0, 30)]))).num_elsewhere == 30
    many = [range(index, index + 1) for index in range(50)]
    lost = balance(Sources(many, [HostAccount("a", set(range(50)))], [], SyncAccounts([], {}), None))
    assert lost.lost == Count(50, 50)
    assert (len(lost.troubles), lost.troubles[-1]) == (21, "and 30 more like it")


def test_the_table_has_every_figure() -> None:
    stream = StringIO()
    print_accounts(balance(SOURCES), SOURCES.hosts, stream)
    text = stream.getvalue()
    for row in ("planned │     8 │      80", "waiting │     2 │      20", "not made │     3 │      30"):
        assert " ".join(row.split()) in " ".join(text.split())
    assert "host dead: no route" in text and "host a: has made 3 files, of which 2 stand there" in text
