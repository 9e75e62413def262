"""Which patches are of which image: as a dictionary would say, whether or not the two tables are alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selector.images.listing import rows_in
from selector.store.joining import OF_PATCHES, why_undescribed
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA
from selector.store.store import Store
from tests.selector.store_writer import image_rows, patch_rows, vectors

names = st.sampled_from("abcdefgh")


@given(st.lists(names, max_size=60), st.sets(st.text("abc", min_size=1, max_size=3), max_size=40))
def test_rows_are_found_whether_few_or_many_are_looked_for(wanted: list[str], texts: set[str]) -> None:
    ordered = sorted(texts)
    found = rows_in(pa.array(ordered, pa.string()), pa.array(wanted, pa.string()))
    assert found.tolist() == [ordered.index(text) if text in ordered else -1 for text in wanted]


@settings(max_examples=60)
@given(
    images=st.dictionaries(
        names, st.tuples(st.sampled_from("xy"), st.sampled_from(["ok", "ok", "failed"])), max_size=8
    ),
    shards=st.lists(
        st.lists(st.tuples(names, st.sampled_from("xy"), st.sampled_from(["ok", "failed"])), min_size=1, max_size=5),
        max_size=3,
    ),
    alike=st.booleans(),
)
def test_patches_are_joined_to_images_of_the_same_source_and_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    images: dict[str, tuple[str, str]],
    shards: list[list[tuple[str, str, str]]],
    alike: bool,
) -> None:
    store = Store.create_or_open(tmp_path_factory.mktemp("store"), {"of": "a test"})
    if alike:  # stage II accounts for what is ok, twice for some
        usable = [(source, content, "ok") for source, (content, status) in images.items() if status == "ok"]
        shards = [usable, usable[::2]] if usable else []
        shards = [shard for shard in shards if shard]
    rows = image_rows(0, 1, max(1, len(images))).to_pylist()[: len(images)]
    for row, (source, (content, status)) in zip(rows, images.items(), strict=True):
        row.update(source=source, image_id=content * 16, status=status)
        if status != "ok":
            row.update({name: [] for name in row if name.startswith("window_")}, typicality=[], standard_error=[])
    if rows:
        store.commit_images(0, pa.Table.from_pylist(rows, IMAGE_SCHEMA), vectors(0, 1, 2, 2, rows=len(rows)))
    described: dict[tuple[str, str], str] = {}
    for number, shard in enumerate(shards):
        patches = patch_rows(number, 1, len(shard)).to_pylist()
        for row, (source, content, status) in zip(patches, shard, strict=True):
            row.update(source=source, image_id=content * 16, status=status, reason="" if status == "ok" else "NaN")
            described[source, content] = row["reason"]
        store.commit_patches(number, pa.Table.from_pylist(patches, PATCH_SCHEMA), np.ones((len(shard), 2), np.float16))
    table, made = store.images(), store.patches()
    reasons, owner = why_undescribed(table, made.rows(*OF_PATCHES))
    known = table.to_pylist()
    assert reasons.to_pylist() == [described.get((row["source"], row["image_id"][0])) for row in known]
    place = {(row["source"], row["image_id"]): number for number, row in enumerate(known)}
    assert owner.tolist() == [
        place.get((row["source"], row["image_id"]), -1) if row["status"] == "ok" else -1
        for row in made.rows().to_pylist()
    ]


def test_a_store_without_patches_accounts_for_nothing(tmp_path: Path) -> None:
    store = Store.create_or_open(tmp_path / "store", {"of": "a test"})
    store.commit_images(0, image_rows(0, 1, 3), vectors(0, 1, 2, 2, rows=3))
    assert store.described(store.images()).to_pylist() == [None] * 3
