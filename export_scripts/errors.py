"""The errors of the exporter, one tree."""

from __future__ import annotations


class ExportError(Exception):
    """Base of all errors of this package."""


class PipelineError(ExportError):
    """The folder is not a pipeline that can be exported, or its settings contradict each other."""


class PublishError(ExportError):
    """The place for the repository holds something that the exporter did not write."""


class RuntimeUnavailable(ExportError):
    """What builds or runs the chosen kind of engine is not here."""


class GateError(ExportError):
    """An exported graph is wrong; nothing is published."""


class NonDynamicBatch(GateError):
    """The batch axis is frozen at the sample's size."""


class SignatureMismatch(GateError):
    """Names, datatypes or shapes of a graph are not the spec's."""


class ValueMismatch(GateError):
    """Outputs differ from the reference by more than the tolerance, or are not finite."""


class RowLeak(GateError):
    """A row's result depends on its neighbours or on its place in the batch."""


class HalfOverflow(GateError):
    """A layer's values do not fit into float16."""


class PrecisionLoss(GateError):
    """Reduced precision changes which windows are chosen."""


class GoldenMismatch(GateError):
    """A graph or an engine answers golden rows otherwise than recorded, or than float32 does."""


class NotServed(GateError):
    """The real server does not load the repository, or serves something else than declared."""


class EngineRefused(GateError):
    """The engine builder does not take a graph, or the engine is not as declared."""
