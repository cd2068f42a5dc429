"""What people made in a tool for labelling, as the tools export it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oneglance.perception.convert.boxes import safe_name
from oneglance.perception.convert.reading import read_results
from oneglance.streams import DataError
from program import Program

CVAT_VIDEO = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><original_size><width>64</width><height>48</height></original_size></task></meta>
  <track id="3" label="person" source="manual">
    <box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="9" ybr="20" />
    <box frame="2" outside="1" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="9" ybr="20" />
  </track>
  <track id="4" label="stroller" source="manual">
    <box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="9" ybr="20" />
  </track>
</annotations>
"""

LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/local-files/?d=set/images%20a/1.jpg"},
        "predictions": [{"result": []}],
        "annotations": [
            {"was_cancelled": True, "result": [{"type": "rectanglelabels"}]},
            {
                "result": [
                    {
                        "original_width": 200,
                        "original_height": 100,
                        "type": "rectanglelabels",
                        "value": {
                            "x": 10.0,
                            "y": 20.0,
                            "width": 50.0,
                            "height": 30.0,
                            "rotation": 0,
                            "rectanglelabels": ["red"],
                        },
                    },
                    {"type": "choices", "value": {"choices": ["night"]}},
                ]
            },
        ],
    }
]


def test_cvats_tracks_are_boxes_while_they_are_seen(tmp_path: Path) -> None:
    (tmp_path / "drive.xml").write_text(CVAT_VIDEO)
    (frame,) = read_results(tmp_path / "drive.xml")
    assert (frame.clip, frame.index, frame.size, frame.timestamp_s) == ("drive", 0, (64, 48), None)
    assert [(b.task, b.class_name, b.confidence, b.track_id) for b in frame.boxes] == [
        ("pedestrian", "person", 1.0, 3),
        ("stroller", "stroller", 1.0, 4),
    ]


def test_the_last_annotation_of_label_studio_counts(tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(json.dumps(LABEL_STUDIO))
    (frame,) = read_results(tmp_path / "export.json")
    assert frame.image == "set/images a/1.jpg"
    (box,) = frame.boxes
    assert (box.task, box.class_name, box.confidence) == ("light", "red", 1.0)
    assert box.xyxy == (20.0, 20.0, 120.0, 50.0)


def test_labels_that_were_corrected_go_back_into_a_data_set(
    oneglance: Program, tmp_path: Path
) -> None:
    (tmp_path / "export.json").write_text(json.dumps(LABEL_STUDIO))
    out = tmp_path / "out"
    run = oneglance("convert", tmp_path / "export.json", "--to", "yolo", "--out", out)
    assert run.code == 0, run.err
    classes = (out / "classes.txt").read_text().split()
    (line,) = (out / "labels" / "set" / "images a" / "1.txt").read_text().splitlines()
    number, *sides = line.split()
    assert classes[int(number)] == "red"
    assert list(map(float, sides)) == [0.35, 0.35, 0.5, 0.3]


@pytest.mark.parametrize(
    "name", ["/etc/a.jpg", "../../etc/a.jpg", "..\\etc\\a.jpg", "./etc//a.jpg"]
)
def test_an_images_name_leads_nowhere_else(name: str) -> None:
    assert safe_name(name) == "etc/a.jpg"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", "3"),
        ("a.json", "[1]"),
        ("a.json", "{}"),
        ("a.json", '[{"image_id": 1}]'),
        ("a.json", '{"images": [{"id": 1}], "annotations": [], "categories": []}'),
        ("a.json", '{"images": [], "annotations": [{"bbox": [1]}], "categories": []}'),
        ("a.json", '[{"data": {}}]'),
        ("a.json", "\xff"),
        ("a.xml", ""),
        ("a.xml", "<html/>"),
        ("a.xml", '<annotations><image id="x" name="b" width="1" height="1"/></annotations>'),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'),
        ("a.xml", CVAT_VIDEO.replace('xtl="1"', 'xtl="left"')),
        ("a.xml", CVAT_VIDEO.replace('xtl="1"', 'xtl="nan"')),
        ("a.xml", CVAT_VIDEO.replace("</track>", '<polygon points="1,2;3,4"/></track>')),
        (
            "a.json",
            '[{"data": {"image": "a"}, "annotations": [{"result": [{"type": "polygonlabels"}]}]}]',
        ),
        (
            "a.json",
            (
                '{"images": [{"id": 1, "file_name": "a", "width": Infinity}], '
                '"annotations": [], "categories": []}'
            ),
        ),
        ("a.json", "[" * 100_000),
        ("a.xml", CVAT_VIDEO.replace('xtl="1"', 'rotation="12" xtl="1"')),
    ],
)
def test_what_is_no_file_of_annotations_is_one_sentence(
    oneglance: Program, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"annotations|COCO"):
        list(read_results(tmp_path / name))
    run = oneglance("convert", tmp_path / name, "--to", "coco", "--out", tmp_path / "out")
    assert run.code == 2
    assert str(tmp_path / name) in run.message
    assert not (tmp_path / "out").exists()


def test_two_images_of_one_name_are_not_one_label_file(oneglance: Program, tmp_path: Path) -> None:
    twice = [LABEL_STUDIO[0], LABEL_STUDIO[0]]
    (tmp_path / "export.json").write_text(json.dumps(twice))
    run = oneglance("convert", tmp_path / "export.json", "--to", "yolo", "--out", tmp_path / "out")
    assert "two images are called" in run.message


@pytest.mark.parametrize("to", ["yolo", "cvat", "label-studio", "fiftyone"])
def test_an_image_without_pixels_is_one_sentence(
    oneglance: Program, tmp_path: Path, to: str
) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 0, "height": 0}
    content = {"images": [image], "annotations": [], "categories": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    run = oneglance("convert", tmp_path / "a.json", "--to", to, "--out", tmp_path / "out")
    assert run.code == 2
    assert "0×0 pixels" in run.message
    assert not (tmp_path / "out").exists()


def test_a_prefix_is_for_label_studio_alone(oneglance: Program, tmp_path: Path) -> None:
    (tmp_path / "export.json").write_text(json.dumps(LABEL_STUDIO))
    words = ("convert", tmp_path / "export.json", "--images", "https://host/", "--out")
    assert "--images" in oneglance(*words, tmp_path / "out", "--to", "mot").message
    assert oneglance(*words, tmp_path / "out", "--to", "label-studio").code == 0
    (task,) = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert task["data"]["image"] == "https://host/set/images a/1.jpg"
