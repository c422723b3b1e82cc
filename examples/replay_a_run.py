"""What would another threshold have earned on the prompts of a run? No model is needed.

python examples/replay_a_run.py results/entropy_exp_v1
"""

import sys
from pathlib import Path

from smart_speed.calibration.learning import replayed_rate
from smart_speed.config import EntropyConfig
from smart_speed.loaded_run import load_run


def main(folder: Path) -> dict[float, float]:
    """Return tokens per second, predicted, by threshold in nats."""
    run = load_run(folder)
    if run.costs is None:
        raise SystemExit("The run has learned nothing, so what rounds cost is not known.")
    rates = {}
    for theta in (0.25, 0.5, 1.0, 2.0, 4.0):
        config = EntropyConfig(strategy="absolute", theta_abs=theta, max_draft_len=4)
        rates[theta] = replayed_rate(run.texts, config, run.costs)
        print(f"absolute, {theta} nats: {rates[theta]:.1f} tokens/s")
    return rates


if __name__ == "__main__":
    main(Path(sys.argv[1]))
