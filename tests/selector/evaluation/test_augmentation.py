"""Views: crops against plain slicing, cut-and-mix against its own account, mosaics by hand."""

from __future__ import annotations

import numpy as np
import torch

from selector.evaluation.augmentation import as_input, cut_and_mix, random_crops, sampled, tile_crops, tiled


def test_pixels_become_numbers_from_minus_one_to_one() -> None:
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, 1] = (255, 0, 51)
    values = as_input(image)
    assert values.shape == (1, 3, 2, 2)
    assert torch.allclose(values[0, :, 0, 1], torch.tensor([1.0, -1.0, -0.6]))


def test_a_box_on_whole_pixels_is_the_slice() -> None:
    images = torch.randn(1, 3, 32, 32)
    half = torch.tensor([0.5])
    cut = sampled(images, half, half, torch.tensor([0.25]), torch.tensor([-0.5]), 16)
    assert torch.allclose(cut, images[:, :, 0:16, 12:28], atol=1e-5)
    mirrored = sampled(images, -half, half, torch.tensor([0.25]), torch.tensor([-0.5]), 16)
    assert torch.allclose(mirrored, cut.flip(3), atol=1e-5)


def test_crops_of_the_whole_area_are_the_image_or_its_mirror_image() -> None:
    images = torch.randn(20, 3, 28, 28)
    seen = random_crops(images, 1.0, torch.Generator().manual_seed(0))
    same = torch.stack([torch.allclose(a, b, atol=1e-4) * torch.ones(()) for a, b in zip(images, seen, strict=True)])
    mirror = torch.stack(
        [torch.allclose(a.flip(2), b, atol=1e-4) * torch.ones(()) for a, b in zip(images, seen, strict=True)]
    )
    assert torch.equal(same + mirror, torch.ones(20))
    assert 0 < same.sum() < 20


def test_crops_never_show_what_lies_outside() -> None:
    """A linear ramp stays within its ends, and small crops show a smaller range of it."""
    ramp = torch.linspace(-1, 1, 28).expand(50, 3, 28, 28)
    seen = random_crops(ramp, 0.1, torch.Generator().manual_seed(1))
    spread = seen.amax((1, 2, 3)) - seen.amin((1, 2, 3))
    assert seen.min() >= -1
    assert seen.max() <= 1
    assert spread.min() < 0.9 < 1.5 < spread.max()


def test_a_crop_of_a_mosaic_shows_one_of_its_quarters_and_nothing_of_the_others() -> None:
    """Quarters of one value each: a crop that reached over a border by a part of a pixel would show a second value."""
    values = torch.arange(400.0).reshape(100, 1, 2, 2)
    mosaics = values.repeat_interleave(14, dim=2).repeat_interleave(14, dim=3).expand(100, 3, 28, 28)
    seen = tile_crops(mosaics, 0.2, torch.Generator().manual_seed(0))
    shown = seen[:, 0, 0, 0]
    assert seen.shape == mosaics.shape
    assert torch.allclose(seen, shown[:, None, None, None].expand_as(seen), atol=1e-2)
    assert torch.equal(shown.round() // 4, torch.arange(100.0))
    assert torch.bincount((shown.round() % 4).long()).min() > 10


def test_a_crop_of_the_whole_quarter_is_the_quarter_enlarged() -> None:
    mosaics = torch.rand(8, 3, 32, 32)
    seen = tile_crops(mosaics, 1.0, torch.Generator().manual_seed(3))
    tiles = mosaics.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).reshape(8, 4, 3, 16, 16)
    large = torch.nn.functional.interpolate(tiles.flatten(0, 1), 32, mode="bilinear").reshape(8, 4, 3, 32, 32)
    either = torch.stack([large, large.flip(4)])
    assert ((either - seen[None, :, None]).abs().amax((3, 4, 5)) < 1e-4).any(0).sum(1).tolist() == [1] * 8


def test_the_kept_share_is_the_share_of_unchanged_pixels() -> None:
    images = torch.arange(8.0)[:, None, None, None].expand(8, 3, 28, 28)
    for seed in range(5):
        mixed, partner, kept = cut_and_mix(images, torch.Generator().manual_seed(seed))
        for row in range(8):
            values = torch.tensor([float(row), float(partner[row])])
            assert torch.isin(mixed[row], values).all()
            if partner[row] != row:
                assert abs((mixed[row] == row).float().mean().item() - kept) < 1e-6


def test_a_mosaic_holds_its_four_in_reading_order() -> None:
    four = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 3, 3), np.uint8)
    first, second = tiled(four)
    assert first.shape == (6, 6, 3)
    assert [first[1, 1, 0], first[1, 4, 0], first[4, 1, 0], first[4, 4, 0]] == [0, 1, 2, 3]
    assert second[5, 5, 2] == 7
