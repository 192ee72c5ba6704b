"""Known cases, asked again: the curated examples with what each provider completes now (specification 14.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fastnode_ops.validation.attributes import outputs_of
from fastnode_ops.validation.examples import Example, Problem, read_collection, write_example_file, write_examples
from fastnode_ops.validation.providers import Provider, Question, ask

# Nobody waits for these, and a case that drops out for a busy machine would look like one that the model lost.
MAX_SECONDS = 60.0


@dataclass(frozen=True)
class Rebuilt:
    """What came of the curated examples.

    Args:
        examples: All of them, with what was provided.
        problems: What could not be read.
        failures: How often a provider had no list, by provider and reason.
        correct: How often a provider's first completion was the expected one.
    """

    examples: list[Example]
    problems: list[Problem]
    failures: Counter[str]
    correct: Counter[str]


def rebuild(source: Path, target: Path, providers: Sequence[Provider]) -> Rebuilt:
    """Ask all providers about the examples of a collection, and write it with their answers.

    Args:
        source: A file or folder of examples; what was provided before is dropped.
        target: The file to write when it ends in .json, else the folder.
        providers: Whom to ask; one that fails is absent from the example.

    Raises:
        ArtifactError: There is no such collection.
        DataError: It holds no example that can be used.
    """
    examples, problems = read_collection(source)
    failures: Counter[str] = Counter()
    correct: Counter[str] = Counter({one.name: 0 for one in providers})
    rebuilt = []
    for example in examples:
        question = Question(example.source, example.Cursor)
        answers = {one.name: ask(one, question, MAX_SECONDS) for one in providers}
        failures.update(f"{name}: {asked.reason}" for name, asked in answers.items() if asked.reason)
        made = example.model_copy(update={"Provided": outputs_of(answers)})
        correct.update(name for name in answers if made.rank(name) == 0)
        rebuilt.append(made)
    if target.suffix == ".json":
        write_example_file(target, rebuilt)
    else:
        write_examples(target, rebuilt)
    return Rebuilt(rebuilt, problems, failures, correct)
