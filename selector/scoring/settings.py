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


@dataclass(frozen=True)
class ScoringSettings:
    """Everything that decides a score.

    weights: float32 [draws]. timesteps: int64 [draws]. resolution: S. classes: how many the repository has.
    """

    windows: WindowSetting
    draws: int
    weights: NDArray[np.float32]
    timesteps: NDArray[np.int64]
    resolution: int
    patches_per_image: int
    fit: str
    min_side: int
    classes: int

    @property
    def rule(self) -> ScoringRule:
        """What a class is contrasted with, and how draws are weighted."""
        return self.windows.rule


def settings_of(identity: Identity, config: ScoreConfig) -> ScoringSettings:
    """Resolves the repository's own settings and the configuration's overrides; raises UsageError."""
    if config.draws > identity.draws:
        raise UsageError(f"--draws {config.draws} is more than the repository's bank of {identity.draws} draws")
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
    return ScoringSettings(
        windows=windows,
        draws=config.draws,
        weights=windows.rule.weights(np.asarray(identity.timestep_weights[: config.draws], np.float32)),
        timesteps=np.asarray(identity.timesteps[: config.draws], np.int64),
        resolution=identity.resolution,
        patches_per_image=config.patches_per_image,
        fit=config.fit,
        min_side=config.min_side,
        classes=len(identity.classes),
    )


def fingerprint(identity: Identity, settings: ScoringSettings) -> dict[str, Any]:
    """What a store's scores depend on, as JSON values; another value of any field is another store."""
    windows = settings.windows
    mark: dict[str, Any] = {
        "spec_version": SPEC_VERSION,
        **identity.as_dict(),
        "timesteps": list(identity.timesteps[: settings.draws]),
        "timestep_weights": list(identity.timestep_weights[: settings.draws]),
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
    if not identity.class_names:
        del mark["class_names"]
    centring = {"centring": windows.centring} if windows.centring != NONE else {}
    return mark | centring | ({"scales": list(windows.sides)} if len(windows.sides) > 1 else {})
