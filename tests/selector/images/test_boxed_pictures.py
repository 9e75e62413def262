"""AVIF and HEIC, made by the real encoders: what is read, what is noted, and what is refused before it is decoded."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features
from PIL import __version__ as pillow_version

from selector.errors import SelectorError
from selector.images import codecs
from selector.images.boxes import read_container
from selector.images.datasets import list_items
from selector.images.decoding import DECODER, MAX_PIXELS, DecodeError, decode, decode_with_notes
from selector.images.originals import originals
from selector.images.prepare import FAILED, OK, prepare_images
from tests.selector.images.test_decoding import ORIENTED, encoded, photo

BY = f"decoded by pillow-heif {pillow_heif.__version__}"
EXACT: dict[str, dict[str, Any]] = {
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "HEIF": {"quality": -1, "chroma": 444},
}
FORMATS = sorted(EXACT)

pytestmark = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


@pytest.fixture(autouse=True)
def _opener() -> None:
    """The encoder of the tests; the decoder under test registers its own."""
    pillow_heif.register_heif_opener()


@pytest.fixture
def _without_pillow_heif(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    codecs.heif_reader.cache_clear()
    yield
    codecs.heif_reader.cache_clear()


def boxed(image: Image.Image, file_format: str, **options: Any) -> bytes:
    return encoded(image, file_format, **EXACT[file_format] | options)


def notes(content: bytes) -> tuple[str, ...]:
    return tuple(note for note in decode_with_notes(content).notes if note != BY)


@pytest.mark.parametrize("file_format", FORMATS)
def test_pictures_are_read_as_they_were_encoded(file_format: str) -> None:
    result = decode_with_notes(boxed(photo(), file_format))
    assert abs(result.image.astype(int) - np.asarray(photo())).max() <= 2
    assert result.notes == ((BY,) if file_format == "HEIF" else ())


@pytest.mark.parametrize(("orientation", "turned"), ORIENTED)
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_rotation_is_applied_once(file_format: str, orientation: int, turned: Any) -> None:
    """Encoders write EXIF's orientation as boxes; libheif applies them itself, Pillow hands AVIF's out as EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decode(boxed(photo(), file_format, exif=exif.tobytes()))
    assert (result == turned(decode(boxed(photo(), file_format)))).all()


@pytest.mark.parametrize("file_format", FORMATS)
def test_alpha_is_composited_on_white(file_format: str) -> None:
    rgba = np.zeros((16, 48, 4), np.uint8)
    rgba[:, :16], rgba[:, 16:32], rgba[:, 32:] = [255, 0, 0, 0], [0, 0, 0, 128], [10, 20, 30, 255]
    content = boxed(Image.fromarray(rgba), file_format)
    shown = decode(content)[8, [8, 24, 40]].astype(int)
    assert abs(shown - [[255, 255, 255], [127, 127, 127], [10, 20, 30]]).max() <= 2
    assert notes(content) == ("transparency composited on white",)


def test_ten_bits_of_colour_and_of_grey_are_reduced_and_noted() -> None:
    y, x = np.mgrid[0:32, 0:48]
    deep = (np.stack([x * 5, y * 7, x + y], 2) * 257).astype(np.uint16)
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (48, 32), deep.tobytes()).save(buffer, **EXACT["HEIF"])
    assert abs(decode(buffer.getvalue()).astype(int) - deep // 257).max() <= 2
    assert notes(buffer.getvalue()) == ("10-bit samples reduced to 8",)
    grey = (x * 1390).astype(np.uint16)
    content = encoded(Image.fromarray(grey), "HEIF", quality=-1)
    assert abs(decode(content)[..., 0].astype(int) - grey // 257).max() <= 1
    assert notes(content) == ("10-bit samples reduced to 8",)


def test_the_depth_of_an_avif_is_read_off_its_boxes() -> None:
    """Pillow writes 8 bits alone: the flags of 10 and 12 are set by hand, in the boxes and not in what is coded."""
    content = boxed(photo(), "AVIF")
    at = content.index(b"av1C") + 6
    for flags, bits in ((0, 8), (0x40, 10), (0x60, 12)):
        altered = bytearray(content)
        altered[at] = altered[at] & 0x9F | flags
        assert read_container(bytes(altered)).bits == bits


@pytest.mark.parametrize("file_format", FORMATS)
def test_colours_that_are_not_srgb_are_noted(file_format: str) -> None:
    content = boxed(photo(), file_format)
    srgb, wide = b"nclx" + struct.pack(">HH", 1, 13), b"nclx" + struct.pack(">HH", 9, 16)
    assert srgb in content
    assert notes(content.replace(srgb, wide)) == ("colour profile not applied",)


def test_an_animation_gives_its_first_frame_and_a_heic_its_primary_picture() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    animated = boxed(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    assert animated[8:12] == b"avis"
    assert (abs(decode(animated).astype(int) - [255, 0, 0]) <= 4).all()
    assert notes(animated) == ("first of 3 frames",)
    for primary, colour in enumerate(([255, 0, 0], [0, 255, 0], [0, 0, 255])):
        several = boxed(frames[0], "HEIF", save_all=True, append_images=frames[1:], primary_index=primary)
        assert (abs(decode(several).astype(int) - colour) <= 4).all()
        assert notes(several) == ("primary of 3 pictures",)


def test_a_file_of_the_common_brand_goes_to_the_decoder_of_its_coding() -> None:
    for file_format, brand in (("AVIF", b"avif"), ("HEIF", b"heix")):
        content = boxed(photo(), file_format)
        assert brand in content[16:40]
        assert (decode(content[:8] + b"mif1" + content[12:]) == decode(content)).all()


def altered_size(content: bytes, width: int, height: int) -> bytes:
    box = content.index(b"ispe")
    return content[: box + 8] + struct.pack(">II", width, height) + content[box + 16 :]


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_000, 9_000), (65_535, 65_535)])
@pytest.mark.parametrize("file_format", FORMATS)
def test_a_bomb_is_refused_by_its_boxes(file_format: str, size: tuple[int, int]) -> None:
    """Of the HEIC the coded size alone is altered: it is cropped to 40 × 30 as before, so Pillow sees a small picture."""
    content = altered_size(boxed(photo(), file_format), *size)
    with pytest.raises(DecodeError, match=f"{size[0]} × {size[1]} pixels, more than the limit of {MAX_PIXELS}"):
        decode(content)


def tiled() -> bytes:
    """As phones write it: a grid of coded tiles."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), "HEIF", quality=60, tile_size=64)


WHOLE = {"AVIF": lambda: boxed(photo(), "AVIF"), "HEIC": lambda: boxed(photo(), "HEIF"), "tiles": tiled}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_file_that_is_cut_short_fails_wherever_it_was_cut(name: str) -> None:
    """Of a HEIC of tiles libheif gives those that are there, and grey for the others, without a word."""
    whole = WHOLE[name]()
    for end in [*range(1, len(whole), 1 + len(whole) // 60), len(whole) - 1]:
        with pytest.raises(DecodeError, match=r"cut short|not a picture"):
            decode(whole[:end])


def test_the_tiles_that_are_missing_would_be_grey() -> None:
    """Why the extents are compared with the file's end: should libheif refuse it one day, this check can go."""
    whole = tiled()
    with Image.open(io.BytesIO(whole[: len(whole) * 2 // 3]), formats=("HEIF",)) as image:
        image.load()
        assert image.size == (160, 96)


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 100_000), st.integers(0, 255))
def test_a_damaged_byte_gives_pixels_or_a_reason_but_no_other_error(name: str, at: int, value: int) -> None:
    content = bytearray(WHOLE[name]())
    content[at % len(content)] = value
    try:
        pixels = decode(bytes(content))
    except DecodeError:
        return
    assert pixels.dtype == np.uint8


@given(st.binary(max_size=200))
def test_boxes_of_any_bytes_are_read_or_refused(tail: bytes) -> None:
    for start in (
        b"",
        b"\0\0\0\0meta\0\0\0\0",
        b"\0\0\0\0meta\0\0\0\0\0\0\0\0iloc",
        b"\0\0\0\0meta\0\0\0\0\0\0\0\0iprp\0\0\0\0ipco",
    ):
        with suppress(ValueError):
            assert read_container(start + tail).bits in range(8, 16)


@pytest.mark.usefixtures("_without_pillow_heif")
def test_without_its_package_a_heic_fails_with_what_to_install() -> None:
    content = boxed(photo(), "HEIF")
    with pytest.raises(
        DecodeError, match=r"content is a HEIC picture: pip install 'pillow-heif', then .* --retry-failed"
    ):
        decode(content)
    with pytest.raises(DecodeError, match="HEIC picture: pip install"):  # a bomb is not even looked into
        decode(altered_size(content, 65_535, 65_535))


@pytest.mark.usefixtures("_without_pillow_heif")
def test_a_heic_that_failed_is_read_once_its_package_is_there(tmp_path: Path) -> None:
    (tmp_path / "bee").mkdir()
    (tmp_path / "bee" / "1.heic").write_bytes(boxed(photo(), "HEIF"))
    listing = list_items(tmp_path)
    (place,) = listing.places(np.array([0]))
    (before,) = prepare_images([place], 16, "crop", 8)
    assert before.status == FAILED
    assert "pillow-heif" in before.reason
    with originals(listing, {place.source: before.image_id}) as images, pytest.raises(SelectorError) as refused:
        images.image(place.source)
    assert f"{tmp_path / place.source} can't be decoded any more" in str(refused.value)
    sys.modules["pillow_heif"] = pillow_heif
    codecs.heif_reader.cache_clear()
    (after,) = prepare_images([place], 16, "crop", 8)
    assert (after.status, after.reason, after.height, after.width) == (OK, BY, 30, 40)


def test_an_avif_under_an_old_pillow_would_be_told_of_the_new_one() -> None:
    assert codecs.remedy("AVIF") == "pip install 'pillow>=11.3', then run again with --retry-failed"


def test_what_no_package_adds_is_named_with_what_converts_it() -> None:
    for head, said in (
        (
            b"\0\0\0\x0cJXL \r\n\x87\n",
            r"JPEG XL picture: convert it first, to PNG for instance \(the package pillow-jxl-plugin",
        ),
        (b"AT&TFORM", "DjVu picture: convert it first, to PNG for instance$"),
    ):
        with pytest.raises(DecodeError, match=said):
            decode(head + bytes(40))


def test_what_libheif_can_t_decode_fails_with_its_reason() -> None:
    """Its wheel has a decoder of HEVC alone; this is AV1 under the brand of HEIC."""
    content = boxed(photo(), "AVIF")
    with pytest.raises(DecodeError, match="has not been built in: AV1"):
        decode(content[:8] + b"heic" + content[12:])


def test_a_further_format_leaves_the_fingerprint_of_stores_as_it_was() -> None:
    """A store that was scored before AVIF and HEIC were read is gone on with."""
    assert f"pillow {pillow_version}, rules 1" == DECODER
