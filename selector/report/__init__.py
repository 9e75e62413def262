"""report.html: one offline page about a selection, from plain values."""

from selector.report.classes import class_reports, shown_of
from selector.report.page import write_report
from selector.report.pictures import thumbnail
from selector.report.values import (
    ClassReport,
    Failed,
    Pick,
    ReportInput,
    Scene,
)

__all__ = [
    "ClassReport",
    "Failed",
    "Pick",
    "ReportInput",
    "Scene",
    "class_reports",
    "shown_of",
    "thumbnail",
    "write_report",
]
