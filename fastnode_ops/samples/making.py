"""One sample of any task: the door to the six tasks."""

from __future__ import annotations

import numpy as np

from fastnode_ops.analysis.analysis import Analysis
from fastnode_ops.analysis.syntax import SourceError
from fastnode_ops.config import TaskName
from fastnode_ops.samples.argument_tasks import make_arg_placeholder, make_arg_type, make_kwarg_name
from fastnode_ops.samples.attribute_tasks import make_attr
from fastnode_ops.samples.name_tasks import make_attr_base, make_call
from fastnode_ops.samples.sample import GraphSample, Rejected, SampleContext

_MAKERS = {
    "call": make_call,
    "attr": make_attr,
    "attr_base": make_attr_base,
    "arg_type": make_arg_type,
    "kwarg_name": make_kwarg_name,
}


def make_sample(
    task: TaskName,
    analysis: Analysis,
    symbol: str,
    rng: np.random.Generator,
    context: SampleContext,
    *,
    is_placeholder: bool = False,
) -> GraphSample:
    """Turn a file into a sample of a task for a symbol (specification 7.1).

    A site of the symbol is chosen, the answer is cut out of the text, the text is analysed anew, and the graphs are
    built from that: so the answer cannot be seen in types or structure.

    Args:
        task: The task.
        analysis: The file as it is.
        symbol: A symbol of the task's distribution.
        rng: For the choice of the site and of the negatives.
        context: What samples are made with.
        is_placeholder: For arg_placeholder: which of its two classes to make (20.5: slots take turns).

    Raises:
        Rejected: The file gives no sample for the symbol; the reason is a short name.
    """
    try:
        if task == "arg_placeholder":
            return make_arg_placeholder(analysis, symbol, rng, context, is_placeholder)
        return _MAKERS[task](analysis, symbol, rng, context)
    except SourceError:
        raise Rejected("edited_text_too_deep_or_large") from None
