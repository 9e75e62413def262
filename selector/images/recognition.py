"""What a file or folder is by its name and its first bytes: a picture, or something that only lies beside pictures."""

from __future__ import annotations

import re

HEAD_BYTES = 512
"""What has to be read of a file to recognise it."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READ_SUFFIXES = _words(
    "jpg jpeg jpe jfif jif mpo png apng webp gif bmp dib tif tiff ppm pgm pbm pnm avif avifs heic heics heif heifs hif"
)
"""What the decoder reads, some with a further package (codecs.py)."""
OTHER_SUFFIXES = _words(
    """
    jp2 j2k j2c jpc jpf jpx jxl jxr wdp psd psb svg svgz ico cur tga exr hdr dds qoi pcx sgi rgb
    ras xpm xbm xcf pfm pam flif djvu dcm dng cr2 cr3 crw nef nrw arw raf orf rw2 pef srw x3f
    """
)
"""Pictures too, though not read here: they fail with their kind as the reason, and are not taken for something else."""

IMAGE_SUFFIXES = READ_SUFFIXES | OTHER_SUFFIXES

SIDECAR_SUFFIXES = _words(
    """
    json jsonl txt caption xml csv tsv yaml yml toml md rst html htm npy npz pt pth pkl cls log db sqlite ini cfg
    lnk url md5 sha1 sha256 sha512 sfv parquet arrow lock tmp bak py sh
    """
)
"""Files that lie beside pictures. The list matters only where a file's content can't be read."""

ARCHIVE_SUFFIXES = _words("tar tgz zip 7z rar gz bz2 xz zst")

_SYSTEM_FOLDERS = _words(
    """
    __macosx @eadir @tmp @recycle #recycle #snapshot lost+found $recycle.bin recycler recycled found.000 __pycache__
    """
) | {"system volume information", "network trash folder", "temporary items"}

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS", "PSD"),
    (b"gimp xcf", "XCF"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"DDS \x7c\0\0\0", "DDS"),
    (b"qoif", "QOI"),
    (b"FLIF", "FLIF"),
    (b"AT&TFORM", "DjVu"),
    (b"/* XPM */", "XPM"),
    (b"SIMPLE  =", "FITS"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"IIRO", "camera raw"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "camera raw"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"
)
_ANY_CODING = (b"mif1", b"msf1")  # what codes the picture is said by a brand further on
_PNM = re.compile(rb"P[1-7]\s(?:\s*#[^\n]*\n)*\s*(?:WIDTH\s|\d+\s+(?:#[^\n]*\n\s*)*\d+\s)")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_SVG = re.compile(rb"(?:<svg|(?:<\?xml|<!--|<!doctype svg).*<svg)[\s>:]", re.DOTALL | re.IGNORECASE)

_OTHER_CONTENT = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer: fetch the file itself with git lfs pull"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array"),
)


def suffix_of(name: str) -> str:
    """What follows the last dot of a name, in lower case; "" if there is no dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def is_system_folder(name: str) -> bool:
    """Whether operating systems and file servers make folders of this name."""
    return name.lower() in _SYSTEM_FOLDERS


def picture_kind(head: bytes) -> str:
    """The kind of picture that begins with these bytes, such as "JPEG" or "HEIC"; "" if they are no picture's."""
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[128:132] == b"DICM":
        return "DICOM"
    if _PNM.match(head):
        return "PPM"
    return "SVG" if _SVG.match(head.removeprefix(b"\xef\xbb\xbf").lstrip()) else ""


def _by_brand(head: bytes) -> str:
    """The kind of a file that begins with an ftyp box: its own brand, then those that it is compatible with."""
    brand = head[8:12]
    if brand not in _ANY_CODING:
        return _BRANDS.get(brand, "")
    end = int.from_bytes(head[:4], "big")
    further = [_BRANDS.get(head[at : at + 4], "") for at in range(16, min(end, len(head)), 4)]
    return next(filter(None, further), "HEIC")


def content_named(head: bytes) -> str:
    """What a file is that can't be read as a picture, in words; "" if that is unknown."""
    kind = picture_kind(head)
    if kind:
        return f"{'an' if kind[0] in 'AOX' or kind == 'SVG' else 'a'} {kind} picture"
    for start, named in _OTHER_CONTENT:
        if head.startswith(start):
            return named
    begin = head.lstrip().lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page, as a failed download leaves it"
    return "zeros alone" if head and not head.strip(b"\0") else ""
