"""What a model file says of itself: one JSON object in the ONNX metadata, no side file.

Written by ``models.training.export`` under the key ``oneglance``; read here and checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from oneglance.models.light_colours import LightColours
from oneglance.models.reference_frames import ReferenceFrame
from oneglance.models.tasks import ModelClass, Task
from oneglance.streams.errors import ModelError

KEY = "oneglance"
END_TO_END = "end_to_end"
"""In the JSON of a graph that takes frames (``training.end_to_end``): their size and the like."""

FORMAT = 1


class Head(StrEnum):
    """The layout of the output tensor; these two lines are its only definition.

    ONE_TO_ONE: 1×K×6 float32, rows ``x1 y1 x2 y2 score class``, best first, no NMS needed.
    ONE_TO_MANY: 1×(4+C)×N float32, columns ``cx cy w h`` and C class scores; needs NMS.
    Both in pixels of the network's input, scores in 0..1.
    """

    ONE_TO_ONE = "one_to_one"
    ONE_TO_MANY = "one_to_many"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The facts a runtime needs. ``size`` is (width, height); the input is RGB in 0..1.

    ``classes``: those of the output tensor. ``colours``: the classifier of lights' colours
    afterwards. ``reference_frames``: what an engine must find again (``engines.self_check``).
    """

    name: str
    classes: tuple[ModelClass, ...]
    size: tuple[int, int]
    head: Head
    training: Mapping[str, Any] = field(default_factory=dict)
    colours: LightColours | None = None
    reference_frames: tuple[ReferenceFrame, ...] = ()

    def to_json(self) -> str:
        """The text stored under ``KEY``."""
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "classes": [{"name": c.name, "task": c.task.value} for c in self.classes],
                "input": {
                    "width": self.size[0],
                    "height": self.size[1],
                    "colour_order": "RGB",
                    "scale": "1/255",
                },
                "head": self.head.value,
                "training": dict(self.training),
            }
            | ({} if self.colours is None else {"colours": self.colours.as_dict()})
            | (
                {"reference_frames": [frame.as_dict() for frame in self.reference_frames]}
                if self.reference_frames
                else {}
            )
        )


def read_metadata(properties: Mapping[str, str], origin: str) -> Metadata:
    """The metadata among an ONNX file's ``properties``; ``origin`` names the file in errors.

    Raises:
        ModelError: the file is not a oneglance model, or of a format this version cannot read.
    """
    text = properties.get(KEY)
    if text is None:
        raise ModelError(
            f"{origin} is an ONNX model but not one of ours: it has no '{KEY}' metadata. "
            "Make one with 'oneglance export'"
        )
    try:
        content = json.loads(text)
        if END_TO_END in content:
            frame = content[END_TO_END]
            raise ModelError(
                f"{origin} is an end-to-end graph, which takes frames of {frame['width']}x"
                f"{frame['height']} from ONNX Runtime itself (see oneglance.perception.examples."
                "end_to_end): give the model that it was made from"
            )
        found = content["format"]
        if found != FORMAT:
            raise ModelError(
                f"{origin} has metadata of format {found}; this version reads {FORMAT}"
            )
        return Metadata(
            name=str(content["name"]),
            classes=tuple(ModelClass(str(c["name"]), Task(c["task"])) for c in content["classes"]),
            size=(int(content["input"]["width"]), int(content["input"]["height"])),
            head=Head(content["head"]),
            training=dict(content["training"]),
            colours=LightColours.from_dict(content["colours"]) if "colours" in content else None,
            reference_frames=tuple(
                ReferenceFrame.from_dict(frame) for frame in content.get("reference_frames", ())
            ),
        )
    except KeyError as error:
        raise ModelError(f"{origin} has broken '{KEY}' metadata: it lacks {error}") from None
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(f"{origin} has broken '{KEY}' metadata: {error}") from None
