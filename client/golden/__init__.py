"""A server is believed by its answers: golden rows, how they are made, and how they are compared."""

from typing import TYPE_CHECKING

from client.doors import door

if TYPE_CHECKING:
    from client.golden.asking import USED as USED
    from client.golden.asking import Asked as Asked
    from client.golden.asking import told as told
    from client.golden.asking import worst as worst
    from client.golden.record import Difference as Difference
    from client.golden.record import Expected as Expected
    from client.golden.record import Golden as Golden
    from client.golden.record import compare as compare
    from client.golden.record import cycled as cycled
    from client.golden.record import expected as expected
    from client.golden.record import golden_of as golden_of
    from client.golden.record import golden_parameters as golden_parameters
    from client.golden.record import inputs as inputs

__all__, __getattr__ = door(
    __name__,
    {
        "asking": ("USED", "Asked", "told", "worst"),
        "record": (
            "Difference",
            "Expected",
            "Golden",
            "compare",
            "cycled",
            "expected",
            "golden_of",
            "golden_parameters",
            "inputs",
        ),
    },
)
