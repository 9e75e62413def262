"""What a run scores with: the repository's identity and the configuration, resolved into numbers once.

Owns the plan and the store's fingerprint of it. Pure: must not know servers, files or images.
"""

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
from selector.localisation.typicality import ScoringRule, rule


@dataclass(frozen=True)
class Plan:
    """Everything that decides a score.

    weights: float32 [draws]. timesteps: int64 [draws]. window_px, stride_px: canvas pixels. resolution: S. centring: one of
    CENTRINGS. scales: sides of windows where there are several, ascending; window_px is then the middle one.
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
    centring: str = NONE
    scales: tuple[int, ...] = ()


def make_plan(identity: Identity, config: ScoreConfig) -> Plan:
    """Resolves the repository's own settings and the configuration's overrides; raises UsageError."""
    if config.draws > identity.draws:
        raise UsageError(f"--draws {config.draws} is more than the repository's bank of {identity.draws} draws")
    try:
        scoring_rule = rule(config.rule or identity.rule)
    except KeyError as error:
        raise UsageError(str(error.args[0])) from None
    centring = identity.centring if config.centring is None else config.centring
    if centring not in CENTRINGS:
        raise UsageError(f"the repository asks for centring {centring!r}, this version knows {', '.join(CENTRINGS)}")
    fractions = config.patch_fraction or (identity.window_fraction,)
    sides = tuple(sorted({max(1, round(fraction * identity.resolution)) for fraction in fractions}))
    return Plan(
        rule=scoring_rule,
        prior_weight=identity.prior_weight if config.prior_weight is None else config.prior_weight,
        draws=config.draws,
        weights=scoring_rule.weights(np.asarray(identity.timestep_weights[: config.draws], np.float32)),
        timesteps=np.asarray(identity.timesteps[: config.draws], np.int64),
        window_px=sides[len(sides) // 2],
        stride_px=max(1, identity.resolution // 16),
        resolution=identity.resolution,
        patches_per_image=config.patches_per_image,
        fit=config.fit,
        min_side=config.min_side,
        classes=len(identity.classes),
        centring=centring,
        scales=sides if len(sides) > 1 else (),
    )


def fingerprint(identity: Identity, plan: Plan) -> dict[str, Any]:
    """What a store's scores depend on, as JSON values; another value of any field is another store."""
    mark: dict[str, Any] = {
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
    del mark["centring"]  # the repository's own; the plan's is what counts
    # What a plan does without is no field, as there was none before there was such a thing: those stores stay what they were.
    if not identity.class_names:
        del mark["class_names"]
    centring = {"centring": plan.centring} if plan.centring != NONE else {}
    return mark | centring | ({"scales": list(plan.scales)} if plan.scales else {})
