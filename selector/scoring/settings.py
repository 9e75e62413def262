"""What a run scores with: the repository's identity and the configuration, resolved into numbers once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.contract import SPEC_VERSION, Identity
from selector.config import ScoreConfig
from selector.errors import UsageError
from selector.images.decoding import DECODER
from selector.localisation.centring import CENTRINGS, NONE
from selector.localisation.choice import WindowSetting, setting_of
from selector.localisation.typicality import ScoringRule
from selector.scoring.assignment import AssignmentBudget

UNCALIBRATED_DRAWS = 12
"""How many draws an image gets where neither the user nor the repository says."""
ASSIGN_DRAWS, ASSIGN_MOST = 4, 32
"""Without labels: draws that all classes get, and the nearest at most. Measured: docs/decisions/018-unlabelled.md."""


@dataclass(frozen=True)
class ScoringSettings:
    """Everything that decides a score.

    numbers: of the draws in the bank, in the order in which they are taken. weights: float32 [draws]. timesteps: int64 [draws]
    where draws are antithetic pairs, the bank's own order; None in a chosen one. resolution: S. classes: how many the
    repository has. assignment: how images get their classes; None where labels say them.
    """

    windows: WindowSetting
    numbers: tuple[int, ...]
    weights: NDArray[np.float32]
    timesteps: NDArray[np.int64] | None
    resolution: int
    patches_per_image: int
    fit: str
    min_side: int
    classes: int
    assignment: AssignmentBudget | None = None

    @property
    def draws(self) -> int:
        """How many each image is scored by."""
        return len(self.numbers)

    @property
    def rule(self) -> ScoringRule:
        """What a class is contrasted with, and how draws are weighted."""
        return self.windows.rule


def settings_of(identity: Identity, config: ScoreConfig) -> ScoringSettings:
    """Resolves the repository's own settings and the configuration's overrides; raises UsageError."""
    draws = config.draws or identity.auto_draws or min(UNCALIBRATED_DRAWS, identity.draws)
    if draws > identity.draws:
        raise UsageError(f"--draws {draws} is more than the repository's bank of {identity.draws} draws")
    try:
        windows = setting_of(
            identity,
            rule_name=config.rule,
            prior_weight=config.prior_weight,
            fractions=config.patch_fraction or (),
            centring=config.centring,
        )
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    if windows.centring not in CENTRINGS:
        raise UsageError(
            f"the repository asks for centring {windows.centring!r}, this version knows {', '.join(CENTRINGS)}"
        )
    numbers = identity.taken(draws)
    return ScoringSettings(
        windows=windows,
        numbers=numbers,
        weights=windows.rule.weights(np.asarray([identity.timestep_weights[k] for k in numbers], np.float32)),
        timesteps=None if identity.draw_order else np.asarray(identity.timesteps[:draws], np.int64),
        resolution=identity.resolution,
        patches_per_image=config.patches_per_image,
        fit=config.fit,
        min_side=config.min_side,
        classes=len(identity.classes),
        assignment=_assignment(identity, config) if config.unlabelled else None,
    )


def _assignment(identity: Identity, config: ScoreConfig) -> AssignmentBudget:
    """Draws from the end of the order: the first ones may be made for pointing, and tell classes apart less well."""
    for flag, asked in (("--assign-draws", config.assign_draws), ("--assign-most", config.assign_most)):
        if asked is not None and asked > identity.draws:
            raise UsageError(f"{flag} {asked} is more than the repository's bank of {identity.draws} draws")
    first = config.assign_draws or min(ASSIGN_DRAWS, config.assign_most or identity.draws)
    most = config.assign_most or max(first, min(ASSIGN_MOST, identity.draws))
    if most < first:
        raise UsageError(f"--assign-most {most} is less than --assign-draws {first}: all classes get those")
    return AssignmentBudget(first, identity.taken(identity.draws)[::-1][:most])


def fingerprint(identity: Identity, settings: ScoringSettings) -> dict[str, Any]:
    """What a store's scores depend on, as JSON values; another value of any field is another store."""
    windows = settings.windows
    mark: dict[str, Any] = {
        "spec_version": SPEC_VERSION,
        **identity.as_dict(),
        "timesteps": [identity.timesteps[k] for k in settings.numbers],
        "timestep_weights": [identity.timestep_weights[k] for k in settings.numbers],
        "bank": identity.draws,
        "draws": settings.draws,
        "rule": windows.rule.name,
        "prior_weight": windows.prior_weight,
        "window_px": windows.middle_px,
        "stride_px": windows.stride_px,
        "patches_per_image": settings.patches_per_image,
        "fit": settings.fit,
        "min_side": settings.min_side,
        "decoder": DECODER,
    }
    del mark["centring"]  # the repository's own; the setting's is what counts
    # What a setting does without is no field, as there was none before there was such a thing: those stores stay what they were.
    del mark["auto_draws"], mark["no_null"]  # they change no score
    mark["draw_order"] = list(settings.numbers)
    for name, given in (("class_names", identity.class_names), ("draw_order", identity.draw_order)):
        if not given:
            del mark[name]
    if settings.assignment:
        numbers = settings.assignment.numbers
        mark |= {"assign_draws": settings.assignment.first, "assign_most": len(numbers), "assign_order": list(numbers)}
    centring = {"centring": windows.centring} if windows.centring != NONE else {}
    return mark | centring | ({"scales": list(windows.sides)} if len(windows.sides) > 1 else {})
