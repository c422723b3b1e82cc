"""Who answers: this process, prompt by prompt, or workers of Ray."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from smart_speed.run_folder import Answer, AnswerKey
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.prompts import LivePrompt

Before = Callable[[LivePrompt], None]
"""Called with each prompt before it is answered."""
Done = Mapping[AnswerKey, Sequence[int]]
"""The answers that there are, with their tokens."""
IsOver = Callable[[], bool]
"""Asked before each prompt but the first: whether the time is used."""


def play_here(
    player: PromptPlayer,
    work: Work,
    prompts: Sequence[LivePrompt],
    done: Done,
    is_over: IsOver,
    *,
    before: Before,
) -> Iterator[list[Answer]]:
    """Answer what is not answered, in order, and hand over each conversation once it is made.

    Args:
        player: With the models of this process.
        work: What is done to every prompt.
        prompts: All of the run.
        done: What there is; it may grow meanwhile.
        is_over: Asked between two prompts.
        before: Called with each prompt that is not answered; may use the models.
    """
    begun = False
    for prompt in prompts:
        if work.is_done(prompt, done):
            continue
        if begun and is_over():
            return
        begun = True
        before(prompt)
        yield from player.play(prompt, done)
