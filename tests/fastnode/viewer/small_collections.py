"""A collection made by hand in which every sorting class occurs, with ties and absent providers."""

from pathlib import Path

from fastnode_ops.validation.examples import Example, ExampleCompletion, ProviderOutput, write_examples

MODEL = "ggnn-line-attr"
ABSENT = None
OTHERS = ("abspath", "basename", "commonpath", "dirname", "getsize", "isfile", "normpath", "split")
BUFFER = "import {module}\n\n\ndef f(x):\n    return {symbol}.{expected}(x)\n"

# symbol, expected, rank of the model, of pop, of alpha; -1 not found, None absent
RANKS: tuple[tuple[str, str, int | None, int | None, int | None], ...] = (
    ("os.path", "join", 0, 1, 4),  # sole best and correct
    ("os.path", "exists", 2, 3, -1),  # sole best
    ("os.path", "isdir", 0, 0, 1),  # tied and correct
    ("json", "dumps", 1, 1, ABSENT),  # tied best
    ("json", "loads", 3, 0, -1),  # found but not best
    ("re", "match", -1, 2, 2),  # not found
    ("re", "compile", ABSENT, 0, 5),  # absent
    ("re", "sub", -1, -1, -1),
    ("builtins.str", "join", ABSENT, ABSENT, ABSENT),
)
NAMES = (MODEL, "pop", "alpha")


def completions(expected: str, rank: int) -> list[ExampleCompletion]:
    """A list with the expected identifier at a rank, or without it."""
    names = list(OTHERS)
    if rank >= 0:
        names.insert(rank, expected)
    return [ExampleCompletion(Identifier=name, Score=1 / (2 + place)) for place, name in enumerate(names)]


def example(symbol: str, expected: str, ranks: dict[str, int]) -> Example:
    """An example whose providers have the expected identifier at these ranks."""
    buffer = BUFFER.format(module=symbol.split(".")[0], symbol=symbol, expected=expected)
    cursor = buffer.index(f"{symbol}.{expected}") + len(symbol) + 1
    munged = buffer[:cursor] + "GUESS_ME_123\n"
    provided = {
        name: ProviderOutput(Completions=completions(expected, rank), MungedBuffer=munged)
        for name, rank in ranks.items()
    }
    return Example(Buffer=buffer, Cursor=cursor, Symbol=symbol, Expected=expected, Provided=provided or None)


def small_examples(**changed: int) -> list[Example]:
    """The examples; `changed` replaces the model's rank by the expected identifier."""
    made = []
    for symbol, expected, *ranks in RANKS:
        known = {name: rank for name, rank in zip(NAMES, ranks, strict=True) if rank is not None}
        if f"{symbol.replace('.', '_')}_{expected}" in changed:
            known[MODEL] = changed[f"{symbol.replace('.', '_')}_{expected}"]
        made.append(example(symbol, expected, known))
    return made


def write_small(folder: Path, **changed: int) -> Path:
    """Write the examples into a folder."""
    write_examples(folder, small_examples(**changed))
    return folder
