"""smart_speed, through its public interface.

Settings: ``drafter`` (a name or path; ``None`` for plain decoding), ``config`` (flat settings;
``None`` for those of ``profile``, a file or the one that ships) and ``load`` (fields of
``LoadOptions``).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, final

from benchmarks.peers.serving import Answer, main, peak_of
from smart_speed import EntropyBasedSpeculativeDecoder, EntropyConfig, Sampling, __version__


@final
class SmartSpeed:
    """A decoder."""

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        config = settings["config"]
        self._decoder = EntropyBasedSpeculativeDecoder.from_pretrained(
            drafter=settings["drafter"],
            config=None if config is None else EntropyConfig.from_dict(config),
            profile=settings.get("profile", "default"),
            **settings["load"],
        )
        return {
            "smart_speed": __version__,
            "verifier": self._decoder.verifier.description,
            "strategy": self._decoder.config.name,
        }

    def answer(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> Answer:
        self._decoder.forget()
        start_s = time.perf_counter()
        generation = self._decoder.stream(
            prompt,
            max_new_tokens=max_new_tokens,
            sampling=Sampling(temperature=temperature, seed=seed),
        )
        next(iter(generation))
        first_s = time.perf_counter()
        result = generation.finish()
        end_s = time.perf_counter()
        first_len = len(result.rounds[0].emitted)
        return Answer(
            tokens=result.tokens,
            first_s=first_s - start_s,
            first_len=first_len,
            decode_s=end_s - first_s,
            decode_len=len(result.tokens) - first_len,
            passes=len(result.rounds) - 1,
        )

    def peak_bytes(self) -> int | None:
        return peak_of()


if __name__ == "__main__":
    main(SmartSpeed())
