"""Tiny transformers models are traced, and replayed as they decode."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from smart_speed.config import EntropyConfig
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.tracing.costs import CostModel
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.replay import predicted_record
from tests.contract.tiny_hf import TEXT, build, loaded, shaken

COSTS = CostModel(drafter_step_s=0.1, verifier_pass_s={1: 1.0, 9: 2.0})


@pytest.mark.parametrize(
    "config",
    [
        EntropyConfig(strategy="fixed", max_draft_len=6),
        EntropyConfig(strategy="absolute", theta_abs=1.5),
        EntropyConfig(strategy="adaptive", warmup=4, z=0.5, entropy_type="topk"),
        EntropyConfig(strategy="heuristic", max_draft_len=8, start_len=2),
    ],
    ids=lambda config: str(config.name),
)
def test_replay_is_live_decoding(config: EntropyConfig) -> None:
    """Entropies may differ in their last digits: after a full acceptance the live drafter reads
    two tokens in one pass."""
    verifier = loaded(build("Llama"))
    drafter = loaded(shaken(build("Llama"), seed=1, strength=0.1))
    sampling = Sampling(ignore_eos=True)
    recorder = TraceRecorder(verifier, {"shaken": drafter}, max_draft_len=8, sampling=sampling)
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, config)
    for length in (3, 9):
        (trace,) = recorder.record(TEXT[:length], prompt_id="p", max_new_tokens=30)
        assert trace.verifier_agrees.all()
        assert 0.2 < trace.agrees().mean() < 1
        live = decoder.generate(TEXT[:length], max_new_tokens=30, sampling=sampling).record
        found = predicted_record(PreparedTrace(trace), config, COSTS)
        for mine, theirs in zip(found.rounds, live.rounds, strict=True):
            for name in ("context_len", "draft_len", "accepted_len", "emitted_len", "stop_reason"):
                assert getattr(mine, name) == getattr(theirs, name)
            np.testing.assert_allclose(mine.entropies_nats, theirs.entropies_nats, atol=1e-4)
