"""What a selection says of itself: manifest.json, and what its report shows."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from selector import __version__
from selector.config import SelectConfig, plain
from selector.images.originals import Originals
from selector.output.cutting import Cutter
from selector.output.scenes import scenes_of
from selector.output.table import summary
from selector.report import Failed, ReportInput, class_reports
from selector.selection.selection import Selection
from selector.store.fingerprint import is_unlabelled
from selector.store.store import Store
from selector.store.view import StoreView

_PACKAGES = (
    "numpy",
    "hdbscan",
    "scikit-learn",
    "pyarrow",
    "pillow",
    "onnxruntime",
    "nvidia-pytriton",
    "tritonclient",
)


@dataclass
class Spent:
    """What this command spent: UNet evaluations, and seconds by stage."""

    unet_rows: int = 0
    restarts: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def manifest_of(view: StoreView, chosen: Selection, selection: SelectConfig, spent: Spent) -> dict[str, Any]:
    """What manifest.json says: versions, provenance from the store, the selection, counts, what it cost. JSON values."""
    store = Store.open(view.store)
    history, data = store.read_history(), store.read_data_root()
    scored_with = {"store": str(view.store), "data": str(data.root), "folders": dict(data.folders)}
    if data.labels.stated():
        scored_with["labels"] = data.labels.stated()
    return {
        "versions": _versions(history),
        "fingerprint": view.fingerprint,
        "configuration": {"score": scored_with, "select": plain(selection)},
        "counts": {**view.counts, "picked": len(chosen)},
        "conversions": view.conversions,
        "failures": [asdict(failure) for failure in view.failures],
        "unet_rows": spent.unet_rows,
        "unet_rows_in_store": view.unet_rows,
        "server_restarts": spent.restarts,
        "seconds": spent.seconds,
        "scoring_runs": history,
        "selection": summary(chosen, view.patches, view.class_names),
    }


def _versions(history: list[dict[str, Any]]) -> dict[str, str]:
    found = {"selector": __version__, "python": platform.python_version()}
    servers = dict.fromkeys(record["server_version"] for record in history)
    found["triton server"] = ", ".join(servers) or "unknown"
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def report_input(
    view: StoreView, chosen: Selection, images: Originals, cutter: Cutter, spent: Spent, take: str
) -> ReportInput:
    """What the report shows of a selection. take: what was handed out, one of TAKE; the sheets show the windows."""
    history = Store.open(view.store).read_history()
    mark = view.fingerprint
    provenance = {
        **_versions(history),
        "pipeline": str(mark["pipeline"])[:16],
        "scoring rule": str(mark["rule"]),
        "draws per image": str(mark["draws"]),
        "window": _window(mark),
        "features": str(mark["dift"]),
        "precision": str(mark["precision"]),
        "fit": str(mark["fit"]),
        "handed out": "the windows" if take == "patch" else "the whole images of the windows",
    }
    if is_unlabelled(mark):
        provenance["classes"] = f"chosen by the model, {mark['assign_draws']} to {mark['assign_most']} draws"
    return ReportInput(
        title=f"{chosen.ipc} images per class",
        ipc=chosen.ipc,
        order=chosen.order,
        counts=view.counts,
        unet_rows=spent.unet_rows,
        unet_rows_in_store=view.unet_rows,
        classes=class_reports(chosen, view.patches, view.titles, cutter.thumbnail),
        scenes=scenes_of(view, chosen, images),
        failures=tuple(Failed(f.source, f.status, f.reason) for f in view.failures),
        provenance=tuple(provenance.items()),
        timings=tuple(_timings(spent, history).items()),
    )


def _window(mark: dict[str, Any]) -> str:
    moved = ", moved onto what stands out in it" if "centring" in mark else ""
    sides = ", ".join(map(str, mark.get("scales", [mark["window_px"]])))
    return f"{sides} of {mark['resolution']} px, every {mark['stride_px']} px{moved}"


def _timings(spent: Spent, history: list[dict[str, Any]]) -> dict[str, float]:
    """This command's stages; those of scoring, which an earlier run may have done, summed over the store's runs."""
    stages: dict[str, float] = {}
    for record in history:
        for name, seconds in record["seconds"].items():
            stages[name] = stages.get(name, 0.0) + seconds
    return stages | {name: spent.seconds[name] for name in ("select", "export") if name in spent.seconds}
