"""Packing rows into batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client import contract
from client.delivery.packing import Batch, Packer, row_weights
from client.rows import Row
from tests.toy_repository import GEOMETRY

MODELS = ("noise_loss", "patch_features", "vae_encoder")


@given(st.lists(st.sampled_from(MODELS)), st.integers(1, 7))
def test_every_row_leaves_once_in_order_and_no_batch_exceeds_its_size(models: list[str], batch_rows: int) -> None:
    """Rows of one model keep their order; batches given out early are exactly full."""
    packer = Packer(lambda model: batch_rows)
    rows = [Row(model, key, {}) for key, model in enumerate(models)]
    full = [batch for row in rows if (batch := packer.add(row)) is not None]
    rest = packer.take_all()
    assert all(len(batch.rows) == batch_rows for batch in full)
    assert all(0 < len(batch.rows) < batch_rows for batch in rest)
    for model in MODELS:
        left = [row.key for batch in (*full, *rest) if batch.model == model for row in batch.rows]
        assert left == [row.key for row in rows if row.model == model]


def test_a_taken_group_is_forgotten() -> None:
    """The same rows are never sent twice."""
    packer = Packer(lambda model: 4)
    row = Row("noise_loss", 0, {})
    packer.add(row)
    assert packer.take("noise_loss") == Batch("noise_loss", (row,))
    assert packer.take("noise_loss") is None
    assert packer.take_all() == []


def test_a_row_weighs_its_tensors_and_a_chained_one_what_goes_between_its_steps() -> None:
    """COND and REFERENCE, 2 × 5 numbers each."""
    models = contract.models(GEOMETRY)
    served, chained = row_weights(models), row_weights(models, [contract.NOISE_LOSS])
    assert served[contract.NOISE_LOSS] == 4 * (3 * 4 * 4 + 3 + 4 * 4 + 2)
    assert chained[contract.NOISE_LOSS] == served[contract.NOISE_LOSS] + 4 * 2 * 2 * 5
    assert chained[contract.PATCH_SCORER] == served[contract.PATCH_SCORER]
