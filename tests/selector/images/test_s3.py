"""Data in a bucket of a real S3 API on loopback. s3fs needs an older python-dateutil than the tests have: `make test-s3`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s3fs", reason="s3fs and moto have an environment of their own: make test-s3")
pytest.importorskip("moto", reason="s3fs and moto have an environment of their own: make test-s3")

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from moto.server import ThreadedMotoServer

from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from selector.config import ScoreConfig, SelectConfig
from selector.errors import UsageError
from selector.images.datasets import Reader, list_items
from selector.images.locations import Data, Location
from selector.progress import Progress
from selector.run import run
from tests.forms import as_folder, as_parquet, as_tar, as_zip, pictures

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

FILES = pictures(300)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a bucket that holds the data in several forms."""
    root = tmp_path_factory.mktemp("forms")
    as_tar(root / "data.tar", FILES)
    as_zip(root / "data.zip", FILES)
    as_parquet(root / "plain", FILES, most=100, group=20)
    shards = {f"{number:03d}": [*FILES][number::4] for number in range(4)}
    (root / "shards").mkdir()
    for number, names in shards.items():
        members = {}
        for name in names:
            label, _, file = name.partition("/")
            members |= {file: FILES[name], f"{file.removesuffix('.png')}.cls": label.encode()}
        as_tar(root / "shards" / f"train-{number}.tar", members)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "testing"),
            ("AWS_SECRET_ACCESS_KEY", "testing"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        for path in root.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "data", path.relative_to(root).as_posix())
        yield "s3://data"
    server.stop()


@pytest.mark.parametrize("place", ["data.tar", "data.zip", "plain/*.parquet", "shards", "shards/train-{000..003}.tar"])
def test_a_bucket_gives_the_same_bytes_and_labels_as_the_disk(bucket: str, place: str) -> None:
    root = Location(f"{bucket}/{place}")
    listing = list_items(root)
    assert not listing.passed_over
    with Reader(listing) as reader:
        found = {reader.read(source): folder for source, folder in listing.pairs()}
    assert found == {content: name.partition("/")[0] for name, content in FILES.items()}
    assert not list_items(root, before=listing).fresh


@pytest.mark.server
@pytest.mark.parametrize("place", ["data.tar", "shards/train-{000..003}.tar", "plain/*.parquet"])
def test_a_run_on_a_bucket_gives_the_scores_and_picks_of_the_disk(
    bucket: str, place: str, tmp_path: Path, expected: tuple[Any, ...], server: str
) -> None:
    assert scored(Location(f"{bucket}/{place}"), tmp_path, server) == expected


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with EmbeddedServer(builtin_repository(), threads=1) as started:
        yield started.grpc_url


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, server: str) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("disk")
    return scored(as_folder(folder / "data", FILES), folder, server)


def scored(data: Data, folder: Path, server: str) -> tuple[Any, ...]:
    """All that a run gives, by classes of the built-in repository: this environment has no torch, which other ones need."""
    names = folder / "names.tsv"
    names.write_text("bee\tbag\ncup\tcoat\nkite\tdress\n")
    scoring = ScoreConfig(
        data, folder / "out" / "store", builtin_repository(), (server,), draws=2, workers=1, class_names=names
    )
    counts = run(scoring, SelectConfig(5, folder / "out"), Progress(quiet=True))["counts"]
    assert (counts["scored"], counts["failed"], counts["unread"]) == (300, 0, 0)
    shards = [pq.read_table(path) for path in sorted((folder / "out" / "store" / "images").glob("0*.parquet"))]
    rows = pa.concat_tables(shards).drop_columns(["source", "size", "mtime_ns"]).to_pylist()
    picks = pq.read_table(folder / "out" / "ipc-5" / "selection.parquet").drop_columns(["source", "class_folder"])
    pixels = {path.name: path.read_bytes() for path in (folder / "out" / "ipc-5" / "images").rglob("*.png")}
    return sorted(rows, key=lambda row: row["image_id"]), picks.to_pylist(), pixels


def test_what_is_not_in_the_bucket_is_said(bucket: str) -> None:
    with pytest.raises(UsageError, match=r"none.tar can't be listed: no such file"):
        list_items(Location(f"{bucket}/none.tar"))
    with pytest.raises(UsageError, match="stands for no file"):
        list_items(Location(f"{bucket}/none-*.tar"))
