"""A trace as plain lists, made once: indexing NumPy arrays one by one is what takes time."""

from typing import final

from smart_speed.entropy import EntropyType, LawFacts
from smart_speed.errors import ConfigError, check_that
from smart_speed.tracing.traces import Trace

NO_LIMIT = 1 << 30
"""Longer than any draft."""


@final
class PreparedTrace:
    """What replay and oracle read of a trace, position by position and pass by pass."""

    def __init__(self, trace: Trace, *, max_new_tokens: int | None = None, seed: int = 0) -> None:
        """Prepare a trace.

        Args:
            trace: It stays as it is.
            max_new_tokens: The most tokens of the output, at most as many as the trace's own,
                which ``None`` stands for.
            seed: Of what is accepted, in a sampled trace. A mean over seeds, and over texts, comes
                to what decoding would show.

        Raises:
            ConfigError: If the trace holds no output that long.
        """
        most = trace.max_new_len
        wanted = most if max_new_tokens is None else max_new_tokens
        check_that(1 <= wanted <= most, "max_new_tokens", f"1 to {most} for this trace", wanted)
        self.trace = trace
        self.seed = seed
        self.max_new_len = wanted
        self.output_len = min(trace.output_len, wanted)
        """Tokens to be written."""
        self.roots: list[int] = trace.roots().tolist()
        """By position: its first pass, -1 if it has none."""
        self.accepted_lens: list[int] = trace.accepted_lens(seed).tolist()
        """By position: tokens of its continuation that the verifier would keep."""
        self.following: list[int] = trace.following(seed).tolist()
        """By pass: the next one of the same draft, -1 if it was not recorded."""
        self.ends_draft: list[bool] = trace.ends_draft(seed).tolist()
        """By pass: whether its token ends the output."""
        self._recorded_lens, self._ending_lens = self._tails()
        self._facts: dict[EntropyType, list[LawFacts]] = {}

    def facts(self, kind: EntropyType) -> list[LawFacts]:
        """Return what a strategy may know of each pass's law, by the entropy that it reads."""
        if kind not in self._facts:
            passes = self.trace.passes
            columns = passes.entropy_nats(kind).tolist(), passes.top_prob.tolist()
            self._facts[kind] = [LawFacts(*row) for row in zip(*columns, strict=True)]
        return self._facts[kind]

    def budget(self, position: int) -> int:
        """Return how many tokens may still be drafted: the verifier adds one of its own."""
        return self.max_new_len - position - 1

    def drafter_room(self, position: int) -> int:
        """Return how many tokens the drafter's context still holds."""
        most = self.trace.drafter_context_len
        return NO_LIMIT if most is None else max(most - self.trace.prompt_len - position, 0)

    def longest_draft(self, position: int, cap: int) -> int:
        """Return how many tokens are drafted from a position if no strategy has a say.

        Raises:
            ConfigError: If the trace does not hold as many.
        """
        room = min(cap, self.budget(position), self.drafter_room(position))
        root = self.roots[position]
        if room == 0:
            return 0
        length = min(room, self._ending_lens[root])
        if root < 0 or length > self._recorded_lens[root]:
            raise self.too_short(cap)
        return length

    def too_short(self, cap: int) -> ConfigError:
        """Build the error for a draft that goes on where the trace does not."""
        return ConfigError(
            f"max_draft_len must be at most {self.trace.max_draft_len}, the continuations that "
            f"the trace of {self.trace.prompt_id!r} with {self.trace.drafter!r} holds, got {cap}."
        )

    def _tails(self) -> tuple[list[int], list[int]]:
        """Return how many passes each draft has from each pass on, and up to its end."""
        recorded, ending = [0] * len(self.following), [NO_LIMIT] * len(self.following)
        for index in range(len(self.following) - 1, -1, -1):
            after = self.following[index]  # always further on
            recorded[index] = 1 + (recorded[after] if after >= 0 else 0)
            if self.ends_draft[index]:
                ending[index] = 1
            elif after >= 0:
                ending[index] = min(1 + ending[after], NO_LIMIT)
        return recorded, ending
