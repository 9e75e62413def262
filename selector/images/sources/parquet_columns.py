"""Which columns of a Parquet file hold the images and their labels, by its schema.

The library `datasets` writes its features into the schema's metadata under the key `huggingface`: there an image column is an
`Image`, and a `ClassLabel` has the names behind its numbers. Other files are judged by the types and names of their columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from selector.errors import UsageError
from selector.images.labels import LABEL_KEYS, Labels

_IMAGE_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "photo", "bytes", "content")


@dataclass(frozen=True)
class Columns:
    """image, label: names of columns; label is "" where there are no labels. bytes: the path of the leaf that holds the images'
    bytes. names: of a ClassLabel.
    """

    image: str
    label: str
    bytes: str
    names: tuple[str, ...] = ()


def columns_of(schema: pa.Schema, labels: Labels) -> Columns:
    """The columns of a file of this schema; raises UsageError if they can't be told, with the option that names them."""
    features = _features(schema)
    image = _image(schema, features, labels.image_key)
    label = "" if labels.unlabelled else _label(schema, features, labels.label_key)
    if label == image:
        raise UsageError(f"{image!r} can't be the column of images and of labels")
    leaf = f"{image}.bytes" if pa.types.is_struct(schema.field(image).type) else image
    names = features.get(label, {}).get("names") if features.get(label, {}).get("_type") == "ClassLabel" else None
    return Columns(image, label, leaf, tuple(map(str, names or ())))


def _features(schema: pa.Schema) -> dict[str, Mapping[str, Any]]:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        stated = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in stated.items() if isinstance(feature, dict)}
    return {}


def _image(schema: pa.Schema, features: Mapping[str, Mapping[str, Any]], asked: str) -> str:
    holding: list[str] = [field.name for field in schema if _holds_bytes(field.type)]
    if asked:
        if asked not in holding:
            raise UsageError(f"{_no_column('image bytes', asked, schema)}: --image-key names it")
        return asked
    stated = [name for name in holding if features.get(name, {}).get("_type") == "Image"]
    for found in (stated, holding):
        if len(found) == 1:
            return found[0]
        called = [name for name in _IMAGE_NAMES if name in found]
        if called:
            return called[0]
    what = f"several columns of images ({', '.join(holding)})" if holding else _no_column("image bytes", "", schema)
    raise UsageError(f"{what}: name one with --image-key")


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return "bytes" in [field.name for field in kind] and _is_binary(kind.field("bytes").type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _label(schema: pa.Schema, features: Mapping[str, Mapping[str, Any]], asked: str) -> str:
    if asked and asked not in schema.names:
        raise UsageError(f"{_no_column('labels', asked, schema)}: --label-key names it")
    called = [name for name in LABEL_KEYS if name in schema.names]
    stated = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    if not asked and not called and len(stated) != 1:
        what = f"several columns of labels ({', '.join(stated)})" if stated else _no_column("labels", "", schema)
        raise UsageError(f"{what}: name it with --label-key")
    name: str = asked or (called or stated)[0]
    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_text(kind)):
        raise UsageError(f"the column {name!r} holds {kind}, no texts or whole numbers: name another with --label-key")
    return name


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _no_column(what: str, asked: str, schema: pa.Schema) -> str:
    called = f" {asked!r}" if asked else ""
    return f"no column{called} of {what} among {', '.join(schema.names) or 'none'}"
