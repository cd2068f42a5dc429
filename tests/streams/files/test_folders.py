from __future__ import annotations

from pathlib import Path

import pytest

from oneglance.streams.errors import SourceNotFound, SourceUnreadable
from oneglance.streams.files.folders import files_in


def make(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


def test_images_and_clips_come_in_the_order_a_person_would_sort_them(tmp_path: Path) -> None:
    make(
        tmp_path, "10.mp4", "2.MP4", "1.ppm", "3.gif", "4.heic", "5.avif", ".hidden.mp4", "s/6.mp4"
    )
    expected = ["1.ppm", "2.MP4", "3.gif", "4.heic", "5.avif", "10.mp4"]
    assert names(files_in(tmp_path)) == expected
    assert names(files_in(tmp_path / "*")) == expected


def test_what_cannot_be_played_is_counted_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "1.jpg", "a.txt", "b.txt", "c.xyz", "d")
    assert names(files_in(tmp_path)) == ["1.jpg"]
    [message] = caplog.messages
    assert message == (
        f"{tmp_path}: 4 files are left out, no image or video by name (a.txt, b.txt, c.xyz, …; "
        "2 .txt, 1 .xyz, 1 no suffix)"
    )
    caplog.clear()
    assert names(files_in(tmp_path / "[1c]*")) == ["1.jpg"]
    assert caplog.messages == [
        f"{tmp_path}/[1c]*: 1 file is left out, no image or video by name (c.xyz)"
    ]


def test_a_part_of_a_pattern_that_exists_is_taken_by_its_letters(tmp_path: Path) -> None:
    make(tmp_path, "drive [front]/1.jpg", "drive f/2.jpg", "a*b/[x]/3.jpg", "acb/x/4.jpg")
    assert names(files_in(tmp_path / "drive [front]" / "*.jpg")) == ["1.jpg"]
    assert names(files_in(tmp_path / "a*b" / "[x]" / "?.jpg")) == ["3.jpg"]
    assert names(files_in(tmp_path / "drive [f]" / "*.jpg")) == ["2.jpg"]


def test_a_relative_pattern_and_one_of_the_whole_tree_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "[a]/1.jpg", "b/2.jpg")
    monkeypatch.chdir(tmp_path)
    assert names(files_in("[a]/*.jpg")) == ["1.jpg"]
    assert names(files_in("**/*.jpg")) == ["1.jpg", "2.jpg"]


def test_a_folder_of_nothing_to_play_is_reported_with_what_it_holds(tmp_path: Path) -> None:
    make(tmp_path, "notes.txt")
    with pytest.raises(
        SourceUnreadable, match=r"has no image in it and no video .*holds notes\.txt"
    ):
        files_in(tmp_path)
    with pytest.raises(SourceNotFound, match=r"no image or video matches .* \(1 other file does"):
        files_in(tmp_path / "*.txt")


def test_subfolders_with_something_to_play_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "1.jpg", "front/2.jpg", "rear/3.mp4", "labels/1.txt", ".git/4.jpg")
    assert names(files_in(tmp_path)) == ["1.jpg"]
    [message] = caplog.messages
    assert message == (
        f"{tmp_path}: 2 folders in it are left out (front, rear): name a folder, or a pattern of "
        f"files such as '{tmp_path}/**/*.jpg'"
    )
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(SourceUnreadable, match=r"2 folders in it are left out \(front, rear\)"):
        files_in(tmp_path)


def test_a_link_that_leads_back_is_not_followed_round_and_round(tmp_path: Path) -> None:
    make(tmp_path / "drive", "a/1.jpg", "b/2.jpg")
    (tmp_path / "drive" / "a" / "back").symlink_to(tmp_path / "drive")
    (tmp_path / "drive" / "b" / "self").symlink_to(".")
    make(tmp_path, "elsewhere/3.jpg")
    (tmp_path / "drive" / "c").symlink_to(tmp_path / "elsewhere")
    assert names(files_in(tmp_path / "drive" / "**" / "*.jpg")) == ["1.jpg", "2.jpg", "3.jpg"]
