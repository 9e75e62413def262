"""The samples of a WebDataset shard: members of one key, one of which is an image and one may be its label.

A key is a member's path up to the first dot of its base name, the ending is what follows, as the library `webdataset` has it
(`base_plus_ext`, `group_by_keys`). There the members of a sample lie side by side; here they may lie anywhere in the shard.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from selector.images.exclusion import Exclusion
from selector.images.labels import Labels, label_text
from selector.images.recognition import IMAGE_SUFFIXES
from selector.images.sources.members import MemberTree
from selector.images.sources.source import Found, is_text
from selector.images.sources.walk import NO_IMAGE

_KEY = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")
_META = re.compile(r"__[^/]*__($|/)")
_LABEL_BYTES = 1 << 20

Read = Callable[[str], bytes]
Sample = dict[str, str]
"""Ending, in lower case → member."""


def samples_of(members: Mapping[str, object]) -> tuple[dict[str, Sample], list[str]]:
    """Key → sample, and members that belong to none: hidden ones and those without an ending."""
    samples: dict[str, Sample] = {}
    others = []
    for member in members:
        found = _KEY.match(member)
        if found is None or _META.match(member):
            others.append(member)
        else:
            samples.setdefault(found[1], {})[found[2].lower()] = member
    return samples, others


def is_shard(tree: MemberTree, labels: Labels) -> bool:
    """Whether a tar has its labels in members: in a .cls beside an image, or in JSON beside images outside of class folders.

    A tar in class folders with JSON beside the images is one of class folders, unless a key of labels is named. Where no label
    is wanted, a tar is one of images, unless the key of an image is named.
    """
    if labels.unlabelled:
        return bool(labels.image_key)
    samples, _ = samples_of(tree.index.files)
    for key, sample in samples.items():
        if IMAGE_SUFFIXES.isdisjoint(sample):
            continue
        if "cls" in sample or (labels.label_key and (labels.label_key in sample or "json" in sample)):
            return True
        if "/" not in key and "json" in sample:
            return True
    return False


def find_samples(name: str, tree: MemberTree, found: Found, exclusion: Exclusion, labels: Labels) -> None:
    """Adds the samples of a shard to what was found. name: the shard's; an item's source is `<name>#<member>`."""
    samples, others = samples_of(tree.index.files)
    for member in others:
        found.skip(f"{name}#{member}", "hidden, or without an ending: no part of a sample")
    for member, reason in tree.index.unreadable.items():
        found.lose(f"{name}#{member}", reason)
    for sample in samples.values():
        _take(name, sample, tree, found, exclusion, labels)
    if tree.index.ending:
        found.lose(name, tree.index.ending)


def _take(name: str, sample: Sample, tree: MemberTree, found: Found, exclusion: Exclusion, labels: Labels) -> None:
    first = next(iter(sample.values()))
    images = images_in(sample, labels.image_key)
    image = sample[images[0]] if images else first
    source = f"{name}#{image}"
    pattern = exclusion.matching(image, image.rpartition("/")[2]) or exclusion.matching(source, source)
    if pattern:
        found.skip(source, f"excluded by --exclude {pattern}")
    elif ".." in image.split("/"):
        found.lose(source, "its path has .. in it: pack the data with plain paths")
    elif not is_text(source):
        found.lose(source, "the name is not valid UTF-8: rename it")
    elif not images:
        kept = {"cls", "json"} & sample.keys()
        note = found.lose if kept or labels.image_key else found.skip
        note(source, f"a key without an image ({', '.join(sample)})" if kept or labels.image_key else NO_IMAGE)
    elif len(images) > 1:
        found.lose(
            source, f"several images under one key ({', '.join(images)}): name the ending of one with --image-key"
        )
    else:
        for _ in range(tree.index.repeated.get(image, 0)):
            found.lose(source, "an earlier sample of the same key: the last one in the shard counts")
        try:
            label = "" if labels.unlabelled else _label(sample, image, tree, labels)
        except (ValueError, OSError) as error:
            found.lose(source, f"its label can't be read: {error}")
            return
        if not label and not labels.unlabelled:
            found.lose(source, "a sample without a label: no .cls, no label in a .json, and no folder")
            return
        offset, size = tree.index.files[image]
        found.sources.append(source)
        found.folders.append(label)
        found.classes.add(label)
        found.offsets.append(offset)
        found.sizes.append(size)


def images_in(sample: Sample, image_key: str = "") -> list[str]:
    """The endings of a sample that may be its image. One such as `jpg` goes before one such as `mask.png`."""
    if image_key:
        return [image_key.lower()] if image_key.lower() in sample else []
    plain = [ending for ending in sample if ending in IMAGE_SUFFIXES]
    return plain or [ending for ending in sample if ending.rpartition(".")[2] in IMAGE_SUFFIXES]


def label_in(sample: Sample, read: Read, labels: Labels) -> str:
    """The label that a sample's own members say, "" if none does; raises ValueError or OSError if it can't be read."""
    key = labels.label_key
    if key.lower() in sample and key:
        return label_text(_text(read(sample[key.lower()])))
    if "cls" in sample and not key:
        return label_text(_text(read(sample["cls"])))
    if "json" not in sample:
        return ""
    try:
        content: Any = json.loads(read(sample["json"]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its .json is none ({error})") from None
    stated = content if isinstance(content, dict) else {}
    return label_text(next((stated[name] for name in labels.keys if name in stated), None))


def _label(sample: Sample, image: str, tree: MemberTree, labels: Labels) -> str:
    return label_in(sample, lambda member: _small(tree, member), labels) or _folder_of(image)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None


def _small(tree: MemberTree, member: str) -> bytes:
    if tree.index.files[member][1] > _LABEL_BYTES:
        raise ValueError(f"{tree.index.files[member][1]} bytes, more than the limit of {_LABEL_BYTES}")
    return tree.read(member)


def _folder_of(member: str) -> str:
    """The topmost folder, as in class folders."""
    return member.partition("/")[0] if "/" in member else ""
