"""An uncompressed tar as files at offsets: links are followed to the member that holds the bytes.

A member that can't be read by its offset stands in `TarIndex.unreadable` with its reason.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from selector.errors import UsageError

_BEYOND_BYTES = 1 << 20


@dataclass
class TarIndex:
    """Members by source. files: (offset, size) of their bytes; folders: as members name them.

    unreadable: why a member has no bytes that can be read. ending: what is wrong with the end of the tar, "" if nothing.
    """

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    ending: str = ""


def read_index(path: Path) -> TarIndex:
    """Raises UsageError for what is no uncompressed tar, or one that is damaged or cut short within a member."""
    index, links = TarIndex(), dict[str, tarfile.TarInfo]()
    with opened_tar(path) as tar:
        for member in tar:
            _take(index, links, member)
        index.ending = _ending(path, tar)
    for source, link in links.items():
        target = _followed(links, source)
        if target in index.files:
            index.files[source] = index.files[target]
        else:
            index.unreadable[source] = _broken(link, target in index.folders)
    return index


@contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """An uncompressed tar; raises UsageError if it is something else or damaged."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (tarfile.TarError, OSError) as error:
        raise UsageError(f"{path} can't be read as an uncompressed tar file: {error}") from error


def _take(index: TarIndex, links: dict[str, tarfile.TarInfo], member: tarfile.TarInfo) -> None:
    source = _source(member.name)
    if not source:
        return
    if member.isdir():
        index.folders.add(source)
        return
    for earlier in (index.files, index.unreadable, links):  # the last of several members with one name counts
        earlier.pop(source, None)
    linked = index.files.get(_source(member.linkname)) if member.islnk() else None
    if member.isreg() and not member.issparse():
        index.files[source] = member.offset_data, member.size
    elif linked is not None:  # now, since a later member of the target's name is another file
        index.files[source] = linked
    elif member.islnk() or member.issym():
        links[source] = member
    else:
        kind = "a sparse member" if member.issparse() else "a device or a pipe"
        index.unreadable[source] = f"not a regular file of the tar ({kind}): pack it as a plain file"


def _source(name: str) -> str:
    """A member's path as a source, "" for the root; a leading ./ or / is dropped."""
    source = PurePosixPath(name.lstrip("/")).as_posix()
    return "" if source == "." else source


def _followed(links: dict[str, tarfile.TarInfo], source: str) -> str:
    """The source at the end of a chain of links; "" if it goes round or leaves the tar."""
    seen = set[str]()
    while source in links:
        if source in seen:
            return ""
        seen.add(source)
        link = links[source]
        if link.islnk():
            source = _source(link.linkname)
        elif link.linkname.startswith("/"):
            return ""
        else:
            source = posixpath.normpath(posixpath.join(posixpath.dirname(source), link.linkname))
    return source


def _broken(link: tarfile.TarInfo, to_folder: bool) -> str:
    what = "a link to a folder" if to_folder else "a link to what is no file of the tar"
    return f"{what} ({link.linkname}): pack the files themselves (tar --dereference --hard-dereference)"


def _ending(path: Path, tar: tarfile.TarFile) -> str:
    """Raises ReadError where a header is damaged: the module reads that as the end."""
    with path.open("rb") as file:
        file.seek(tar.offset)
        rest = file.read(_BEYOND_BYTES)
    if not rest:
        return "the tar has no end mark: it may have been cut short, and files may be missing"
    if len(rest) < tarfile.BLOCKSIZE or rest[: tarfile.BLOCKSIZE].strip(b"\0"):
        raise tarfile.ReadError(f"the header at byte {tar.offset} is damaged or cut short")
    if rest.strip(b"\0"):
        return "more follows behind the end mark of the tar (several tars joined?), which is not read: pack them as one"
    return ""
