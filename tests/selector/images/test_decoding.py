"""Bytes to pixels: what is refused, what is converted, and that nothing happens in silence."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from selector.images.decoding import DECODER, MAX_PIXELS, DecodeError, decode, decode_with_notes


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(header: tuple[int, int, int, int], idat: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand: header is (width, height, bit depth, colour type)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    ihdr = struct.pack(">IIBBBBB", *header, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), *extra, (b"IDAT", idat), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def grey16(samples: NDArray[np.uint16], *extra: tuple[bytes, bytes]) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png((samples.shape[1], samples.shape[0], 16, 0), zlib.compress(rows), *extra)


@cache
def photo() -> Image.Image:
    """A smooth picture with some detail, 40 × 30, that lossy formats keep well."""
    y, x = np.mgrid[0:30, 0:40]
    return Image.fromarray(np.stack([x * 6, y * 8, (x + y) * 3 + (x > 20) * 40], 2).astype(np.uint8))


ORIENTED = [
    (1, lambda a: a),
    (2, lambda a: a[:, ::-1]),
    (3, lambda a: a[::-1, ::-1]),
    (4, lambda a: a[::-1]),
    (5, lambda a: a.transpose(1, 0, 2)),
    (6, lambda a: a.transpose(1, 0, 2)[:, ::-1]),
    (7, lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
    (8, lambda a: a.transpose(1, 0, 2)[::-1]),
]


@pytest.mark.parametrize(("orientation", "turned"), ORIENTED)
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_exif_rotation_is_applied_once_and_noted(file_format: str, orientation: int, turned: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(file_format, {})
    plain = decode(encoded(photo(), file_format, **options))
    result = decode_with_notes(encoded(photo(), file_format, exif=exif, **options))
    assert (result.image == turned(plain)).all()
    assert result.notes == (() if orientation == 1 else ("rotated by EXIF",))


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    samples = np.asarray([[0, 128, 129, 257], [32768, 40000, 65407, 65535]], np.uint16)
    result = decode_with_notes(grey16(samples))
    expected = np.round(samples / 257).astype(np.uint8)
    assert (result.image == expected[:, :, None]).all()
    assert result.notes == ("16-bit samples scaled to 8",)


def test_16_bit_colour_is_scaled_and_not_clipped() -> None:
    samples = np.asarray([[[0, 30000, 65535], [257, 40000, 50000]]], np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    image = decode(png((2, 1, 16, 2), zlib.compress(rows)))
    assert abs(image.astype(float) - samples / 257).max() <= 1


def colour16_tiff(samples: NDArray[np.uint16]) -> bytes:
    """An uncompressed little-endian TIFF by hand, which Pillow does not write."""
    height, width, channels = samples.shape
    rows, bits = samples.astype("<u2").tobytes(), struct.pack(f"<{channels}H", *[16] * channels)
    at = 8 + 2 + 12 * 9 + 4
    short = [(256, width), (257, height), (259, 1), (262, 2), (277, channels), (278, height)]
    entries = [(tag, 3, 1, value) for tag, value in short]
    entries += [(258, 3, channels, at), (273, 4, 1, at + len(bits)), (279, 4, 1, len(rows))]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + bits + rows


COLOUR_16 = np.asarray([[[0, 255, 256], [30000, 40000, 65535]]], np.uint16)


@pytest.mark.parametrize(
    "content",
    [
        png((2, 1, 16, 2), zlib.compress(b"\0" + COLOUR_16.astype(">u2").tobytes())),
        png((1, 1, 16, 6), zlib.compress(b"\0" + COLOUR_16.astype(">u2").tobytes()[:8])),
        png((1, 1, 16, 4), zlib.compress(b"\0" + COLOUR_16.astype(">u2").tobytes()[:4])),
        colour16_tiff(COLOUR_16),
    ],
    ids=["PNG", "PNG with alpha", "PNG of grey with alpha", "TIFF"],
)
def test_16_bit_samples_of_which_pillow_keeps_the_high_byte_are_noted_as_cut(content: bytes) -> None:
    result = decode_with_notes(content)
    assert result.notes[0] == "16-bit samples cut to 8"
    if len(result.notes) == 1:
        assert (result.image == COLOUR_16 >> 8).all()


def test_samples_of_a_portable_picture_that_are_stretched_to_a_byte_are_noted() -> None:
    colour = COLOUR_16.astype(">u2").tobytes()
    scaled = decode_with_notes(b"P6 2 1 65535\n" + colour)
    assert scaled.notes == ("16-bit samples scaled to 8",)
    assert (scaled.image == (COLOUR_16.astype(int) + 128) // 257).all()
    for content in (b"P5 2 1 100\n" + bytes([50, 100]), b"P2 2 1 100\n50 100\n"):
        result = decode_with_notes(content)
        assert result.notes == ("samples scaled from another range",)
        assert result.image[0, :, 0].tolist() == [128, 255]
    for content in (b"P5 2 1 255\n" + bytes([50, 100]), b"P3 1 1 255\n50 100 255\n", b"P1 2 1\n0 1\n"):
        assert decode_with_notes(content).notes == ()


def test_a_profile_or_gamma_that_is_not_applied_is_noted_unless_it_is_srgb() -> None:
    profiles = {name: ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes() for name in ("sRGB", "XYZ")}
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        assert decode_with_notes(encoded(photo(), kind, icc_profile=profiles["sRGB"])).notes == ()
        noted = decode_with_notes(encoded(photo(), kind, icc_profile=profiles["XYZ"])).notes
        assert noted == ("colour profile not applied",)
    for gamma, notes in ((45455, ()), (100000, ("gamma not applied",))):
        pixel = png((1, 1, 8, 2), zlib.compress(b"\0\1\2\3"), (b"gAMA", struct.pack(">I", gamma)))
        assert decode_with_notes(pixel).notes == notes


def test_a_tiff_that_begins_with_its_preview_says_so() -> None:
    assert decode_with_notes(encoded(photo(), "TIFF", tiffinfo={254: 1})).notes == ("a reduced preview of the picture",)
    assert decode_with_notes(encoded(photo(), "TIFF", tiffinfo={254: 0})).notes == ()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"8BPS" + bytes(40), "a PSD picture: convert it first.*psd-tools"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "a JPEG XL picture"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (bytes(600), "zeros alone"),
    ],
)
def test_what_a_file_is_instead_of_a_picture_is_said(content: bytes, named: str) -> None:
    with pytest.raises(DecodeError, match=rf"not a picture of a known format \(.*\): its content is {named}"):
        decode(content)


def test_a_16_bit_pgm_and_tiff_are_scaled_like_the_png() -> None:
    samples = np.asarray([[0, 300, 40000, 65535]], np.uint16)
    expected = decode(grey16(samples))
    pgm = b"P5 4 1 65535\n" + samples.astype(">u2").tobytes()
    assert (decode(pgm) == expected).all()
    assert (decode(encoded(Image.fromarray(samples), "TIFF")) == expected).all()


def test_a_transparent_sample_of_16_bit_grey_becomes_white() -> None:
    samples = np.asarray([[300, 40000]], np.uint16)
    result = decode_with_notes(grey16(samples, (b"tRNS", struct.pack(">H", 300))))
    assert result.image[0, 0].tolist() == [255, 255, 255]
    assert result.image[0, 1].tolist() == [156, 156, 156]
    assert "transparency composited on white" in result.notes


def test_alpha_is_composited_on_white_and_hidden_colours_do_not_show() -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0] = [[255, 0, 0, 0], [0, 0, 0, 128], [10, 20, 30, 255]]
    result = decode_with_notes(encoded(Image.fromarray(rgba), "PNG"))
    assert result.image[0, 0].tolist() == [255, 255, 255]
    assert result.image[0, 1].tolist() == [127, 127, 127]
    assert result.image[0, 2].tolist() == [10, 20, 30]
    assert result.notes == ("transparency composited on white",)


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    pixels = decode(encoded(image, "PNG", transparency=0))
    assert pixels.tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_grey_with_alpha_is_composited_on_white() -> None:
    pixels = decode(encoded(Image.new("LA", (1, 1), (0, 0)), "PNG"))
    assert pixels.tolist() == [[[255, 255, 255]]]


def test_cmyk_becomes_rgb_and_is_noted() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    result = decode_with_notes(encoded(image, "JPEG", quality=100))
    assert abs(result.image.astype(int) - [255, 0, 0]).max() <= 4
    assert result.notes == ("converted from CMYK",)


def test_an_animation_gives_its_first_frame_and_says_so() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for file_format in ("GIF", "PNG", "WEBP", "TIFF", "MPO"):
        content = encoded(frames[0], file_format, save_all=True, append_images=frames[1:])
        result = decode_with_notes(content)
        assert abs(result.image.astype(int) - [255, 0, 0]).max() <= 4, file_format
        assert result.notes[0] == "first of 3 frames"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_plain_pictures_are_read_as_they_are(mode: str) -> None:
    image = photo().convert(mode)
    result = decode_with_notes(encoded(image, "PNG"))
    assert (result.image == np.asarray(image.convert("RGB"))).all()
    assert result.image.dtype == np.uint8
    assert result.image.flags.c_contiguous
    assert result.notes == ()


def test_one_pixel_is_a_picture() -> None:
    assert decode(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 9_000)], ids=["error of Pillow", "warning of Pillow"])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    """The pixel data is garbage: had it been looked at, the reason would be damage."""
    with pytest.raises(DecodeError, match=f"more (pixels )?than the limit of {MAX_PIXELS}"):
        decode(png((*size, 8, 2), b"garbage"))


def test_a_real_bomb_is_refused_without_taking_memory(tmp_path: Path) -> None:
    """400 million pixels in 49 kB, which decoded take 400 MB as bytes and 1.2 GB as RGB."""
    packer = zlib.compressobj(9)
    rows = bytes(2501 * 1000)
    idat = b"".join(packer.compress(rows) for _ in range(20)) + packer.flush()
    (tmp_path / "bomb.png").write_bytes(png((20_000, 20_000, 1, 0), idat))
    script = (
        "import resource, sys\n"
        "from selector.images.decoding import DecodeError, decode\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode(content)\n"
        "except DecodeError as error:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "bomb.png")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    grown_kb, reason = done.stdout.split(maxsplit=1)
    assert int(grown_kb) < 50_000
    assert "limit" in reason


def test_a_text_chunk_that_unpacks_to_gigabytes_is_refused() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    with pytest.raises(DecodeError, match="damaged"):
        decode(png((1, 1, 8, 2), zlib.compress(bytes(4)), (b"zTXt", bomb)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"class notes, not a picture\n", "not a picture of a known format"),
        (b"\x89PNG\r\n\x1a\n", "damaged|not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "damaged|not a picture"),
    ],
    ids=["empty", "text", "png signature", "postscript", "jpeg start"],
)
def test_what_is_no_picture_fails_with_a_plain_reason(content: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode(content)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_an_agreed_range_are_refused(mode: str) -> None:
    with pytest.raises(DecodeError, match="agreed range"):
        decode(encoded(Image.new(mode, (3, 3)), "TIFF"))


WHOLE = {
    "JPEG": encoded(photo(), "JPEG"),
    "MPO": encoded(photo(), "MPO", save_all=True, append_images=[photo().rotate(180)]),
    "progressive JPEG": encoded(photo(), "JPEG", progressive=True),
    "PNG": encoded(photo(), "PNG"),
    "WEBP": encoded(photo(), "WEBP"),
    "GIF": encoded(photo(), "GIF"),
    "BMP": encoded(photo(), "BMP"),
    "TIFF": encoded(photo(), "TIFF"),
    "packed TIFF": encoded(photo(), "TIFF", compression="tiff_lzw"),
    "PPM": encoded(photo(), "PPM"),
}


@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_short_fails_or_gives_all_its_pixels(name: str, share: float) -> None:
    """Never a picture with grey where data was missing."""
    whole = WHOLE[name]
    try:
        pixels = decode(whole[: int(share * len(whole))])
    except DecodeError:
        return
    assert (pixels == decode(whole)).all()


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_half_a_file_fails(name: str) -> None:
    with pytest.raises(DecodeError, match=r"cut short|not a picture"):
        decode(WHOLE[name][: len(WHOLE[name]) // 2])


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_byte_gives_pixels_or_a_reason_but_no_other_error(name: str, at: int, value: int) -> None:
    content = bytearray(WHOLE[name])
    content[at % len(content)] = value
    try:
        pixels = decode(bytes(content))
    except DecodeError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)


def test_threads_may_decode_at_the_same_time() -> None:
    contents = [WHOLE["PNG"], png((20_000, 20_000, 8, 2), b"garbage")] * 20

    def outcome(content: bytes) -> str:
        try:
            return str(decode(content).shape)
        except DecodeError:
            return "refused"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, contents)) == ["(30, 40, 3)", "refused"] * 20


def test_the_decoder_names_its_version() -> None:
    assert DECODER.startswith("pillow ")
