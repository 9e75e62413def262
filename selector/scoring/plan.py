"""What a run scores with: the repository's identity and the configuration, resolved into numbers once.

Owns the plan and the store's fingerprint of it. Pure: must not know servers, files or images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.contract import SPEC_VERSION, Identity
from selector.config import ScoreConfig
from selector.errors import UsageError
from selector.images.decoding import DECODER
from selector.scoring.racing import Race, make_race
from selector.scoring.typicality import ScoringRule, rule


@dataclass(frozen=True)
class Plan:
    """Everything that decides a score.

    weights: float32 [draws]. timesteps: int64 [draws]. window_px, stride_px: canvas pixels. resolution: S. race: how draws
    are spent where they decide; None is the full grid, all draws for every image.
    """

    rule: ScoringRule
    prior_weight: float
    draws: int
    weights: NDArray[np.float32]
    timesteps: NDArray[np.int64]
    window_px: int
    stride_px: int
    resolution: int
    patches_per_image: int
    fit: str
    min_side: int
    classes: int
    race: Race | None = None

    @property
    def rounds(self) -> int:
        """Rounds of draws: one for the full grid."""
        return len(self.race.ends) if self.race else 1

    def span(self, round: int) -> range:
        """The draws of a round; each costs an image two UNet evaluations."""
        return self.race.span(round) if self.race else range(self.draws)


def make_plan(identity: Identity, config: ScoreConfig) -> Plan:
    """Resolves the repository's own settings and the configuration's overrides; raises UsageError."""
    if config.draws > identity.draws:
        raise UsageError(f"--draws {config.draws} is more than the repository's bank of {identity.draws} draws")
    try:
        scoring_rule = rule(config.rule or identity.rule)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    fraction = identity.window_fraction if config.patch_fraction is None else config.patch_fraction
    return Plan(
        rule=scoring_rule,
        prior_weight=identity.prior_weight if config.prior_weight is None else config.prior_weight,
        draws=config.draws,
        weights=scoring_rule.weights(np.asarray(identity.timestep_weights[: config.draws], np.float32)),
        timesteps=np.asarray(identity.timesteps[: config.draws], np.int64),
        window_px=max(1, round(fraction * identity.resolution)),
        stride_px=max(1, identity.resolution // 16),
        resolution=identity.resolution,
        patches_per_image=config.patches_per_image,
        fit=config.fit,
        min_side=config.min_side,
        classes=len(identity.classes),
        race=make_race(config.draws, config.rows_per_image),
    )


def draw_weights(mark: Mapping[str, Any]) -> NDArray[np.float32]:
    """The weights of a store's draws, float32 [draws], from its fingerprint."""
    return rule(mark["rule"]).weights(np.asarray(mark["timestep_weights"], np.float32))


def fingerprint(identity: Identity, plan: Plan) -> dict[str, Any]:
    """What a store's scores depend on, as JSON values; another value of any field is another store."""
    mark = {
        "spec_version": SPEC_VERSION,
        **identity.as_dict(),
        "timesteps": list(identity.timesteps[: plan.draws]),
        "timestep_weights": list(identity.timestep_weights[: plan.draws]),
        "bank": identity.draws,
        "draws": plan.draws,
        "rule": plan.rule.name,
        "prior_weight": plan.prior_weight,
        "window_px": plan.window_px,
        "stride_px": plan.stride_px,
        "patches_per_image": plan.patches_per_image,
        "fit": plan.fit,
        "min_side": plan.min_side,
        "decoder": DECODER,
    }
    # The full grid has no such field, as it had none before there were races: its stores stay what they were.
    return mark | ({"race": plan.race.as_dict()} if plan.race else {})
