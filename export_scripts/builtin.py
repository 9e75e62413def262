"""The built-in repository: export_scripts/builtin_pipeline → model_repository/.

    python -m export_scripts.builtin

Run it after the built-in pipeline or the exporter has changed, and commit what it writes.
"""

from __future__ import annotations

from pathlib import Path

from export_scripts import command, export

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "export_scripts" / "builtin_pipeline"
REPOSITORY = export.BUILTIN


def main() -> None:
    """Exports the built-in pipeline over the committed repository; exits with the command's code."""
    command.main([str(PIPELINE), "--out", str(REPOSITORY)])


if __name__ == "__main__":
    main()
