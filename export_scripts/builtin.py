"""The built-in repository: export_scripts/builtin_pipeline → model_repository/.

    python -m export_scripts.builtin

Run it after the built-in pipeline or the exporter has changed, and commit what it writes.
"""

from __future__ import annotations

from pathlib import Path

from export_scripts import command
from selector.builtin import builtin_repository

PIPELINE = Path(__file__).resolve().parent / "builtin_pipeline"


def main() -> None:
    """Exports the built-in pipeline over the committed repository; exits with the command's code."""
    command.main([str(PIPELINE), "--out", str(builtin_repository())])


if __name__ == "__main__":
    main()
