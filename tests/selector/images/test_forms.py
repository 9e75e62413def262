"""The same images in every form are the same listing, with the same bytes and labels."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selector.images.class_names import match_classes
from selector.images.datasets import Reader, list_items
from selector.images.labels import Labels
from selector.images.locations import Data, Location
from selector.store.kept_listing import keep_listing, read_listing
from tests.forms import CLASSES, as_folder, as_parquet, as_shards, in_every_form, pictures

FILES = pictures()
FORMS = (
    *("folder", "tar", "zip", "shards, positions", "shards, texts", "shards, json"),
    *("parquet of datasets", "plain parquet", "csv", "jsonl"),
)


def read(data: Data, labels: Labels | None = None) -> dict[bytes, str]:
    """Content → class."""
    listing = list_items(data, labels=labels or Labels())
    classes = match_classes(listing.folders, CLASSES)
    with Reader(listing) as reader:
        found = {reader.read(source): CLASSES[classes[folder]] for source, folder in listing.pairs()}
    assert len(found) == len(listing)
    return found


@pytest.fixture(scope="module")
def forms(datasets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return in_every_form(tmp_path_factory.mktemp("forms"), FILES, datasets)


EXPECTED = {content: name.partition("/")[0] for name, content in FILES.items()}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_bytes_under_the_same_classes(forms: dict[str, Path], form: str) -> None:
    assert read(forms[form]) == EXPECTED
    listing = list_items(forms[form])
    assert not listing.passed_over
    assert not [one for one in listing.skipped if one.source not in ("metadata.csv", "metadata.jsonl")]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_can_be_read_without_its_labels(forms: dict[str, Path], form: str) -> None:
    listing = list_items(forms[form], unlabelled=True)
    assert listing.folders == ("",)
    assert not listing.passed_over
    with Reader(listing) as reader:
        assert sorted(map(reader.read, listing.sources.to_pylist())) == sorted(EXPECTED)


def test_what_has_no_label_is_taken_where_none_is_asked_for(tmp_path: Path) -> None:
    shards = as_shards(tmp_path / "shards", FILES, "json")
    for path in shards.iterdir():
        path.write_bytes(path.read_bytes().replace(b'"label"', b'"xxxxx"'))
    pq.write_table(pa.table({"image": list(FILES.values())}), tmp_path / "only.parquet")
    as_folder(tmp_path / "flat", {name.rpartition("/")[2]: content for name, content in FILES.items()})
    (tmp_path / "list.csv").write_text("path\n000000.png\n000001.png\n")
    assert len(list_items(shards, unlabelled=True)) == len(FILES)
    assert len(list_items(tmp_path / "only.parquet", unlabelled=True)) == len(FILES)
    assert len(list_items(tmp_path / "flat", labels=Labels(list_file=tmp_path / "list.csv"), unlabelled=True)) == 2


def test_sources_say_where_to_look(forms: dict[str, Path]) -> None:
    assert list_items(forms["shards, json"]).sources[6].as_py() == "train-00001.tar#000006.png"
    assert list_items(forms["plain parquet"]).sources[6].as_py() == "train-00001-of-00003.parquet#1"
    assert list_items(forms["csv"]).sources[6].as_py() == "000006.png"


def test_patterns_name_some_of_the_files(forms: dict[str, Path]) -> None:
    shards, parquet = forms["shards, json"], forms["plain parquet"]
    for pattern, count in (
        (f"{shards}/train-{{00000..00001}}.tar", 10),
        (f"{shards}/train-*.tar", 12),
        (f"{shards}/train-{{00000,00002}}.tar", 7),
        (f"{parquet}/train-0000[01]-*.parquet", 10),
        (f"{parquet.parent}/pl?in/*.parquet", 12),
    ):
        found = read(Location(pattern))
        assert len(found) == count, pattern
        assert found.items() <= EXPECTED.items()


def test_a_single_file_of_a_set_is_data_too(forms: dict[str, Path]) -> None:
    for name, count in (("shards, json", 5), ("shards, positions", 5), ("plain parquet", 5)):
        first = min(forms[name].iterdir())
        assert len(read(first)) == count
        assert list_items(first).sources[0].as_py().startswith(f"{first.name}#")


@pytest.mark.parametrize("form", ["zip", "shards, json", "plain parquet", "csv"])
def test_a_kept_listing_is_taken_again_and_what_changed_is_listed_again(
    datasets: ModuleType, tmp_path: Path, form: str
) -> None:
    data = in_every_form(tmp_path / "forms", FILES, datasets)[form]
    first = list_items(data)
    keep_listing(tmp_path, first)
    again = list_items(data, before=read_listing(tmp_path))
    assert not again.fresh
    assert again.items.equals(first.items)
    changed = data / "train-00001.tar" if form.startswith("shards") else next(iter(sorted(data.glob("*1-of-*"))), None)
    if changed is not None:
        changed.unlink()
        fewer = list_items(data, before=read_listing(tmp_path))
        assert len(fewer) == 7
        assert not fewer.fresh, "what is left did not change"


def test_labels_and_images_are_found_under_the_names_that_are_given(tmp_path: Path) -> None:
    data = as_parquet(tmp_path / "plain", FILES)
    for path in data.iterdir():
        table = pq.read_table(path)
        renamed = table.rename_columns(["id", "left", "kind"]).append_column("right", table["image"])
        pq.write_table(renamed, path)
    assert read(data, Labels(label_key="kind", image_key="left")) == EXPECTED
    shards = as_shards(tmp_path / "shards", FILES, "json")
    assert read(shards, Labels(label_key="label")) == EXPECTED
    assert list_items(shards, labels=Labels(label_key="width")).folders == ("24",)
