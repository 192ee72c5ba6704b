"""A small corpus in memory, counts of symbols, and a completer that knows a few names: what a validation needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fastnode_ops.inference.completions import CallCompletion, CompletedArgument, Completion
from fastnode_ops.inference.unsupported import Unsupported
from fastnode_ops.symbols.store import SymbolStore


class Folder:
    """Files in memory, all of the validation split."""

    def __init__(self, *sources: bytes) -> None:
        self._files = {f"file-{number:03d}": source for number, source in enumerate(sources)}

    def files(self, split: str) -> list[str]:
        return sorted(self._files) if split == "validation" else []

    def source(self, file_id: str) -> bytes:
        return self._files[file_id]


class Counts:
    """Counts of canonical paths by context."""

    def __init__(self, **contexts: dict[str, int]) -> None:
        self._contexts = contexts

    def scores(self, symbols: Sequence[str], context: str, *, canonical: bool) -> Mapping[str, int]:
        assert canonical
        return {one: self._contexts[context][one] for one in symbols if one in self._contexts.get(context, {})}


def offered_call(*arguments: tuple[str, str]) -> CallCompletion:
    """A call that is offered: (keyword, variable) of each argument."""
    return CallCompletion(tuple(CompletedArgument(*argument, 1.0) for argument in arguments), True, 1.0)


@dataclass
class ToyModel:
    """Completes attributes with the same names everywhere but behind `json.`, and calls with the same calls."""

    names: Sequence[str] = ("join", "sep", "exists")
    calls_offered: Sequence[CallCompletion] = ()
    asked: list[bytes] = field(default_factory=list)

    def attributes(self, source: bytes, cursor: int, prefix: str = "") -> list[Completion]:
        self.asked.append(source)
        if source[:cursor].endswith(b"json."):
            raise Unsupported("base is unsupported")
        weights = [2.0**-place for place in range(len(self.names))]
        return [Completion(name, one / sum(weights)) for name, one in zip(self.names, weights, strict=True)]

    def calls(self, source: bytes, cursor: int) -> Sequence[CallCompletion]:
        self.asked.append(source)
        assert source[cursor - 1 : cursor + 1] == b"()"
        return self.calls_offered


@dataclass(frozen=True)
class ToyResources:
    """All of it."""

    corpus: Folder
    symbols: SymbolStore
    index: Counts
    digest: str = "c0" * 32
