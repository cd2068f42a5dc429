"""Which clips a run is given, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from http_server import http_server
from oneglance.perception.batch.listing import list_clips, printable
from oneglance.streams import SourceNotFound, SourceUnreadable, UsageError
from s3_server import s3_server

SECRET = "hunter2-secret"


def names(*entries: object) -> list[str]:
    return [clip.name for clip in list_clips(map(str, entries))]


def touch(folder: Path, *files: str) -> list[Path]:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"x")
    return [folder / file for file in files]


def test_a_clip_is_listed_once_whatever_names_it(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "a.mp4", "b.mp4")
    assert names(b, tmp_path / "*.mp4", b) == [str(b), str(a)]


def test_two_stars_go_into_folders_and_folders_are_no_clips(tmp_path: Path) -> None:
    deep, flat = touch(tmp_path, "x/y/a.mp4", "b.mp4")
    (tmp_path / "c.mp4").mkdir()
    assert names(tmp_path / "**" / "*.mp4") == sorted(map(str, (deep, flat)))


def test_a_file_with_the_signs_of_a_pattern_in_its_name_is_a_file(tmp_path: Path) -> None:
    (odd,) = touch(tmp_path, "a[1].mp4")
    assert names(odd) == [str(odd)]


def test_a_list_names_clips_beside_it(tmp_path: Path) -> None:
    a, b = touch(tmp_path, "a.mp4", "b.mp4")
    text, table = tmp_path / "all.txt", tmp_path / "all.csv"
    text.write_text(f"# night\n\na.mp4\n{b}\n")
    table.write_text("size,uri\n1,b.mp4\n2,a.mp4\n\n")
    assert names(text) == [str(a), str(b)]
    assert names(table) == [str(b), str(a)]
    (tmp_path / "bare.csv").write_text("a.mp4,1\nb.mp4,2\n")
    assert names(tmp_path / "bare.csv") == [str(a), str(b)]


def test_a_list_of_lists_is_no_list(tmp_path: Path) -> None:
    (tmp_path / "inner.txt").write_text("a.mp4\n")
    (tmp_path / "outer.txt").write_text("inner.txt\n")
    assert names(tmp_path / "outer.txt") == [str(tmp_path / "inner.txt")]  # a clip that is text


@pytest.mark.parametrize("content", ["", "\n\n", "# nothing\n"])
def test_an_empty_list_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "all.txt").write_text(content)
    with pytest.raises(UsageError, match=r"all\.txt is empty"):
        names(tmp_path / "all.txt")
    (tmp_path / "all.csv").write_text(content.replace("# nothing", "uri"))
    with pytest.raises(UsageError, match=r"all\.csv is empty"):
        names(tmp_path / "all.csv")


def test_no_entry_at_all_is_an_error() -> None:
    with pytest.raises(UsageError, match="no clips"):
        names()


def test_a_list_with_a_folder_is_an_error_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "drives").mkdir()
    (tmp_path / "all.txt").write_text("drives\n")
    with pytest.raises(UsageError, match=r"all\.txt.*drives is a folder.*drives/\*\.mp4"):
        names(tmp_path / "all.txt")


@pytest.mark.parametrize("live", ["rtsp://h/a", "udp://h:1", "0", "/dev/video7", "rendered:"])
def test_what_is_live_is_no_recording_also_in_a_list(tmp_path: Path, live: str) -> None:
    with pytest.raises(UsageError, match=r"no recording.*oneglance run"):
        names(live)
    (tmp_path / "all.txt").write_text(f"{live}\n")
    if "://" in live or live.startswith("/"):
        with pytest.raises(UsageError, match=r"all\.txt.*no recording"):
            names(tmp_path / "all.txt")


@pytest.mark.parametrize("odd", ["gopher://h/a.mp4", "", "memory://a.mp4"])
def test_a_scheme_that_nobody_reads_is_an_error(odd: str) -> None:
    with pytest.raises(UsageError):
        names(odd)


def test_what_is_missing_or_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match=r"no file matches .*\*\.mp4"):
        names(tmp_path / "*.mp4")
    with pytest.raises(SourceNotFound, match=r"no list .*gone\.txt"):
        names(tmp_path / "gone.txt")
    (tmp_path / "video.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(SourceUnreadable, match="no UTF-8 text"):
        names(tmp_path / "video.txt")


def test_a_clip_that_is_missing_is_listed_for_it_is_a_row(tmp_path: Path) -> None:
    assert names(tmp_path / "gone.mp4") == [str(tmp_path / "gone.mp4")]


def test_a_name_that_is_no_text_is_printable(tmp_path: Path) -> None:
    if os.name == "nt":
        pytest.skip("names are text there")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    Path(odd).write_bytes(b"x")
    (clip,) = list_clips([str(tmp_path / "*.mp4")])
    assert clip.uri == odd
    assert clip.name.endswith(r"\xff.mp4")
    clip.name.encode()


@pytest.mark.parametrize(
    "uri",
    [
        f"https://user:{SECRET}@host/a.mp4",
        f"https://host/a.mp4?X-Amz-Signature={SECRET}&X-Amz-Date=20260101T000000Z",
        f"s3://AKIA:{SECRET}@bucket/a.mp4",
        f"s3://AKIA:a/{SECRET}/b@bucket/a.mp4",
        f"s3://{SECRET}@bucket/a.mp4",
        f"s3://bucket/a.mp4?versionId={SECRET}",
        f"gs://token:{SECRET}",
    ],
)
def test_no_secret_is_in_a_name_or_in_what_a_clip_shows_of_itself(uri: str) -> None:
    assert SECRET not in printable(uri)
    if not uri.startswith(("s3://AKIA", "gs://token")):
        assert SECRET not in repr(list_clips([uri]))
        return
    with pytest.raises(UsageError, match="in the environment") as caught:
        list_clips([uri])
    assert SECRET not in str(caught.value)


def test_clips_that_differ_in_a_secret_alone_are_two() -> None:
    found = names("https://host/get?token=a1", "https://host/get?token=b2")
    assert found == ["https://host/get?token=***", "https://host/get?token=*** (2)"]


def test_a_bucket_is_searched_and_its_lists_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "all.txt").write_text("b.mp4\ns3://fleet/a.mp4\n")
    with s3_server(monkeypatch, "fleet", [*files, tmp_path / "all.txt"]):
        assert names("s3://fleet/*.mp4") == ["s3://fleet/a.mp4", "s3://fleet/b.mp4"]
        assert names("s3://fleet/all.txt") == ["s3://fleet/b.mp4", "s3://fleet/a.mp4"]
        with pytest.raises(SourceNotFound, match="no object matches"):
            names("s3://fleet/*.mkv")
        with pytest.raises(SourceNotFound, match="no-such-bucket"):
            names("s3://no-such-bucket/all.txt")
        with pytest.raises(UsageError, match="folder"):
            names("s3://fleet/drives/")


def test_a_list_on_a_web_server_names_clips_beside_it(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("a.mp4\n")
    with http_server(tmp_path) as (address, _):
        assert names(f"{address}/file/all.txt") == [f"{address}/file/a.mp4"]
        with pytest.raises(SourceNotFound):
            names(f"{address}/file/gone.txt")


def test_a_bucket_that_is_not_there_or_closed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(monkeypatch, "fleet", touch(tmp_path, "a.mp4")):
        from moto.core.authorization import enable_iam_authentication

        for entry in ("s3://no-such-bucket/*.mp4", "s3://no-such-bucket/all.txt"):
            with pytest.raises(SourceNotFound, match=r"s3://no-such-bucket/"):
                names(entry)
        with enable_iam_authentication():
            for entry in ("s3://fleet/*.mp4", "s3://fleet/all.txt"):
                with pytest.raises(SourceUnreadable, match=r"no permission to read s3://fleet/"):
                    names(entry)


def test_a_store_whose_package_is_not_installed_is_a_sentence() -> None:
    try:
        import gcsfs  # type: ignore[import-not-found] # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="pip install gcsfs"):
            names("gs://fleet/*.mp4")
    else:
        pytest.skip("gcsfs is installed")
