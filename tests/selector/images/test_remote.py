"""Data behind URLs: the same bytes, by ranges, with retries, and without secrets in what is kept or said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import fsspec
import pytest

from selector.errors import UsageError
from selector.images import remote
from selector.images.class_names import match_classes
from selector.images.datasets import Reader, list_items
from selector.images.locations import Location, data_at
from selector.store.kept_listing import keep_listing, read_listing
from tests.forms import CLASSES, as_shards, in_every_form, pictures
from tests.range_server import RangeServer, serving

FILES = pictures()
EXPECTED = {content: name.partition("/")[0] for name, content in FILES.items()}
PLACES = {
    "tar": "data.tar",
    "zip": "data.zip",
    "shards, positions": "positions/train-{00000..00002}.tar",
    "shards, json": "json/train-*.tar",
    "parquet of datasets": "hub/*.parquet",
    "folder of shards": "texts",
    "folder of parquet": "plain/",
    "one parquet": "plain/train-00000-of-00003.parquet",
}


@pytest.fixture(scope="module")
def forms(datasets: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forms")
    in_every_form(root, FILES, datasets)
    return root


@pytest.fixture
def server(forms: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setattr(remote, "_PAUSES_S", (0.0, 0.0))
    with serving(forms) as running:
        yield running


def read(data: Location) -> dict[bytes, str]:
    listing = list_items(data)
    assert not listing.passed_over
    classes = match_classes(listing.folders, CLASSES)
    with Reader(listing) as reader:
        return {reader.read(source): CLASSES[classes[folder]] for source, folder in listing.pairs()}


@pytest.mark.parametrize("form", PLACES)
def test_every_container_reads_the_same_over_http(server: RangeServer, form: str) -> None:
    found = read(Location(f"{server.url}/{PLACES[form]}"))
    assert found.items() <= EXPECTED.items()
    assert len(found) == (5 if form.startswith("one") else len(EXPECTED))


@pytest.mark.parametrize("form", PLACES)
def test_every_container_reads_the_same_from_another_file_system(forms: Path, form: str) -> None:
    memory = fsspec.filesystem("memory")
    for path in forms.rglob("*"):
        if path.is_file():
            memory.pipe(f"/bucket/{path.relative_to(forms)}", path.read_bytes())
    found = read(Location(f"memory://bucket/{PLACES[form]}"))
    assert found.items() <= EXPECTED.items()
    assert len(found) == (5 if form.startswith("one") else len(EXPECTED))


def test_sources_are_those_of_the_same_data_on_disk(server: RangeServer, forms: Path) -> None:
    for place in ("data.tar", "data.zip", "json/train-*.tar"):
        here, there = list_items(data_at(f"{forms}/{place}")), list_items(Location(f"{server.url}/{place}"))
        assert there.sources.equals(here.sources), place


def test_an_image_is_read_by_its_range_alone(server: RangeServer) -> None:
    listing = list_items(Location(f"{server.url}/data.tar"))
    server.served.clear()
    with Reader(listing) as reader:
        content = reader.read("bee/000000.png")
    [first, span] = [asked for _, asked in server.served]
    place = listing.place("bee/000000.png")
    assert (first, span) == ("head", f"bytes={place.offset}-{place.offset + len(content) - 1}")


def test_a_request_that_fails_is_made_again_and_then_told(server: RangeServer) -> None:
    listing = list_items(Location(f"{server.url}/data.tar"))
    with Reader(listing) as reader:
        server.failing = 2
        assert reader.read("bee/000000.png") in EXPECTED
        server.failing = 3
        with pytest.raises(OSError, match="503"):
            reader.read("bee/000003.png")
        assert reader.read("bee/000003.png") in EXPECTED


def test_what_is_missing_away_or_not_permitted_is_told_at_once(server: RangeServer, forms: Path) -> None:
    with pytest.raises(UsageError, match=r"none.tar can't be listed: no such file"):
        list_items(Location(f"{server.url}/none.tar"))
    listing = list_items(Location(f"{server.url}/json/train-{{00000..00003}}.tar"))
    assert {one.source: one.reason for one in listing.passed_over} == {
        "train-00003.tar": "the file can't be read: no such file"
    }
    with serving(forms, key="secret") as locked, pytest.raises(UsageError, match="not permitted"):
        list_items(Location(f"{locked.url}/data.tar"))
    with pytest.raises(UsageError, match=r"127\.0\.0\.1"):
        list_items(Location("http://127.0.0.1:9/data.tar"))


def test_a_server_without_ranges_is_named_as_such(forms: Path) -> None:
    with (
        serving(forms, ranges=False) as plain,
        pytest.raises(UsageError, match=r"whole files|size the server does not say"),
    ):
        list_items(Location(f"{plain.url}/data.tar"))


def test_secrets_are_used_and_neither_kept_nor_said(forms: Path, tmp_path: Path) -> None:
    with serving(forms, key="hush") as locked:
        for place in ("data.zip", "json/train-{00000..00002}.tar"):
            root = Location(f"{locked.url}/{place}?key=hush")
            listing = list_items(root)
            with Reader(listing) as reader:
                assert {reader.read(source) for source in listing.sources.to_pylist()} == set(EXPECTED)
            keep_listing(tmp_path, listing)
            assert b"hush" not in (tmp_path / "listing.parquet").read_bytes()
            assert not list_items(root, before=read_listing(tmp_path)).fresh
            assert "hush" not in f"{root} {root.resolve()} {root.name} {root / 'a.png'}"
        locked.key = "another"
        with pytest.raises(UsageError) as told:
            list_items(Location(f"{locked.url}/data.zip?key=hush"))
        assert "hush" not in str(told.value)
    assert str(Location("https://me:hush@host/a.tar")) == "https://host/a.tar"


def test_what_changed_behind_a_url_is_listed_again(tmp_path: Path) -> None:
    as_shards(tmp_path / "forms" / "json", FILES, "json")
    with serving(tmp_path / "forms") as server:
        root = Location(f"{server.url}/json/train-{{00000..00002}}.tar")
        first = list_items(root)
        assert not list_items(root, before=first).fresh
        shards = tmp_path / "forms" / "json"
        (shards / "train-00001.tar").write_bytes((shards / "train-00000.tar").read_bytes())
        assert list_items(root, before=first).fresh == ("train-00001.tar",)


def test_packages_and_protocols_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Protocol not known: nowhere"):
        list_items(Location("nowhere://bucket/data.tar"))
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=r"s3:// needs a package.*pip install 'diffusion-selector\[s3\]'"):
        list_items(Location("s3://bucket/data.tar"))
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError, match=r"https:// needs a package.*pip install 'diffusion-selector\[remote\]'"):
        list_items(Location("https://host/data.tar"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("s3://bucket/imagenet/train-{000..127}.tar", "train"),
        ("/data/in100/train-*.tar", "train"),
        ("/data/in100/*.tar", "in100"),
        ("https://host/a/birds.zip?sig=x", "birds.zip"),
        ("hf://datasets/owner/name", "name"),
        ("s3://bucket/{a,b}/*.tar", "bucket"),
    ],
)
def test_a_location_has_a_name_for_its_output(text: str, name: str) -> None:
    assert Location(text).name == name
