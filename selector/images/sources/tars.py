"""An uncompressed tar as files at offsets: links are followed to the member that holds the bytes."""

from __future__ import annotations

import io
import tarfile
from typing import BinaryIO

from selector.errors import UsageError
from selector.images.blobs import as_file
from selector.images.locations import without_secrets
from selector.images.sources.members import Link, MemberIndex, resolve_links, source_text

_BEYOND_BYTES = 1 << 20
_KEPT_BYTES = 1 << 16
_WITH_LABELS = (".cls", ".json")


def read_index(container: str, *, whole: bool = True, keep: bool = False) -> MemberIndex:
    """The members of the tar at a path or URL; raises OSError, and UsageError for what is no uncompressed tar.

    whole: raise UsageError as well where it is damaged or cut short within a member; else what comes before that is taken, and
    `ending` says so. keep: the contents of small members with labels are kept on the way: one way through a container that is
    far away.
    """
    index, links = MemberIndex(), dict[str, Link]()
    with as_file(container) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                try:
                    for member in tar:
                        _take(index, links, member)
                        if keep and member.isreg() and member.size <= _KEPT_BYTES:
                            _keep(index, tar, member)
                        tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    index.ending = _ending(file, tar.offset)
                except tarfile.TarError as error:
                    if whole:
                        raise
                    index.ending = f"damaged or cut short, and what follows is not read: {error}"
        except tarfile.TarError as error:
            raise UsageError(
                f"{without_secrets(container)} can't be read as an uncompressed tar file: {error}"
            ) from error
    resolve_links(index, links)
    return index


def _take(index: MemberIndex, links: dict[str, Link], member: tarfile.TarInfo) -> None:
    source = source_text(member.name)
    if not source:
        return
    if member.isdir():
        index.folders.add(source)
        return
    for earlier in (index.files, index.unreadable, links):  # the last of several members with one name counts
        if earlier.pop(source, None) is not None:
            index.repeated[source] = index.repeated.get(source, 0) + 1
    linked = index.files.get(source_text(member.linkname)) if member.islnk() else None
    if member.isreg() and not member.issparse():
        index.files[source] = member.offset_data, member.size
    elif linked is not None:  # now, since a later member of the target's name is another file
        index.files[source] = linked
    elif member.islnk() or member.issym():
        links[source] = Link(member.linkname, member.islnk())
    else:
        kind = "a sparse member" if member.issparse() else "a device or a pipe"
        index.unreadable[source] = f"not a regular file of the tar ({kind}): pack it as a plain file"


def _keep(index: MemberIndex, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    if member.name.lower().endswith(_WITH_LABELS):
        file = tar.extractfile(member)
        assert file is not None, "a regular file"
        index.contents[source_text(member.name)] = file.read()


def _ending(file: BinaryIO, offset: int) -> str:
    """Raises ReadError where a header is damaged: the module reads that as the end."""
    file.seek(offset, io.SEEK_SET)
    rest = file.read(_BEYOND_BYTES)
    if not rest:
        return "the tar has no end mark: it may have been cut short, and files may be missing"
    if len(rest) < tarfile.BLOCKSIZE or rest[: tarfile.BLOCKSIZE].strip(b"\0"):
        raise tarfile.ReadError(f"the header at byte {offset} is damaged or cut short")
    if rest.strip(b"\0"):
        return "more follows behind the end mark of the tar (several tars joined?), which is not read: pack them as one"
    return ""
