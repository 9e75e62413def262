"""Solar cells: electroluminescence photographs of the package elpv-dataset, as class folders of three splits.

Owns the classes: mono- or polycrystalline, functional or defective. A photograph whose probability of a defect lies between is
left out. The photographs are CC BY-NC-SA 4.0 and are not part of this project (docs/decisions/027-three-worlds.md).

    python -m benchmarks.scenes.solar elpv_dataset/data --out solar
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from benchmarks.scenes.splits import SPLIT_SHARES, splits_of

MOST_OF_FUNCTIONAL, LEAST_OF_DEFECTIVE = 0.25, 0.5  # probability of a defect


def class_of(defect: float, kind: str) -> str | None:
    """The class of a cell; None between functional and defective. kind: "mono" or "poly"."""
    if MOST_OF_FUNCTIONAL < defect < LEAST_OF_DEFECTIVE:
        return None
    return f"{'functional' if defect <= MOST_OF_FUNCTIONAL else 'defective'}-{kind}"


def read_classes(data: Path) -> dict[str, str]:
    """File below `data` → class, of labels.csv: a file, its probability of a defect and its kind a line."""
    classes = {}
    for line in (data / "labels.csv").read_text().splitlines():
        path, defect, kind = line.split()
        name = class_of(float(defect), kind)
        if name is not None:
            classes[path] = name
    return classes


@click.command()
@click.argument("data", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the splits.")
def main(data: Path, out: Path) -> None:
    """Copy the photographs of DATA, the folder `data` of elpv_dataset, to OUT/SPLIT/CLASS/."""
    try:
        classes = read_classes(data)
    except FileNotFoundError as error:
        raise click.ClickException(f"{error.filename} is missing: name the folder `data` of elpv_dataset") from None
    names = {path: f"{class_name}/{Path(path).name}" for path, class_name in classes.items()}
    splits = splits_of(list(names.values()))
    for path, name in names.items():
        target = out / splits[name] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / path, target)
    counts = {split: sum(each == split for each in splits.values()) for split in SPLIT_SHARES}
    click.echo(f"{len(names)} photographs, {counts}: {out}")


if __name__ == "__main__":
    main()
