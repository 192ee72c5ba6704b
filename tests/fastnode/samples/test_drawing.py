"""Draws of symbols and files (specification 5.4, B.5) and sizes of batches (5.5, B.8)."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnode_ops.analysis.sites import Site
from fastnode_ops.config import TASKS, SampleConfig
from fastnode_ops.samples.drawing import BLOCK_STEPS, BlockOrder, Feeder, SymbolDistribution, SymbolFiles, rng
from fastnode_ops.samples.metainfo import Distribution, Entry
from fastnode_ops.samples.request import ExprRequest, Partition, TaskRequest
from ops_common.errors import DataError


def entries(**weights: float) -> Distribution:
    return {name: Entry(symbol=name, canonicalize=False, weight=weight) for name, weight in weights.items()}


def file_ids(count: int, salt: str = "") -> list[str]:
    return sorted(hashlib.sha256(f"{salt}{number}".encode()).hexdigest() for number in range(count))


class Index:
    """Files of symbols from a dict; remembers what was asked."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self.known = files
        self.asked: list[tuple[str, Site, bool, str]] = []

    @property
    def every(self) -> list[str]:
        return sorted({file_id for files in self.known.values() for file_id in files})

    def files_with_site(self, symbol: str, site: Site, *, canonical: bool, split: str) -> Sequence[str]:
        self.asked.append((symbol, site, canonical, split))
        return self.known.get(symbol, [])


def symbol_files(
    index: Index, *, seed: int = 1, low: float = 0.0, high: float = 1.0, limit: int = 5_000
) -> SymbolFiles:
    canonical = {"os.path": "posixpath"}
    partition = Partition(low=low, high=high)
    return SymbolFiles(
        index,
        lambda path: canonical.get(path, path),
        seed=seed,
        partition=partition,
        split="train",
        usable=index.every,
        limit=limit,
    )


def all_of(files: SymbolFiles, entry: Entry) -> list[str]:
    return files.all(entry, Site.BASE)


# --- random numbers


def test_a_key_always_gives_the_same_numbers() -> None:
    # PCG64 seeded with the SHA-256 of the written key: a change here makes all samples other samples
    text = "int:1:7;int:1:0;str:4:call;"
    expected = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest(), "little")))
    assert rng(7, 0, "call").random(4).tolist() == expected.random(4).tolist()


@given(
    st.lists(st.one_of(st.integers(), st.text()), max_size=4), st.lists(st.one_of(st.integers(), st.text()), max_size=4)
)
def test_different_keys_give_different_numbers(first: list[int | str], second: list[int | str]) -> None:
    same = first == second and [type(part) for part in first] == [type(part) for part in second]
    assert (rng(*first).bytes(8) == rng(*second).bytes(8)) == same


# --- the distribution


def test_draws_of_the_specifications_example() -> None:
    distribution = SymbolDistribution(entries(b=3, a=1), "test")
    assert distribution.cumulative == [0.25, 1.0]
    assert distribution.at(0.25).symbol == "a"
    assert distribution.at(0.2501).symbol == "b"
    assert distribution.at(0.0).symbol == "a"
    assert distribution.at(np.nextafter(1.0, 0.0)).symbol == "b"


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1e9), min_size=1), st.floats(0, 1, exclude_max=True))
def test_a_symbol_without_weight_is_never_drawn(weights: dict[str, float], uniform: float) -> None:
    if not sum(weights.values()):
        with pytest.raises(DataError, match="test: there is no symbol with a weight above 0"):
            SymbolDistribution(entries(**weights), "test")
        return
    distribution = SymbolDistribution(entries(**weights), "test")
    assert weights[distribution.at(uniform).symbol] > 0
    assert distribution.names == sorted(distribution.names)


# --- files of a symbol


def test_files_are_permuted_by_the_seed() -> None:
    index = Index({"json": file_ids(50)})
    entry = entries(json=1)["json"]
    first, again, other = (all_of(symbol_files(index, seed=seed), entry) for seed in (1, 1, 2))
    assert first == again
    assert sorted(first) == file_ids(50) == sorted(other)
    assert first != other and first != file_ids(50)


def test_partitions_share_the_files_out() -> None:
    index = Index({"json": file_ids(101)})
    entry = entries(json=1)["json"]
    parts = [all_of(symbol_files(index, low=low, high=high), entry) for low, high in ((0, 0.3), (0.3, 0.7), (0.7, 1))]
    assert [len(part) for part in parts] == [30, 40, 31]  # int(101 * 0.3), int(101 * 0.7) - 30, the rest
    assert [*parts[0], *parts[1], *parts[2]] == all_of(symbol_files(index), entry)


def test_no_more_files_than_the_limit_are_looked_at() -> None:
    entry = entries(json=1)["json"]
    index = Index({"json": file_ids(30)})
    everything = all_of(symbol_files(index), entry)
    assert all_of(symbol_files(index, limit=10), entry) == everything[:10]
    assert all_of(symbol_files(index, limit=10, low=0.5), entry) == everything[5:10]


def test_a_canonical_entry_asks_the_canonical_index_for_the_canonical_path() -> None:
    index = Index({"posixpath": file_ids(3)})
    files = symbol_files(index)
    assert len(files.all(Entry(symbol="os.path", canonicalize=True, weight=1), Site.MEMBER)) == 3
    assert files.all(Entry(symbol="os.path", canonicalize=False, weight=1), Site.MEMBER) == []
    assert index.asked == [("posixpath", Site.MEMBER, True, "train"), ("os.path", Site.MEMBER, False, "train")]


def test_the_index_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index({name: file_ids(10, name) for name in ("a", "b", "c")})
    files = symbol_files(index)
    for _ in range(3):
        for entry in entries(a=1, b=1, c=1).values():
            all_of(files, entry)
    assert len(index.asked) == 3
    monkeypatch.setattr("fastnode_ops.samples.drawing._MAX_CACHED_FILES", 15)
    small = symbol_files(index)
    before = [all_of(small, entry) for entry in entries(a=1, b=1, c=1).values()]
    assert [all_of(small, entry) for entry in entries(a=1, b=1, c=1).values()] == before
    assert len(index.asked) > 6  # forgotten ones are looked up again, and are the same


def test_files_that_are_not_usable_are_no_files_of_any_symbol() -> None:
    index = Index({"json": file_ids(20), "os": file_ids(3, "os")})
    for usable in (file_ids(20)[:7], file_ids(20)[13:], file_ids(5, "others"), []):
        files = SymbolFiles(index, str, seed=1, partition=Partition(), split="train", usable=usable, limit=5_000)
        assert sorted(files.all(entries(json=1)["json"], Site.BASE)) == sorted(set(usable) & set(file_ids(20)))
        assert files.draw(entries(os=1)["os"], Site.BASE, 0, rng(1)) is None


# --- the order of a block


def test_a_preferred_file_is_drawn_if_there_is_one_else_the_first() -> None:
    order = BlockOrder(7, 100, block_steps=10, num_preferred=20)
    first = rng(7, "block", 3).permutation(100)  # of the steps 30 to 39
    generator = rng("test")
    mixed = np.sort(np.concatenate([first[[4, 11, 19]], first[20:60]])).astype(np.int32)
    drawn = Counter(order.choose(mixed, step, generator) for step in range(30, 40) for _ in range(30))
    assert drawn.keys() == {(number, True) for number in first[[4, 11, 19]].tolist()}
    assert min(drawn.values()) > 60
    rare = np.sort(first[[90, 35, 71]]).astype(np.int32)
    assert {order.choose(rare, step, generator) for step in range(30, 40)} == {(first[35], False)}
    others = {order.choose(rare, step, generator)[0] for step in range(40, 1_000)}
    assert others == set(rare.tolist())  # in other blocks others come first


def test_symbols_share_files_within_a_block() -> None:
    # a hundred symbols with two files each, all of the same ten
    index = Index({f"r{n}": sorted({file_ids(10)[n % 10], file_ids(10)[n * 7 % 10]}) for n in range(100)})
    files, generator = symbol_files(index), rng("test")
    for step in (0, BLOCK_STEPS - 1):
        drawn = {
            files.draw(entry, Site.BASE, step, generator) for entry in entries(**dict.fromkeys(index.known, 1)).values()
        }
        assert len(drawn) <= 10


@pytest.mark.parametrize("num_files", [3, 40, 400])
def test_every_file_of_a_symbol_is_drawn_equally_often_in_a_long_run(num_files: int) -> None:
    # chi-square: with so many degrees of freedom its mean is that number, its deviation the root of twice that
    num_all, num_blocks = 500, 40 * num_files
    order = BlockOrder(11, num_all, block_steps=2, num_preferred=10)
    of_symbol = np.sort(rng("symbol").permutation(num_all)[:num_files]).astype(np.int32)
    drawn = Counter(order.choose(of_symbol, 2 * block, rng(block))[0] for block in range(num_blocks))
    expected = num_blocks / num_files
    chi_square = sum((drawn[number] - expected) ** 2 / expected for number in of_symbol.tolist())
    freedom = num_files - 1
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


# --- draws


def feeder(index: Index, distribution: Distribution, seed: int = 1) -> Feeder:
    return Feeder("attr", distribution, symbol_files(index, seed=seed), seed)


@settings(max_examples=30)
@given(st.permutations([(step, slot, attempt) for step in range(3) for slot in range(3) for attempt in range(2)]))
def test_a_draw_depends_on_its_key_alone(order: list[tuple[int, int, int]]) -> None:
    index = Index({name: file_ids(20, name) for name in "abc"})
    expected = {key: _seen(feeder(index, entries(a=1, b=2, c=3)), *key) for key in sorted(order)}
    one = feeder(index, entries(c=3, a=1, b=2))
    assert {key: _seen(one, *key) for key in order} == expected
    assert len(set(expected.values())) == len(expected)


def _seen(feed: Feeder, step: int, slot: int, attempt: int) -> tuple[str, str, float]:
    draw = feed.draw(step, slot, attempt)
    assert draw is not None
    return draw.entry.symbol, draw.file_id, draw.rng.random()


def test_draws_follow_the_weights() -> None:
    index = Index({name: file_ids(5, name) for name in "ab"})
    feed = feeder(index, entries(a=1, b=3))
    counts = Counter(_seen(feed, step, 0, 0)[0] for step in range(2_000))
    assert abs(counts["a"] - 500) < 5 * (2_000 * 0.25 * 0.75) ** 0.5


def test_symbols_without_files_are_passed_over() -> None:
    index = Index({"b": file_ids(5)})
    feed = feeder(index, entries(a=1, b=1))
    draws = [feed.draw(step, 0, 0) for step in range(50)]
    assert {draw.entry.symbol for draw in draws if draw} == {"b"}
    assert sum(draw.num_passed_over for draw in draws if draw) > 10


def test_an_attempt_fails_after_a_thousand_symbols_without_files() -> None:
    feed = feeder(Index({"b": file_ids(5)}), entries(a=1e9, b=1e-9))
    assert feed.draw(0, 0, 0) is None


def test_a_task_without_any_file_is_an_error() -> None:
    with pytest.raises(DataError, match="task attr: none of its 2 symbols has a usable file"):
        feeder(Index({}), entries(a=1, b=1))
    with pytest.raises(DataError, match="task attr: there is no symbol"):
        feeder(Index({}), {})


# --- sizes of batches


def expr(max_samples: int, **weights: float) -> ExprRequest:
    parts = {name: {"batch_proportion": weight} for name, weight in weights.items()}
    return ExprRequest.model_validate({"max_samples": max_samples, **parts})


def test_batch_sizes_of_the_specifications_example() -> None:
    counts = expr(40, **SampleConfig().proportions()).counts()
    assert list(counts.items()) == list(zip(TASKS, (6, 6, 2, 6, 6, 17)))


def test_a_share_that_comes_out_whole_is_not_rounded_up() -> None:
    assert expr(30, call=0.1, attr=0.1, attr_base=0.1).counts()["call"] == 10
    assert expr(7, attr=5).counts() == {name: 7 if name == "attr" else 0 for name in TASKS}


@given(st.lists(st.floats(0, 1e6), min_size=6, max_size=6).filter(any), st.integers(6, 500))
def test_every_drawn_task_gets_its_share(weights: list[float], max_samples: int) -> None:
    counts = expr(max_samples, **dict(zip(TASKS, weights))).counts()
    assert max_samples <= sum(counts.values()) <= max_samples + 6
    assert all((counts[name] > 0) == (weight > 0) for name, weight in zip(TASKS, weights))


def test_batch_sizes_need_a_drawn_task_and_room_for_each() -> None:
    with pytest.raises(ValueError, match="at least one batch_proportion must be above 0"):
        expr(10)
    with pytest.raises(ValueError, match="max_samples must be at least 3"):
        expr(2, call=1, attr=1, attr_base=1)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        ExprRequest(max_samples=10, call=TaskRequest.model_validate({"batch_proportion": -1}))
