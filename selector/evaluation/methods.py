"""Methods by name: which patches or images of a pool a student is trained on. Others' are in `baselines`.

Every method answers with picks sorted by (class, rank), and a smaller budget is a prefix.
"""

from __future__ import annotations

from collections.abc import Mapping

from selector.evaluation.baselines import Judges, baselines
from selector.evaluation.picks import Method, Pick, by_class, whole
from selector.evaluation.pools import Pool
from selector.localisation.centring import centred, contrast
from selector.selection.selection import select as select_patches
from selector.selection.strategies import STRATEGIES

OUR_ORDERS = tuple(name for name in STRATEGIES if name != "random")

CENTRED = ("rded", "window-random", *OUR_ORDERS)
"""Methods that there are with centred windows too, as NAME+centred: those whose windows were chosen by what they show."""

WHOLE = ("rded", *OUR_ORDERS)
"""Methods that there are with whole images too, as NAME+whole: those that choose images by what a window of them shows."""


def methods(judges: Judges) -> Mapping[str, Method]:
    """Every method by name."""
    plain = baselines(judges) | {name: by_order(name) for name in OUR_ORDERS}
    moved = {f"{name}+centred": with_centred_windows(plain[name]) for name in CENTRED}
    return plain | moved | {f"{name}+whole": with_whole_images(plain[name]) for name in WHOLE}


def asks_teacher(method: str) -> bool:
    """Whether this method needs a teacher, whatever the labels are."""
    return method.split("+")[0] == "rded"


def asks_error_norm(method: str) -> bool:
    """Whether this method needs the networks of EL2N."""
    return method == "el2n-easy"


def by_order(name: str) -> Method:
    """The method that takes this system's windows in the order of a strategy of `selector.selection`."""

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        chosen = select_patches(pool.patches, pool.class_names, ipc, order=name, on_short="all", seed=pool.seed)
        number = {source: place for place, source in enumerate(pool.pictures.sources)}
        return [Pick(number[str(pool.patches.source[row])], pool.box(int(row))) for row in chosen.row]

    return choose


def with_centred_windows(method: Method) -> Method:
    """The method's picks with every window moved onto what stands out in it (`centring`)."""

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        images = pool.pictures.images
        return [Pick(pick.picture, centred(contrast(images[pick.picture]), pick.box)) for pick in method(pool, ipc)]

    return choose


def with_whole_images(method: Method) -> Method:
    """The method's picks, each replaced by the whole image in which it lies.

    An image comes once in its class, in the place of its first pick; for a further pick of it the next image follows. So a
    class gets `ipc` images, and a smaller budget is still a prefix.
    """

    def choose(pool: Pool, ipc: int) -> list[Pick]:
        each = by_class(pool, method(pool, len(pool.patches)))
        images = [list(dict.fromkeys(pick.picture for pick in picks))[:ipc] for picks in each]
        return [whole(pool, number) for numbers in images for number in numbers]

    return choose
