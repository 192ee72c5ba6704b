"""Steps of a training and the sample files that they read, when a finite set is read over and over.

The training's step `s` reads data step `s % data_steps`; `s // data_steps` is its epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastnode_ops.sample_files.names import SampleFileName


def is_covered(name: SampleFileName, data_steps: int, saved_step: int) -> bool:
    """Whether every batch of a file is in the first `saved_step` updates, at least once."""
    return name.first_step < data_steps and min(name.end_step, data_steps) <= saved_step


def is_used_up(name: SampleFileName, data_steps: int, saved_step: int, last_step: int) -> bool:
    """Whether a training that ends after `last_step` updates, of which `saved_step` are safe, is done with a file.

    It is when every batch of the file is safe, and none of the updates that are left reads one.
    """
    if not is_covered(name, data_steps, saved_step):
        return False
    epoch, data_step = divmod(saved_step, data_steps)
    if data_step < min(name.end_step, data_steps):
        next_read = epoch * data_steps + max(data_step, name.first_step)
    else:
        next_read = (epoch + 1) * data_steps + name.first_step
    return next_read >= last_step


def files_to_give_up(
    names: Sequence[SampleFileName], data_steps: int, saved_step: int, wanted_step: int
) -> list[SampleFileName]:
    """Choose the files that make room on a full disk while data step `wanted_step` is waited for.

    They are needed again in a later epoch only; when there are none, it is the one that is needed last in this epoch.
    No file is chosen before its batches are safe in a checkpoint.
    """
    covered = [name for name in names if is_covered(name, data_steps, saved_step)]
    behind = [name for name in covered if name.end_step <= wanted_step]
    return behind or sorted(covered)[-1:]


def missing_steps(names: Sequence[SampleFileName], data_steps: int, step: int) -> tuple[int, int]:
    """Return the first and the last step of the gap between files around a data step that is in none of them."""
    first = max((name.end_step for name in names if name.end_step <= step), default=0)
    end = min((name.first_step for name in names if name.first_step > step), default=data_steps)
    return first, min(end, data_steps) - 1
