"""``oneglance convert``: results for the tools that people evaluate and label with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oneglance.perception.cli.common import Debug, configure, parse_size, say
from oneglance.perception.convert.formats import Format


def convert(
    results: Annotated[
        Path,
        typer.Argument(
            help="JSON Lines of 'run --jsonl' or 'mine', Parquet of 'batch' (file or folder), or "
            "annotations: XML of CVAT, JSON of Label Studio or COCO."
        ),
    ],
    to: Annotated[Format, typer.Option(help="The format.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.")],
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Of the frames, where the results do not say it."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Before an image's name, for Label Studio."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Convert results for tools that evaluate (COCO, MOTChallenge, YOLO, KITTI, BDD100K, CSV) and
    label (CVAT, Label Studio, FiftyOne), and back what people labelled there."""
    from oneglance.perception.convert.job import convert_results

    configure(debug)
    parsed = None if size is None else parse_size(size)
    count = convert_results(results, to, out, size=parsed, images=images)
    say(f"{count} files in {out}")
