"""The README's annotated frame: what ``oneglance run --video`` draws, of one frame of a clip.

python -m benchmarks.report.readme_image ../shared/clips/udacity_street_540p.mp4 --frame 100
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import cv2

from benchmarks import facts
from oneglance.models import Detector
from oneglance.perception import annotate
from oneglance.perception.cli.outputs import check_file
from oneglance.streams import open_stream
from oneglance.streams.errors import OneglanceError, SinkError, UsageError
from oneglance.streams.outputs import write_file

OUT = facts.RESULTS / "seen.jpg"
MOST_BYTES = 150_000


def draw(source: str, number: int, *, model: str, out: Path) -> int:
    """Draw what the model sees in frame ``number`` into ``out``; returns how many boxes.

    Raises:
        StreamError: the source cannot be opened.
        UsageError: it has no such frame.
        SinkError: the file cannot be written, or is too big for a repository.
    """
    check_file(out, [source])
    with open_stream(source) as stream:
        frame = next(islice(stream, number, None), None)
    if frame is None:
        raise UsageError(f"{source} has no frame {number}")
    detections = Detector.load(model)(frame.image)
    is_done, content = cv2.imencode(
        ".jpg", annotate(frame.image, detections), [cv2.IMWRITE_JPEG_QUALITY, 82]
    )
    if not is_done or len(content) > MOST_BYTES:
        raise SinkError(f"{out} would have {len(content)} bytes, more than {MOST_BYTES}")
    write_file(out, content.tobytes())
    return len(detections)


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    arguments.add_argument("source")
    arguments.add_argument("--frame", type=int, default=0, help="its number, from 0")
    arguments.add_argument("--model", default="road4-n")
    arguments.add_argument("--out", type=Path, default=OUT)
    asked = arguments.parse_args()
    try:
        count = draw(asked.source, asked.frame, model=asked.model, out=asked.out)
    except OneglanceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"{asked.out}: {count} boxes")


if __name__ == "__main__":
    main()
