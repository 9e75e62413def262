"""The page about a selection."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from selector.records import Box
from selector.report import ClassReport, Failed, Pick, ReportInput, Scene, class_reports, thumbnail, write_report
from selector.report.markup import duration, signed, text
from selector.report.page import render, typicality_gap
from selector.report.pictures import diverging, map_picture, shrunk
from selector.report.sheets import PICTURE_BUDGET, contact_sheets, shown_within
from selector.selection.selection import select
from tests.patch_tables import patch_table

VOID = {"meta", "img", "image", "rect", "path", "br", "link"}
NAMES = ["t-shirt", "trouser"]


class Page(HTMLParser):
    """Elements with their attributes, and a check that every element is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def every(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attrs
            for name, attrs in self.found
            if name == tag and all(value in (attrs.get(key.rstrip("_")) or "").split() for key, value in wanted.items())
        ]


def crop(source: str, box: Box) -> NDArray[np.uint8]:
    return np.random.default_rng([*source.encode()]).integers(0, 256, (box.height, box.width, 3), dtype=np.uint8)


def shown(source: str, box: Box) -> str:
    return thumbnail(crop(source, box))


def a_report(ipc: int = 6, **changed: object) -> ReportInput:
    table = patch_table([20, 15])
    made = select(table, NAMES, ipc)
    scene = Scene(
        class_name="t-shirt",
        source="class0/00001.png",
        image=crop("scene", Box(0, 0, 64, 80)),
        typicality_map=np.linspace(-1, 2, 64).reshape(8, 8).astype(np.float32),
        boxes=(Box(4, 12, 28, 28),),
        typicality=0.02,
        standard_error=0.004,
    )
    report = ReportInput(
        title="Two classes",
        ipc=ipc,
        order="herding",
        counts={"seen": 37, "scored": 35, "filtered": 1, "failed": 1},
        unet_rows=840,
        classes=class_reports(made, table, NAMES, shown),
        scenes=(scene,),
        failures=(Failed("class0/broken.jpg", "failed", "truncated"), Failed("class1/dot.png", "filtered", "1 × 1 px")),
        provenance=(("triton server", "2.51.0"), ("rule", "rotating-weighted")),
        timings=(("stage I", 75.0), ("select", 0.25)),
    )
    return replace(report, **changed)  # type: ignore[arg-type]


def a_class(picks: int, **changed: object) -> ClassReport:
    pick = Pick(0, "0" * 16, "a/b.png", Box(1, 2, 3, 4), 0.1, 0.01, 0, 1.0, thumbnail(np.zeros((28, 28, 3), np.uint8)))
    made = ClassReport(
        name="bag",
        images=picks,
        patches=picks,
        chosen=picks,
        clusters=1,
        unclustered=0.0,
        method="hdbscan",
        note="",
        typicality_chosen=np.ones(picks, dtype=np.float32),
        typicality_rest=np.empty(0, dtype=np.float32),
        picks=tuple(replace(pick, rank=rank) for rank in range(picks)),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_asks_for_nothing_from_outside() -> None:
    page = render(a_report())
    for tag, attrs in Page(page).found:
        for name in ("src", "href", "action", "data"):
            address = attrs.get(name)
            assert address is None or address.startswith(("data:image/webp;base64,", "data:image/png;base64,", "#")), (
                tag,
                address,
            )
        assert tag not in ("link", "iframe", "object", "form")
    assert "@import" not in page
    assert not re.search(r"url\(|https?://|fetch\(|XMLHttpRequest", page)
    assert "default-src 'none'" in page


def test_every_pick_is_shown_in_rank_order_with_its_facts() -> None:
    report = a_report()
    shown = Page(render(report)).every("button", class_="patch")
    expected = [pick for one in report.classes for pick in one.picks]
    assert len(shown) == 12
    for button, pick in zip(shown, expected, strict=True):
        assert button["data-rank"] == str(pick.rank)
        assert button["data-source"] == pick.source
        assert button["data-typicality"] == f"{signed(pick.typicality)} ± 0.004"
        assert button["data-box"] == f"top {pick.box.top}, left {pick.box.left}, 28 × 28 px"
        cluster = "unclustered" if pick.cluster_label < 0 else f"{pick.cluster_label} (membership"
        assert (button["data-cluster"] or "").startswith(cluster)
        assert pick.source in (button["aria-label"] or "")


def test_a_thumbnail_of_a_small_patch_keeps_every_pixel() -> None:
    pixels = crop("a", Box(0, 0, 28, 20))
    content = base64.b64decode(shrunk(pixels, 96).removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as picture:
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), pixels)


def test_a_thumbnail_of_a_large_patch_is_shrunk_in_proportion() -> None:
    content = base64.b64decode(
        shrunk(np.zeros((300, 600, 3), dtype=np.uint8), 96).removeprefix("data:image/webp;base64,")
    )
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (96, 48)
    assert len(content) < 2_000


def test_text_from_outside_is_never_markup() -> None:
    evil = '"><script>alert(1)</script>'
    report = a_report(title=evil, failures=(Failed(evil, "failed", evil),), provenance=((evil, evil),))
    report = replace(report, classes=(replace(report.classes[0], name=evil, note=evil),))
    assert len(Page(render(report)).every("script")) == 1


def test_a_path_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    path = write_report(tmp_path / "deep" / "report.html", a_report(failures=(Failed("a/\udcff.png", "failed", "x"),)))
    assert "a/\\udcff.png" in path.read_text(encoding="utf-8")
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_the_same_report_is_the_same_page() -> None:
    assert render(a_report()) == render(a_report())


def test_maps_lie_over_their_scene_with_chosen_boxes_drawn() -> None:
    page = Page(render(a_report()))
    panels = [attrs for tag, attrs in page.found if tag == "image"]
    assert [(p["x"], p["y"], p["width"], p["height"]) for p in panels] == [
        ("0", "0", "80", "64"),
        ("0", "0", "80", "64"),
    ]
    assert [attrs["x"] for attrs in page.every("rect", class_="chosen")] == ["12", "12"]


def test_the_scale_is_white_at_zero_blue_below_and_red_above() -> None:
    low, middle, high = diverging(np.array([-1.0, 0.0, 1.0])).astype(int)
    assert low[2] > low[0] + 50
    assert high[0] > high[2] + 50
    assert middle.min() > 240


def test_a_map_is_scaled_by_its_largest_size_and_keeps_zero_in_the_middle() -> None:
    uri, end = map_picture(np.array([[0.0, -4.0], [2.0, np.nan]], dtype=np.float16))
    assert end == 4.0
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))) as picture:
        np.testing.assert_array_equal(
            np.asarray(picture.convert("RGB")), diverging(np.array([[0.0, -1.0], [0.5, 0.0]]))
        )
    assert map_picture(np.zeros((2, 2)))[1] == 0.0


def test_a_class_with_more_picks_than_shown_says_so() -> None:
    table = patch_table([20])
    one = class_reports(select(table, ["bag"], 12), table, ["bag"], shown, shown_per_class=5)[0]
    assert (len(one.picks), one.chosen) == (5, 12)
    assert "the first 5 are shown" in contact_sheets([one])
    assert "are shown" not in contact_sheets([a_class(5)])


def test_thumbnails_stay_within_the_budget_and_every_class_keeps_some() -> None:
    assert shown_within([[10, 10, 10], [20, 20]], 60) == 2
    assert shown_within([[10, 10, 10], [20, 20]], 70) == 3
    assert shown_within([[100], [100]], 50) == 1
    assert shown_within([], 50) == 1
    picks = [
        attrs["data-rank"] for attrs in Page(contact_sheets([a_class(50), a_class(50)], budget=2_000)).every("button")
    ]
    assert 2 <= len(picks) < 40
    assert picks[: len(picks) // 2] == picks[len(picks) // 2 :]


def test_a_page_of_six_thousand_noisy_thumbnails_stays_under_twenty_megabytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    one = a_class(100)
    one = replace(one, picks=tuple(replace(pick, picture=thumbnail(noise)) for pick in one.picks))
    assert 60 * len(contact_sheets([one], budget=10**9)) > 25_000_000, "otherwise the case is too easy"
    assert 20 * len(contact_sheets([one] * 3, budget=PICTURE_BUDGET * 3 // 60)) < 18_000_000


def test_the_table_compares_chosen_and_rest_of_every_class() -> None:
    page = render(a_report())
    for one in a_report().classes:
        assert signed(float(one.typicality_chosen.mean())) in page
        assert signed(float(one.typicality_rest.mean())) in page
        assert len(one.typicality_chosen) + len(one.typicality_rest) == one.patches


def test_the_gap_is_in_standard_deviations_of_the_class() -> None:
    chosen, rest = np.array([3.0, 5.0], dtype=np.float32), np.array([1.0, 1.0], dtype=np.float32)
    spread = np.std([3.0, 5.0, 1.0, 1.0])
    report = a_report(classes=(a_class(2, patches=4, typicality_chosen=chosen, typicality_rest=rest), a_class(3)))
    assert typicality_gap(report) == pytest.approx(3.0 / spread)
    assert typicality_gap(a_report(classes=(a_class(3),))) is None


def test_failures_are_listed_with_their_reasons_up_to_a_limit_that_is_told() -> None:
    page = render(a_report())
    assert "class0/broken.jpg" in page
    assert "truncated" in page
    many = tuple(Failed(f"{number}.png", "failed", "not an image") for number in range(700))
    long = render(a_report(failures=many))
    assert "499.png" in long
    assert "500.png" not in long
    assert "The first 500 of 700 files" in long


def test_a_report_without_optional_parts_is_whole() -> None:
    bare = ReportInput("Nothing", 1, "clusters", {}, 0, (a_class(0, clusters=0, method="none"),))
    page = Page(render(bare))
    assert "No patch was chosen." in render(bare)
    anchors = {attrs["id"] for _, attrs in page.found if "id" in attrs}
    for link in page.every("a"):
        assert (link["href"] or "").removeprefix("#") in anchors


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.42, "0.42 s"), (12.34, "12.3 s"), (59.99, "60.0 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_numbers_are_signed_with_three_digits() -> None:
    assert [signed(value) for value in (0.0123456, -0.5, 123.4)] == ["+0.0123", "−0.500", "+123"]
    assert text('a & "b"') == "a &amp; &quot;b&quot;"
