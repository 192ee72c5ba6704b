"""The answers about symbols and files (specification 5.2.1 to 5.2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, Field

from fastnode_ops.config import Split
from fastnode_ops.symbols.symbol import Symbol
from fastnode_ops.web.refusals import RefusedError

DEFAULT_LIMIT = 10
MAX_LIMIT = 1_000
MAX_SOURCE_BYTES = 64 * 1024 * 1024
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_PREFIX = "symbol_context_"
_CONTEXTS = ("import", "attribute", "name", "call_func", "expr", "all")
_ALIAS = _PREFIX + "import_alias:"

Path = Annotated[str, Field(min_length=1, max_length=1_000)]
Context = Annotated[str, Field(max_length=1_000)]


class SymbolRequest(BaseModel):
    """One symbol, and which of its files."""

    symbol: Path
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=0, le=MAX_LIMIT)] = 0
    context: Context = ""
    canonicalize: bool = False


class ScoresRequest(BaseModel):
    """Many symbols."""

    symbols: Annotated[list[Annotated[str, Field(max_length=1_000)]], Field(max_length=100_000)]
    context: Context = ""
    canonicalize: bool = False


class HashRequest(BaseModel):
    """One file."""

    hash: Annotated[str, Field(max_length=200)]


class SymbolLookups(Protocol):
    """What is needed of `symbols.store.SymbolStore`."""

    def find(self, path: str) -> Symbol | None:
        """Return the symbol of a path."""

    def children(self, path: str) -> list[str]:
        """Return the names of its members, sorted."""


class IndexLookups(Protocol):
    """What is needed of `statistics.index.SymbolIndex`."""

    def files(self, symbol: str, context: str, *, canonical: bool, split: str) -> list[str]:
        """Return the sorted ids of the files of a split that hold a symbol in a context."""

    def scores(self, symbols: Sequence[str], context: str, *, canonical: bool) -> Mapping[str, int]:
        """Return how often each symbol stands in the corpus in a context."""


class CorpusLookups(Protocol):
    """What is needed of `corpus.store.Corpus`."""

    def source(self, file_id: str) -> bytes:
        """Return the text of a file."""


class SymbolAnswers:
    """Answers from a symbol store, an index and a corpus; from any thread."""

    def __init__(self, symbols: SymbolLookups, index: IndexLookups, corpus: CorpusLookups) -> None:
        self._symbols = symbols
        self._index = index
        self._corpus = corpus

    def meta_info(self, request: SymbolRequest) -> dict[str, Any]:
        """Return how many files hold the symbol."""
        return {"total_sources": len(self._files(request))}

    def members(self, request: SymbolRequest) -> dict[str, Any]:
        """Return the members of the symbol with their counts, most frequent first."""
        context = parse_context(request.context)
        symbol = self._symbol(request)
        names = self._symbols.children(symbol)
        scores = self._scores([f"{symbol}.{name}" for name in names], context, request.canonicalize)
        members = [{"member": name, "score": scores.get(f"{symbol}.{name}", 0)} for name in names]
        return {"members": sorted(members, key=lambda member: (-member["score"], member["member"]))}

    def sources(self, request: SymbolRequest) -> dict[str, Any]:
        """Return the texts of files that hold the symbol; one that cannot be read is an empty text.

        Raises:
            RefusedError: They are too many bytes for one answer.
        """
        files = self._files(request)
        texts: list[str] = []
        size = 0
        for file_id in page(files, request):
            texts.append(self._text(file_id) or "")
            size += len(texts[-1])
            if size > MAX_SOURCE_BYTES:
                raise RefusedError(400, f"the sources are larger than {MAX_SOURCE_BYTES} bytes; use a smaller limit")
        return {"sources": texts, "total": len(files)}

    def import_files(self, request: SymbolRequest) -> tuple[list[str], int]:
        """Return the files whose imports are asked for, and how many there are in all."""
        files = self._files(request)
        return page(files, request), len(files)

    def scores(self, request: ScoresRequest) -> dict[str, Any]:
        """Return the count of each symbol, or why it has none."""
        context = parse_context(request.context)
        asked: dict[str, str] = {}
        errors: dict[str, str] = {}
        for path in request.symbols:
            symbol = self._symbols.find(path)
            if symbol is None or symbol.path != path:
                errors[path] = _unknown(path, symbol)
            else:
                asked[path] = symbol.canonical if request.canonicalize else path
        found = self._scores(sorted(set(asked.values())), context, request.canonicalize)
        return {"scores": {path: found.get(name, 0) for path, name in asked.items()}, "errors": errors}

    def source(self, request: HashRequest) -> dict[str, Any]:
        """Return the text of a file.

        Raises:
            RefusedError: There is no such file (404).
        """
        text = self._text(request.hash)
        if text is None:
            raise RefusedError(404, f"there is no file {request.hash!r}")
        return {"source": text}

    def _files(self, request: SymbolRequest) -> list[str]:
        context = parse_context(request.context)
        symbol = self._symbol(request)
        files: list[str] = []
        if context is not None:
            canonical = request.canonicalize
            splits = (self._index.files(symbol, context, canonical=canonical, split=split) for split in SPLITS)
            files = sorted(file_id for found in splits for file_id in found)
        if request.offset > len(files):
            raise RefusedError(400, f"offset {request.offset} is beyond the number of files, {len(files)}")
        return files

    def _symbol(self, request: SymbolRequest) -> str:
        symbol = self._symbols.find(request.symbol)
        if symbol is None or symbol.path != request.symbol:
            raise RefusedError(400, _unknown(request.symbol, symbol))
        return symbol.canonical if request.canonicalize else symbol.path

    def _scores(self, symbols: Sequence[str], context: str | None, canonical: bool) -> Mapping[str, int]:
        return {} if context is None else self._index.scores(symbols, context, canonical=canonical)

    def _text(self, file_id: str) -> str | None:
        try:
            return self._corpus.source(file_id).decode("utf-8", "replace")
        except KeyError:
            return None


def parse_context(context: str) -> str | None:
    """Return the index's name of a symbol context; None for an import alias, whose count is always 0.

    Raises:
        RefusedError: There is no such context (400).
    """
    name = context.removeprefix(_PREFIX) or "attribute"
    if context.startswith(_ALIAS):
        return None
    if name not in _CONTEXTS or (context and not context.startswith(_PREFIX)):
        raise RefusedError(400, f"unknown symbol context {context!r}")
    return name


def page(files: Sequence[str], request: SymbolRequest) -> list[str]:
    """Return the files between offset and offset + limit."""
    return list(files[request.offset : request.offset + (request.limit or DEFAULT_LIMIT)])


def package_scores(imports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return packages with the number of their imports, most frequent first."""
    counted = [{"name": name, "score": count} for name, count in imports.items() if count > 0]
    return sorted(counted, key=lambda package: (-package["score"], package["name"]))


def _unknown(path: str, found: Symbol | None) -> str:
    return f"there is no symbol {path!r}" + (f"; did you mean {found.path!r}?" if found else "")
