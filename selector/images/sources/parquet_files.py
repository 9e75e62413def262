"""The rows of a Parquet file as items. To list them, no image is read: a file's statistics say whether images are null."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selector.errors import UsageError
from selector.images.exclusion import Exclusion
from selector.images.labels import Labels, label_text
from selector.images.listing import joined
from selector.images.locations import is_url, without_secrets
from selector.images.parquet_rows import damage_told, opened_parquet, path_of
from selector.images.places import ContentError
from selector.images.sources.parquet_columns import Columns, columns_of
from selector.images.sources.source import Found

_BATCH_ROWS = 64


def find_rows(name: str, container: str, found: Found, exclusion: Exclusion, labels: Labels) -> None:
    """Adds the rows of a Parquet file to what was found. name: the file's; an item's source is `<name>#<row>`.

    Raises OSError, and UsageError for what is no Parquet file of images and labels.
    """
    try:
        with damage_told(), opened_parquet(container) as file:
            columns = columns_of(file.schema_arrow, labels)
            found.form = f"parquet:{columns.image}"
            stated = file.read([columns.label])[columns.label] if columns.label else None
            rows = file.metadata.num_rows
            away = dict(_without_bytes(file, columns))
    except (UsageError, ContentError) as error:
        raise UsageError(f"{without_secrets(container)}: {error}") from None
    names = _Names(stated, columns, rows)
    for row, number in enumerate(names.indices):
        source = f"{name}#{row}"
        pattern = exclusion.matching(source, source)
        label, problem = names.of(number)
        if pattern:
            found.skip(source, f"excluded by --exclude {pattern}")
        elif row in away and (lost := _lost(container, away[row])):
            found.lose(source, lost)
        elif problem:
            found.lose(source, problem)
        else:
            found.sources.append(source)
            found.folders.append(label)
            found.offsets.append(row)
            found.sizes.append(-1)
    found.classes.update(found.folders)


class _Names:
    """Labels of rows: of every distinct value its class folder, or why it has none."""

    def __init__(self, stated: pa.ChunkedArray | None, columns: Columns, rows: int) -> None:
        """stated: the column of labels, None where all of the rows are of the class folder ""."""
        self._columns = columns
        if stated is None:
            self._known, self.indices = [("", "")], [0] * rows
            return
        values = stated.cast(stated.type.value_type) if pa.types.is_dictionary(stated.type) else stated
        whole = joined(values).dictionary_encode()
        self._known = [self._named(value) for value in whole.dictionary.to_pylist()]
        self.indices = whole.indices.to_pylist()

    def of(self, number: int | None) -> tuple[str, str]:
        """(class folder, why there is none) of an index."""
        return ("", "a null label") if number is None else self._known[number]

    def _named(self, value: object) -> tuple[str, str]:
        names = self._columns.names
        try:
            text = label_text(value)
        except ValueError as error:
            return "", str(error)
        if not text:
            return "", f"without a label: {self._columns.label!r} is {value!r}"
        if not names or isinstance(value, str):
            return text, ""
        if int(text) >= len(names):
            return (
                "",
                f"the label {text} is outside of the {len(names)} class names of the column {self._columns.label!r}",
            )
        return names[int(text)], ""


def _without_bytes(file: pq.ParquetFile, columns: Columns) -> Iterator[tuple[int, str]]:
    """(row, path) of every row without the bytes of an image. Only row groups that may have such a row are read."""
    start = 0
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        if not _is_full(about, columns.bytes):
            row = start
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=[columns.image], use_threads=False):
                images = batch[0]
                given = images.field("bytes") if pa.types.is_struct(images.type) else images
                empty = pc.or_(pc.is_null(images), pc.is_null(given))
                for at in pc.indices_nonzero(empty).to_pylist():
                    yield row + at, path_of(images[at])
                row += len(batch)
        start += about.num_rows


def _is_full(about: pq.RowGroupMetaData, leaf: str) -> bool:
    """Whether the statistics of a row group say that no value of this leaf is null."""
    for number in range(about.num_columns):
        column = about.column(number)
        if column.path_in_schema == leaf:
            stated = column.statistics
            return stated is not None and bool(stated.has_null_count) and stated.null_count == 0
    return False


def _lost(container: str, path: str) -> str:
    """Why a row that has a path and no bytes can't be taken; "" if its file is there."""
    if not path:
        return "a null image"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return (
            f"no bytes, and its path {path} does not lead below the folder of the Parquet file: put the bytes in "
            "(embed_table_storage of the library datasets)"
        )
    if is_url(container):
        return f"no bytes but a path ({path}), which is read on disk alone"
    return "" if (Path(container).parent / path).is_file() else f"no bytes, and there is no file {path} beside it"
