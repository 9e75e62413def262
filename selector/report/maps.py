"""Whole scenes with their typicality maps and chosen boxes."""

from __future__ import annotations

from collections.abc import Sequence

from selector.records import Box
from selector.report.markup import plain, section, signed, text
from selector.report.pictures import SCENE_PX, map_picture, scale_css, shrunk
from selector.report.values import Scene

SHOWN = 60
"""Scenes on the page; further ones are left out, and the page says so."""


def typicality_maps(scenes: Sequence[Scene]) -> str:
    """The section of scenes in HTML; "" if there are none."""
    if not scenes:
        return ""
    legend = (
        f'<p class="legend"><span>less typical</span><i class="scale" style="--scale: {scale_css()}"></i>'
        '<span>more typical of the class</span><span><i class="key chosen"></i> chosen box</span></p>'
    )
    lead = (
        "Where the diffusion model sees the class: the difference of its noise-prediction loss under the reference "
        "prompt and under the prompt of the class, averaged over draws. Each map is scaled by its own largest value."
    )
    if len(scenes) > SHOWN:
        lead += f" The first {SHOWN} of {len(scenes)} scenes are shown."
    cards = "".join(_card(scene) for scene in scenes[:SHOWN])
    return section("maps", "Typicality maps", lead, legend + f'<div class="scenes">{cards}</div>')


def _card(scene: Scene) -> str:
    scores, end = map_picture(scene.typicality_map)
    told = f"T {signed(scene.typicality)} ± {plain(scene.standard_error)}"
    left = _panel(scene, shrunk(scene.image, SCENE_PX), f"scene {scene.source} with its chosen box")
    right = _panel(scene, scores, f"typicality map of {scene.source}")
    return (
        f'<figure class="scene"><div class="pair">{left}{right}</div><figcaption><strong>{text(scene.class_name)}</strong>'
        f"<span>{told}</span><code>{text(scene.source)}</code><small>colours from −{plain(end)} to +{plain(end)}</small>"
        "</figcaption></figure>"
    )


def _panel(scene: Scene, uri: str, label: str) -> str:
    height, width = scene.image.shape[:2]
    drawn = f'<image href="{uri}" x="0" y="0" width="{width}" height="{height}" preserveAspectRatio="none"/>'
    outlines = "".join(_outline(box) for box in scene.boxes)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{text(label)}">{drawn}{outlines}</svg>'


def _outline(box: Box) -> str:
    place = f'x="{box.left}" y="{box.top}" width="{box.width}" height="{box.height}"'
    return f'<rect class="halo" {place}/><rect class="chosen" {place}/>'
