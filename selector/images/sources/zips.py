"""A zip archive as files at offsets, by its central directory."""

from __future__ import annotations

import stat
import zipfile

from selector.errors import UsageError
from selector.images.blobs import Blob, as_file
from selector.images.locations import without_secrets
from selector.images.places import ContentError
from selector.images.sources.members import Link, MemberIndex, resolve_links, source_text
from selector.images.zip_members import read_member, unreadable

_UNIX = 3
_LINK_BYTES = 4096


def read_index(container: str, blob: Blob) -> MemberIndex:
    """The members of the zip archive at a path or URL, opened as `blob`.

    Raises OSError, and UsageError for what is no zip archive or one that is damaged.
    """
    index, links = MemberIndex(), dict[str, Link]()
    try:
        with as_file(container) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{without_secrets(container)} can't be read as a zip archive: {error}; it may be damaged, cut short, or one of "
            "several volumes"
        ) from error
    for member in members:
        source = source_text(member.filename.replace("\\", "/"))
        if not source:
            continue
        if member.is_dir() or member.filename.endswith("\\"):
            index.folders.add(source)
            continue
        for earlier in (index.files, index.unreadable, links):
            if earlier.pop(source, None) is not None:
                index.repeated[source] = index.repeated.get(source, 0) + 1
        problem = unreadable(member.flag_bits, member.compress_type)
        if problem:
            index.unreadable[source] = problem
        elif _is_link(member):
            _take_link(index, links, source, member, blob)
        else:
            index.files[source] = member.header_offset, member.file_size
    resolve_links(index, links)
    return index


def _is_link(member: zipfile.ZipInfo) -> bool:
    return member.create_system == _UNIX and stat.S_ISLNK(member.external_attr >> 16)


def _take_link(index: MemberIndex, links: dict[str, Link], source: str, member: zipfile.ZipInfo, blob: Blob) -> None:
    """The content of a link is where it leads to."""
    try:
        if member.file_size > _LINK_BYTES:
            raise ContentError(f"{member.file_size} bytes")
        links[source] = Link(read_member(blob, member.header_offset, member.file_size).decode())
    except (ContentError, UnicodeDecodeError) as error:
        index.unreadable[source] = f"a link that can't be read: {error}"
