"""The pages people read: every fact, every miss, every hole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from benchmarks.report import pages, results
from benchmarks.report.results import Part

PartMaker = Callable[..., Part]


def test_a_page_shows_facts_misses_holes_and_what_it_is_silent_on(part: PartMaker) -> None:
    made = part(peers={"torch": "2.14.1"})
    made.holes.append("ultralytics: not measured: not installed")
    page = pages.page(made)
    assert "| command | `python throughput.py` |" in page
    assert "| peers | torch 2.14.1 |" in page
    assert "| loop over bare | 0.95× | — | ≥ 0.92 × | met |" in page
    assert "| ours over theirs | 0.5× | — | ≤ 0.4 × | **missed** |" in page
    assert "- ultralytics: not measured: not installed" in page
    assert "- rain" in page


def test_a_busy_machine_is_reported_before_any_number(part: PartMaker) -> None:
    page = pages.page(part(warning="the machine was busy before we began"))
    assert page.index("Warning: the machine was busy") < page.index("| fact |")


def test_a_bar_in_a_cell_does_not_break_its_table(part: PartMaker) -> None:
    assert "| ours \\| all | 20 |" in pages.page(part())


def test_the_report_names_the_parts_that_were_not_run(part: PartMaker) -> None:
    whole = pages.whole({"throughput": part()}, [("An image", "a.png")])
    assert "![An image](a.png)" in whole
    assert "Parts that were not run: one_vs_four, curves" in whole
    assert "throughput" not in whole.partition("## Not measured")[2]


def test_a_folder_becomes_a_report_whose_images_exist(part: PartMaker, tmp_path: Path) -> None:
    results.write(part(), tmp_path)
    four = Part(part="one_vs_four", title="One against four", timer="a frame")
    for name, ms in (("one_tuned", 20.0), ("four_tuned", 80.0)):
        four.add(f"{name}.frame", name, [[ms]], unit="ms")
        for stage in ("decode", "preprocess", "inference", "postprocess"):
            four.add(f"{name}.{stage}", name, [[ms / 4]], unit="ms")
    results.write(four, tmp_path)
    text = pages.write_report(tmp_path).read_text()
    for image in ("throughput.png", "one_vs_four.png"):
        assert f"({image})" in text
        drawn = cv2.imread(str(tmp_path / image))
        assert drawn is not None
        assert drawn.std() > 10  # something is drawn on it
    assert not (tmp_path / "live.png").exists()


def test_a_report_of_parts_that_have_nothing_comes_out_with_their_holes(tmp_path: Path) -> None:
    for name in results.PARTS:
        empty = Part(part=name, title=name, timer="nothing", holes=[f"{name} failed"])
        results.write(empty, tmp_path)
    text = pages.write_report(tmp_path).read_text()
    assert all(f"- {name} failed" in text for name in results.PARTS)
    assert "![" not in text


def test_a_part_of_another_model_than_the_header_says_so(part: PartMaker) -> None:
    other = part(model="one.s0")
    other.part = "one_vs_four"
    other.facts["model bytes of the four"] = 4000
    text = pages.whole({"throughput": part(), "one_vs_four": other}, [])
    own = text.partition("## Throughput")[2].partition("## Throughput")[2]
    assert "| model | one.s0 |" in own
    assert "| model bytes of the four | 4000 |" in own
    assert "| device |" not in own


def test_a_missing_folder_ends_the_command_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["report.py", "/nowhere"])
    with pytest.raises(SystemExit) as caught:
        pages.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: no results folder /nowhere\n"


def test_curves_ages_and_accuracy_are_drawn_from_their_figures(tmp_path: Path) -> None:
    curves = Part(part="curves", title="Curves", timer="a frame")
    for axis, points in (("cores", ("1", "2")), ("size", ("320x192", "640x384"))):
        for point in points:
            for setting in ("one.sequence", "four.threads"):
                name = f"{axis}.{point}.{setting}.fps"
                curves.add(name, name, [[20.0]], unit="frames/s", better="higher")
    live = Part(part="live", title="Live", timer="age")
    live.add("4x.age", "age at 4x", [[40.0, 50.0, 60.0]], unit="ms")
    four = Part(part="one_vs_four", title="One against four", timer="a frame")
    for name, ms in (("one_sequence_tuned", 20.0), ("four_threads_tuned", 80.0)):
        for stage in ("frame", "decode", "preprocess", "inference", "postprocess"):
            four.add(f"{name}.{stage}", name, [[ms]], unit="ms")
    accuracy = Part(part="accuracy", title="Accuracy", timer="nothing")
    for many in ("one", "four"):
        accuracy.add(f"{many}.car.map50_95", many, [[0.8]], unit="mAP", better="higher")
    for part in (curves, live, four, accuracy):
        results.write(part, tmp_path)
    pages.write_report(tmp_path)
    drawn = {file.name for file in tmp_path.glob("*.png")}
    assert drawn == {"cores.png", "sizes.png", "live.png", "one_vs_four.png", "accuracy.png"}
