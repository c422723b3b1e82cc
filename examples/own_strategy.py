"""A stopping rule of your own: settings are fields, three pure methods, and a decoder to try it."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, final

from smart_speed import EntropyBasedSpeculativeDecoder, EntropyConfig
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.stopping.base import DraftView, Memoryless

EngineChoice = Literal["auto", "hf", "llama_cpp", "openvino", "toy"]


@final
@dataclass(frozen=True, kw_only=True)
class RisingEntropy(Memoryless):
    """Stop where entropy has risen for some positions in a row."""

    num_rises: int = 2

    def reason_to_stop(self, draft: DraftView, state: None) -> str | None:
        """Look at the laws of this round; the drawn tokens are not shown, or it were lossy."""
        last = [law.entropy_nats for law in draft.facts[-self.num_rises - 1 :]]
        rises = [later > earlier for earlier, later in pairwise(last)]
        return "rising" if len(rises) == self.num_rises and all(rises) else None


def main(*, engine: EngineChoice = "auto", max_new_tokens: int = 64) -> tuple[str, str]:
    """Answer one prompt with the rule and without; both texts are the verifier's own."""
    options = LoadOptions(engine=engine)
    verifier = load_verifier("default", options)
    drafter = load_drafter("default", verifier, options)
    # The configuration's caps hold for strategies of your own as well.
    config = EntropyConfig(strategy="absolute", max_draft_len=6)
    rising = EntropyBasedSpeculativeDecoder(verifier, drafter, config, strategy=RisingEntropy())
    plain = EntropyBasedSpeculativeDecoder(verifier)
    prompt = "the drafter writes and the verifier "
    ours = rising.generate(prompt, max_new_tokens=max_new_tokens)
    theirs = plain.generate(prompt, max_new_tokens=max_new_tokens)
    print(ours.text)
    print(len(ours.rounds), "rounds instead of", len(theirs.rounds))
    return ours.text, theirs.text


if __name__ == "__main__":
    main()
