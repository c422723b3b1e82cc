"""Growth of memory, told from made-up looks."""

import gc

import numpy as np
import pytest

from benchmarks.memory import Held, growth, held_over, main, verdict
from smart_speed.errors import ConfigError


def looks(bytes_at: list[float]) -> list[Held]:
    return [Held(50 * at, int(held), 1000) for at, held in enumerate(bytes_at)]


def test_steady_growth_is_found_and_warming_up_is_not_growth() -> None:
    late = [1e8 + 50 * 4096 * at for at in range(11)]
    found = growth(looks([*range(10), *late]), "resident_bytes")
    assert found == pytest.approx((4096, 4096, 4096))
    assert verdict(found) == "memory grows by 4.00 kB with every generation"
    assert growth(looks([*range(0, 10**8, 10**7), *[1e8] * 11]), "resident_bytes") == (0, 0, 0)


def test_noise_is_no_growth_and_growth_is_seen_through_noise() -> None:
    noise = np.random.default_rng(0).normal(scale=50_000, size=40)
    still = growth(looks(list(1e8 + noise)), "resident_bytes")
    assert still.low < 0 < still.high
    assert verdict(still).startswith("no growth is seen; it is at most")
    grown = growth(looks(list(1e8 + noise + 50 * 8192 * np.arange(40))), "resident_bytes")
    assert grown.low > 0
    assert grown.low < 8192 < grown.high


def test_too_few_looks_are_refused() -> None:
    with pytest.raises(ConfigError, match="looks must be at least 8, got 7"):
        growth(looks([0] * 7), "num_objects")


def test_what_is_kept_is_seen_and_what_is_dropped_is_not() -> None:
    gc.freeze()  # collecting garbage then takes no time
    kept: list[list[object]] = []
    leaking = held_over(lambda number: kept.append([]), 400, 50)
    dropping = held_over(lambda number: [[]], 400, 50)
    gc.unfreeze()
    assert [each.generations for each in leaking] == list(range(0, 401, 50))
    assert growth(leaking, "num_objects").value == pytest.approx(1, abs=0.2)
    assert abs(growth(dropping, "num_objects").value) < 0.2


def test_runs_too_short_are_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["memory", "--generations", "100"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "generations must be at least 7 times as many as --every, got 100.\n"
    )
