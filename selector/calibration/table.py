"""What a calibration found, as a table and a figure."""

from __future__ import annotations

from pathlib import Path

from client.contract import UNET
from selector.calibration.calibrate import Calibrated
from selector.calibration.centring import Centring
from selector.calibration.order import Calibration, Step
from selector.curves import Curve, drawn
from selector.folders.files import write_text
from selector.localisation.centring import CONTRAST

FIGURE_FILE = "calibration.svg"


def table(calibrated: Calibrated, repository: Path, *, served: bool) -> str:
    """The text for a person. served: whether running servers have the repository open."""
    found = calibrated.draws
    chosen = f"held-out images (the order was chosen on {found.chosen_on})" if found.chosen_on else "images"
    lines = [
        f"Agreement with all {len(found.order)} draws on {found.held_out} {chosen}; a row is one draw, and costs two UNet "
        "evaluations.",
        "",
        "| draws | UNet evaluations | agreement | 95 % | in the bank's own order | error covers |",
        "|---:|---:|---:|---|---:|---:|",
    ]
    for step in _shown(found):
        band = f"[{step.low:.3f}, {step.high:.3f}]"
        covers = "" if step.coverage is None else f"{step.coverage:.2f}"
        row = (step.draws, 2 * step.draws, f"{step.agreement:.3f}", band, f"{step.bank_order:.3f}", covers)
        lines.append(f"| {' | '.join(map(str, row))} |")
    lines += [
        "",
        f"{found.enough} draws are the fewest that agree by {found.wanted:g}: --draws auto takes them.",
        *([] if calibrated.centring is None else [_told(calibrated.centring)]),
        f"Written to {repository / UNET}; figure: {repository / UNET / FIGURE_FILE}.",
    ]
    if served:
        lines.append("Servers that run have the old ones: have them load the repository again.")
    return "\n".join(lines)


def figure(found: Calibration, repository: Path) -> None:
    """Writes the curve beside the model; raises FileError."""
    draws = [step.draws for step in found.steps]
    means = [step.agreement for step in found.steps]
    own = Curve("chosen order", draws, means, [step.low for step in found.steps], [step.high for step in found.steps])
    bank = [step.bank_order for step in found.steps]
    plain = Curve("the bank's own", draws, bank, bank, bank)
    title = f"Agreement with all {len(draws)} draws, {found.held_out} images"
    write_text(repository / UNET / FIGURE_FILE, drawn([own, plain], title, "draws"))


def _told(centring: Centring) -> str:
    verdict = "windows are centred (--centring contrast)" if centring.chosen == CONTRAST else "windows are not centred"
    return (
        f"Windows by two halves of the draws overlap by {centring.still:.3f}; moved onto what stands out in their picture by "
        f"{centring.own:.3f}, onto what stands out in another one by {centring.other:.3f}. Difference {centring.lead:+.3f} "
        f"[{centring.low:.3f}, {centring.high:.3f}]: {verdict}."
    )


def _shown(found: Calibration) -> list[Step]:
    """The first eight, then powers of two and their halfway points, and the least number that is enough."""
    last = len(found.steps)
    wanted = {*range(1, 9), found.enough, last}
    size = 8
    while size < last:
        wanted |= {size, size + size // 2}
        size *= 2
    return [step for step in found.steps if step.draws in wanted]
