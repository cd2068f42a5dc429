"""The writer of each format."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from oneglance.perception.convert import formats, labelling
from oneglance.perception.convert.boxes import FrameBoxes
from oneglance.perception.convert.formats import Files, Format

WRITERS: dict[Format, Callable[[Iterable[FrameBoxes]], Files]] = {
    Format.COCO: formats.to_coco,
    Format.MOT: formats.to_mot,
    Format.YOLO: formats.to_yolo,
    Format.KITTI: formats.to_kitti,
    Format.BDD100K: formats.to_bdd100k,
    Format.CSV: formats.to_csv,
    Format.CVAT: labelling.to_cvat,
    Format.LABEL_STUDIO: labelling.to_label_studio,
    Format.FIFTYONE: labelling.to_fiftyone,
}
