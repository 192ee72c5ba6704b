"""One block at a time with a warm model, as a person or a compiler asks: milliseconds from hex to cycles.

Both kinds of model in their published sizes (256 everywhere; GRANITE with eight rounds), three tasks, on blocks of the
sample of up to 16 instructions, each asked once in the measured part. Target: a median under 20 ms.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import ROOT, told_by_command_line, write_result
from benchmarks.train_step import MAX_SHORT_BLOCK, SOURCES, run_child

NUM_WARM_UP_BLOCKS = 100
NUM_BLOCKS = 500


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure and write the result."""
    measured, output = told_by_command_line(__doc__, measure, argv)
    if measured is not None:
        return measured
    kinds = ("sequence", "granite")
    values = {kind: run_child("benchmarks.predict_one", {"kind": kind}) for kind in kinds}
    write_result("predict_one", {"target_median_milliseconds": 20.0, **values}, output)
    return values


def measure(kind: str) -> dict[str, Any]:
    """Asks for block after block; runs in a child process."""
    codes = short_codes(NUM_WARM_UP_BLOCKS + NUM_BLOCKS)
    model = make_model(kind, codes)
    model.predict_one(codes[0])
    first_result_at = time.time()
    for code in codes[:NUM_WARM_UP_BLOCKS]:
        model.predict_one(code)
    times = []
    for code in codes[NUM_WARM_UP_BLOCKS:]:
        started = time.perf_counter()
        model.predict_one(code)
        times.append(1000 * (time.perf_counter() - started))
    times.sort()
    shares = {"median": 0.5, "p90": 0.9, "p99": 0.99}
    found = {f"{name}_milliseconds": round(times[int(share * len(times))], 2) for name, share in shares.items()}
    return {
        "first_result_at": first_result_at,
        "num_blocks": len(times),
        **found,
        "max_milliseconds": round(times[-1], 2),
    }


def short_codes(count: int) -> list[str]:
    """Returns machine code of the sample, in hex."""
    from gematria_ops.blocks.decoding import decode_block

    lines = (ROOT / "tests" / "data" / "bhive" / f"sample_{SOURCES[0]}.csv").read_text().splitlines()
    codes = (line.partition(",")[0] for line in lines)
    return [code for code in codes if len(list(decode_block(bytes.fromhex(code)))) <= MAX_SHORT_BLOCK][:count]


def make_model(kind: str, codes: Sequence[str]) -> Any:
    """Builds an untrained model that knows the tokens of the blocks."""
    from benchmarks.granite_step import settings
    from gematria_ops.api import Model, block_from_hex
    from gematria_ops.blocks.tokens import instruction_tokens
    from gematria_ops.blocks.vocabulary import Vocabulary
    from gematria_ops.config import ModelConfig
    from gematria_ops.inference.predictor import Predictor
    from gematria_ops.models.granite import Granite
    from gematria_ops.models.ithemal import Ithemal
    from gematria_ops.models.threads import use_one_thread_per_operation

    use_one_thread_per_operation()
    blocks = map(block_from_hex, codes)
    vocabulary = Vocabulary(
        token for block in blocks for item in block.instructions for token in instruction_tokens(item)
    )
    if kind == "granite":
        return Model(Predictor(Granite(settings("published"), len(vocabulary), SOURCES, seed=1), vocabulary))
    return Model(Predictor(Ithemal(ModelConfig(), len(vocabulary), SOURCES, seed=1), vocabulary))


if __name__ == "__main__":
    main()
