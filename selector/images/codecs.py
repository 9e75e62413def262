"""Which formats of pictures are read here, what a further package adds, and what to do about the others."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

_AVIF = find_spec("PIL._avif") is not None

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", *(("AVIF",) if _AVIF else ()))
"""Pillow's formats that are tried; its others (some start programs, EPS) are not offered the bytes."""

HEIC = "HEIC"

_ADDED = {HEIC: "pillow-heif", "AVIF": "pillow>=11.3"}
"""What reads a kind of picture here once it is installed."""

_CONVERTERS = {
    "JPEG XL": "pillow-jxl-plugin",
    "JPEG XR": "imagecodecs",
    "PSD": "psd-tools",
    "camera raw": "rawpy",
    "DICOM": "pydicom",
    "FITS": "astropy",
    "OpenEXR": "OpenEXR",
    "SVG": "cairosvg",
    "JPEG 2000": "pillow",
    "DDS": "pillow",
    "QOI": "pillow",
    "XPM": "pillow",
}
"""Packages that read a kind of picture which is not read here, for a conversion beforehand."""


@cache
def heif_reader() -> str:
    """What reads HEIC, with its version, such as "pillow-heif 1.8.1"; "" if it is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return ""
    # One thread: files are decoded side by side in processes. What lies beside the picture is not looked at.
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return f"pillow-heif {pillow_heif.__version__}"


def offered(kind: str) -> tuple[str, ...]:
    """Pillow's formats that bytes of this kind of picture are offered to."""
    if kind == HEIC and heif_reader():
        return ("HEIF",)
    if kind == "AVIF" and _AVIF:
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # as above
    return FORMATS


def readable() -> tuple[str, ...]:
    """The kinds of pictures that are read here, with what is installed."""
    return (*FORMATS, HEIC) if heif_reader() else FORMATS


def remedy(kind: str) -> str:
    """What to do about a kind of picture that is not read here; "" where nothing is known."""
    if kind in _ADDED:
        return f"pip install '{_ADDED[kind]}', then run again with --retry-failed"
    if kind in _CONVERTERS:
        return f"convert it first, to PNG for instance (the package {_CONVERTERS[kind]} reads it)"
    return "convert it first, to PNG for instance" if kind else ""
