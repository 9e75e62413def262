"""The draw bank: balanced prefixes, antithetic pairs, reproducible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export_scripts.graphs.draw_bank import Band, make_draw_bank, save_draws, spread_weights

LATENT = (2, 3, 3)
BANDS = st.tuples(st.integers(0, 40), st.integers(60, 100)).map(lambda ends: Band(ends[0] / 100, ends[1] / 100, 1000))
SIZES = st.integers(1, 7).map(lambda power: 2**power)


@given(SIZES, BANDS)
def test_every_power_of_two_prefix_has_one_pair_in_each_equal_slice_of_the_band(draws: int, band: Band) -> None:
    bank = make_draw_bank(draws, band, LATENT)
    pairs = 1
    while pairs <= draws // 2:
        # The slice of a pair, from the timesteps alone; a timestep is rounded down, so its middle is half a step up.
        fractions = (bank.timesteps[: 2 * pairs : 2] + 0.5) / band.steps
        slices = np.floor((fractions - band.low) / (band.high - band.low) * pairs)
        if band.steps * (band.high - band.low) / (draws // 2) > 4:  # else rounding may cross a slice
            assert sorted(slices) == list(range(pairs))
        pairs *= 2


@given(SIZES, BANDS)
def test_draws_2k_and_2k_plus_1_are_one_timestep_and_opposite_noises(draws: int, band: Band) -> None:
    bank = make_draw_bank(draws, band, LATENT)
    assert bank.noises.shape == (draws, *LATENT)
    assert bank.noises.dtype == np.float32
    np.testing.assert_array_equal(bank.timesteps[0::2], bank.timesteps[1::2])
    np.testing.assert_array_equal(bank.noises[0::2], -bank.noises[1::2])


@given(SIZES, BANDS)
def test_timesteps_stay_inside_the_band(draws: int, band: Band) -> None:
    timesteps = make_draw_bank(draws, band, LATENT).timesteps
    assert timesteps.min() >= np.floor(band.low * band.steps)
    assert timesteps.max() < band.high * band.steps


def test_a_short_prefix_sees_nearly_the_mean_timestep_of_the_band() -> None:
    """Within a quarter of a slice's width; bit reversal alone would put a prefix half a width too low."""
    bank = make_draw_bank(64, Band(0.4, 0.912, 1000), LATENT)
    for draws in (2, 4, 8, 16, 32, 64):
        slice_width = 512 / (draws // 2)
        assert abs(bank.timesteps[:draws].mean() + 0.5 - 656) <= slice_width / 4 + 0.5


def test_noises_are_standard_normal_and_differ_between_pairs() -> None:
    halves = make_draw_bank(64, Band(0, 1, 1000), (4, 16, 16)).noises[0::2].reshape(32, -1)
    assert abs(halves.mean()) < 0.02
    assert abs(halves.std() - 1) < 0.02
    correlation = np.corrcoef(halves)
    assert np.abs(correlation - np.eye(32)).max() < 0.15


def test_a_seed_gives_the_same_bank_and_another_seed_other_noises() -> None:
    band = Band(0.1, 0.9, 1000)
    first, again, other = (make_draw_bank(8, band, LATENT, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.noises, again.noises)
    assert not np.array_equal(first.noises, other.noises)


def test_weights_go_to_draws_by_their_slice_of_the_band() -> None:
    bank = make_draw_bank(16, Band(0.0, 1.0, 1000), LATENT)
    weights = spread_weights(bank, (1.0, 2.0, 3.0, 4.0))
    assert [int(weight) for weight in weights] == [1 + int(t) // 250 for t in bank.timesteps]
    assert spread_weights(bank, None) == (1.0,) * 16


@pytest.mark.parametrize("draws", [0, 1, 3, 48])
def test_a_bank_that_is_no_power_of_two_is_an_error(draws: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        make_draw_bank(draws, Band(0, 1, 1000), LATENT)


@pytest.mark.parametrize("ends", [(0.5, 0.5), (0.7, 0.1), (-0.1, 0.5), (0.5, 1.1)])
def test_a_band_outside_the_schedule_is_an_error(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="band"):
        Band(*ends, 1000)


def test_a_saved_bank_is_two_plain_arrays(tmp_path: Path) -> None:
    bank = make_draw_bank(4, Band(0, 1, 10), LATENT)
    save_draws(bank, tmp_path / "draws.npz")
    with np.load(tmp_path / "draws.npz") as saved:
        assert set(saved) == {"timesteps", "noises"}
        np.testing.assert_array_equal(saved["timesteps"], bank.timesteps)
        np.testing.assert_array_equal(saved["noises"], bank.noises)
