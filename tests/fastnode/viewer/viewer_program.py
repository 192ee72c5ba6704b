"""The viewer's command with a live page whose model knows a few names; run with `python -m`."""

from pathlib import Path

import typer

from fastnode_ops.inference.completions import Completion
from fastnode_ops.validation.failures import NoAnswer
from fastnode_ops.validation.providers import Answer, Question
from fastnode_ops.viewer.command import viewer_command
from fastnode_ops.viewer.live import LiveCompleter


class Names:
    """Completes with the same names everywhere; without names it has no list, and says why."""

    has_probabilities = True

    def __init__(self, name: str, *names: str) -> None:
        self.name = name
        self._names = names

    def answer(self, question: Question) -> Answer:
        if not self._names:
            raise NoAnswer("the base is <b>no</b> known symbol")
        found = tuple(Completion(name, 1 / (2 + place)) for place, name in enumerate(self._names))
        return Answer(found, question.source.decode())


def open_live(model_dir: Path, corpus_dir: Path) -> LiveCompleter:
    return LiveCompleter([Names("ggnn-line-attr", "join", "joined", "exists"), Names("pop"), Names("alpha", "exists")])


if __name__ == "__main__":
    typer.run(viewer_command(open_live))
