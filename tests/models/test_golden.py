from __future__ import annotations

import copy
import json
from typing import Any

import cv2
import pytest

from golden.regenerate import CONFIDENCE, answers, differences, golden_file
from oneglance.models import list_zoo

HINT = "if the change is meant: python tests/golden/regenerate.py"


@pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 5 drew the golden frames, others differ"
)
@pytest.mark.parametrize("model", [e.name for e in list_zoo() if not e.is_quantised])
def test_a_bundled_model_sees_what_it_saw_when_it_was_published(model: Any) -> None:
    kept = json.loads(golden_file(model).read_text(encoding="utf-8"))
    assert sum(len(rows) for rows in kept.values()) >= 12
    found = differences(kept, answers(model))
    assert not found, "\n".join([*found, HINT])


BOX = {"class": "car", "confidence": 0.8, "xyxy": [10.0, 10.0, 50.0, 40.0]}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({}, False),
        ({"confidence": 0.78}, False),
        ({"confidence": 0.7}, True),
        ({"xyxy": [11.0, 10.0, 50.0, 40.0]}, False),
        ({"xyxy": [13.0, 10.0, 50.0, 40.0]}, True),
        ({"class": "sign"}, True),
    ],
)
def test_only_what_a_reader_would_call_a_change_is_one(change: Any, differs: bool) -> None:
    assert bool(differences({"a": [BOX]}, {"a": [{**copy.deepcopy(BOX), **change}]})) is differs


def test_a_box_at_the_edge_of_the_confidence_may_come_and_go() -> None:
    faint = {**BOX, "confidence": CONFIDENCE + 0.01}
    assert differences({"a": []}, {"a": [faint]}) == []
    assert differences({"a": [faint]}, {"a": []}) == []
    assert len(differences({"a": []}, {"a": [BOX]})) == 1
    assert len(differences({"a": [BOX]}, {"a": []})) == 1
