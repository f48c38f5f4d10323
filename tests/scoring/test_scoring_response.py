"""The detectors of settling and of limit cycles on signals whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.drift.response import limit_cycle, settling


def test_exponential_settles_after_its_time_constant_times_ln_10():
    time = np.arange(2000)
    signal = np.where(time < 500, 0.2, 0.2 + 0.6 * (1.0 - np.exp(-(time - 500) / 120.0)))
    found = settling(signal, 0.2, 0.8, 500)
    assert found == int(np.ceil(120.0 * np.log(10.0)))
    assert settling(signal[::-1][:1500][::-1], 0.2, 0.8, 0) == found
    assert settling(-signal, -0.2, -0.8, 500) == found


def test_a_ringing_signal_settles_at_its_last_excursion():
    time = np.arange(3000)
    ringing = 1.0 - np.exp(-time / 300.0) * np.cos(2 * np.pi * time / 200.0)
    found = settling(ringing, 0.0, 1.0, 0)
    assert found is not None
    assert np.all(np.abs(ringing[found:] - 1.0) <= 0.1) and abs(ringing[found - 1] - 1.0) > 0.1
    # Within 10 % for a while much earlier, which does not count: it leaves again.
    assert np.abs(ringing[:found] - 1.0).min() < 0.01


@pytest.mark.parametrize("signal", [np.linspace(0.0, 1.0, 100), np.zeros(100)])
def test_what_never_arrives_has_no_settling_time(signal):
    assert settling(signal, 0.0, 2.0, 10) is None
    assert settling(np.ones(100), 1.0, 1.0, 10) is None  # no step


def test_a_hold_forgives_a_late_excursion_but_not_an_early_one():
    signal = np.ones(1000)
    signal[:100], signal[130], signal[900] = 0.0, 0.5, 0.5
    assert settling(signal, 0.0, 1.0, 0) == 901
    assert settling(signal, 0.0, 1.0, 0, hold=50) == 131
    assert settling(signal, 0.0, 1.0, 0, hold=30) == 100
    assert settling(signal, 0.0, 1.0, 0, hold=800) is None
    with pytest.raises(ValueError, match="hold = 0"):
        settling(signal, 0.0, 1.0, 0, hold=0)


def test_settling_at_once_is_zero():
    assert settling(np.r_[np.zeros(5), np.ones(5)], 0.0, 1.0, 5) == 0


def test_settling_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="step_at = 10 is not one of the 10 samples"):
        settling(np.zeros(10), 0.0, 1.0, 10)
    with pytest.raises(ValueError, match="tolerance = 0"):
        settling(np.zeros(10), 0.0, 1.0, 0, tolerance=0.0)


@pytest.mark.parametrize("period", [4, 17, 65, 130])
@pytest.mark.parametrize("shape", ["sine", "triangle", "square"])
def test_a_cycle_is_found_with_its_amplitude_and_period(period, shape):
    phase = (np.arange(4000) % period) / period
    wave = {
        "sine": np.sin(2 * np.pi * phase),
        "triangle": 4 * np.abs(phase - 0.5) - 1,
        "square": np.where(phase < 0.5, 1.0, -1.0),
    }[shape]
    noise = np.random.default_rng(period).normal(0, 0.1, wave.size)
    cycle = limit_cycle(3.0 + 0.02 * (wave + noise))
    assert cycle is not None and cycle.period == period
    # Noise of 0.1 averaged over 4000 / period periods; the largest of `period` such means stays below four sigma.
    assert abs(cycle.amplitude / 0.02 - np.ptp(wave) / 2) < 4 * 0.1 / np.sqrt(4000 // period)


def test_noise_and_damped_hunting_are_no_cycle():
    """White noise, its sum, and noise through a resonance that forgets in two periods: 20 seeds of each."""
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(size=4000)
        assert limit_cycle(noise) is None
        assert limit_cycle(np.cumsum(noise)) is None
        hunting, radius = np.zeros(4000), np.exp(-1 / 80.0)
        for t in range(2, 4000):
            hunting[t] = 2 * radius * np.cos(2 * np.pi / 40) * hunting[t - 1] - radius**2 * hunting[t - 2] + noise[t]
        assert limit_cycle(hunting) is None


def test_too_short_or_constant_is_no_cycle():
    assert limit_cycle(np.ones(100)) is None
    assert limit_cycle(np.array([0.0, 1.0] * 4)) is None
    assert limit_cycle(np.sin(2 * np.pi * np.arange(400) / 100)) is None  # four periods
