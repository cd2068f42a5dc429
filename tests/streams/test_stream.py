"""The one door: which name opens what, and what is said to a name that opens nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from media import make_tracks, make_video, numbered_image
from oneglance.streams import (
    ConnectOptions,
    SourceNotFound,
    SourceUnreadable,
    Stream,
    StreamError,
    UsageError,
    open_stream,
)
from oneglance.streams.files.images import ImageFiles
from oneglance.streams.files.video import VideoFile
from oneglance.streams.live.network import NetworkStream
from oneglance.streams.rendered.stream import RenderedStream

recordings = pytest.mark.parametrize(
    "opener",
    [
        pytest.param(lambda folder: open_stream(folder / "drive.mp4"), id="video"),
        pytest.param(lambda folder: open_stream(folder / "images"), id="images"),
        pytest.param(lambda folder: open_stream("rendered:?size=96x64&frames=3"), id="rendered"),
    ],
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two videos, one of them without a suffix, and a folder of two images."""
    make_video(tmp_path / "drive.mp4", frames=3)
    (tmp_path / "drive").write_bytes((tmp_path / "drive.mp4").read_bytes())
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.PNG"):
        (tmp_path / "images" / name).write_bytes(
            cv2.imencode(".png", numbered_image(0))[1].tobytes()
        )
    return tmp_path


@pytest.fixture
def cameras(tmp_path: Path) -> Path:
    """A file of two videos: 64x48, then 96x64."""
    return make_tracks(tmp_path / "cameras.mkv", sizes=[(64, 48), (96, 64)])


@pytest.mark.parametrize(
    ("name", "kind", "count"),
    [
        ("drive.mp4", VideoFile, 3),
        ("drive", VideoFile, 3),
        ("images", ImageFiles, 2),
        ("images/", ImageFiles, 2),
        ("images/a.png", ImageFiles, 1),
        ("images/*", ImageFiles, 2),
        ("**/*.png", ImageFiles, 1),
        ("images/[ab].*", ImageFiles, 2),
    ],
)
def test_a_path_opens_what_lies_there(folder: Path, name: str, kind: type, count: int) -> None:
    with open_stream(f"{folder}/{name}") as stream:
        assert type(stream) is kind
        assert isinstance(stream, Stream)
        assert stream.source == f"{folder}/{name}".rstrip("/")
        assert stream.frame_count == count
        assert not stream.live
        assert len(list(stream)) == count


@pytest.mark.parametrize("name", ["drive [1].mp4", "drive*.mp4", "what?.mp4"])
def test_a_file_with_signs_of_a_pattern_in_its_name_is_that_file(folder: Path, name: str) -> None:
    (folder / "drive.mp4").rename(folder / name)
    with open_stream(folder / name) as stream:
        assert isinstance(stream, VideoFile)


@pytest.mark.parametrize(
    "name", ["0", "7.mp4", "-", "a:b.mp4", "concat:drive.mp4", "drive@noon", "füße.mp4"]
)
def test_an_odd_name_given_as_a_path_is_that_file(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "drive.mp4").rename(folder / name)
    monkeypatch.chdir(folder)
    for uri in (f"./{name}", Path(name)):
        with open_stream(uri) as stream:
            assert isinstance(stream, VideoFile)
            assert len(list(stream)) == 3


@pytest.mark.parametrize("scheme", ["rendered", "Rendered"])
def test_rendered_opens_a_drive_with_its_options(scheme: str) -> None:
    with open_stream(f"{scheme}:?seed=7&frames=5&size=96x64") as stream:
        assert isinstance(stream, RenderedStream)
        assert stream.frame_count == 5
        assert stream.source == "rendered:?seed=7"


@pytest.mark.parametrize("scheme", ["http", "HTTP", "Http"])
def test_an_address_opens_a_network_stream(folder: Path, web: str, scheme: str) -> None:
    # ``folder`` is what the server of ``web`` serves: both are this test's own folder.
    with open_stream(
        f"{web.replace('http', scheme)}/file/drive.mp4", ConnectOptions(timeout_s=5)
    ) as stream:
        assert isinstance(stream, NetworkStream)
        assert len(list(stream)) == 3


@pytest.mark.parametrize("scheme", ["ftp", "file", "rtps", "gopher+x"])
def test_a_scheme_that_is_not_supported_is_reported_with_those_that_are(scheme: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_stream(f"{scheme}://user:SECRET@host/drive.mp4")
    message = str(caught.value)
    assert message.startswith(f"cannot play {scheme}://***@host/drive.mp4: '{scheme}://' is not")
    assert "(supported: rtsp://, rtsps://, http://, https://, udp://)" in message
    assert "SECRET" not in message


def test_an_empty_name_is_reported() -> None:
    with pytest.raises(UsageError, match="an empty source: name a file, a folder, a camera"):
        open_stream("")


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("drvie.mp4", "drive.mp4"), ("drive.mp5", "drive.mp4"), ("image", "images")],
)
def test_a_typo_is_reported_with_the_names_near_it(folder: Path, typo: str, meant: str) -> None:
    with pytest.raises(SourceNotFound) as caught:
        open_stream(folder / typo)
    assert str(caught.value).startswith(f"no file or folder {folder / typo}; did you mean ")
    assert str(folder / meant) in str(caught.value)


@pytest.mark.parametrize("typo", ["rendered", "render:", "rendred:?seed=7", "Redered:"])
def test_a_typo_in_rendered_is_reported(typo: str) -> None:
    with pytest.raises(SourceNotFound, match=r"did you mean rendered:"):
        open_stream(typo)


@pytest.mark.parametrize("name", ["zzz.mp4", "no/such/folder/drive.mp4", "drive.mp4/drive.mp4"])
def test_a_name_near_nothing_is_reported_plainly(folder: Path, name: str) -> None:
    with pytest.raises(SourceNotFound) as caught:
        open_stream(folder / name)
    assert str(caught.value) == f"no file or folder {folder / name}"


def test_a_pattern_that_matches_nothing_is_reported(folder: Path) -> None:
    with pytest.raises(SourceNotFound) as caught:
        open_stream(folder / "images" / "*.jpg")
    assert str(caught.value) == f"no image or video matches {folder}/images/*.jpg"


def test_a_pattern_that_matches_nothing_to_play_is_reported_with_what_it_matches(
    folder: Path,
) -> None:
    (folder / "drip.txt").touch()
    with pytest.raises(SourceNotFound) as caught:
        open_stream(folder / "dri[vp]*[!4]")
    assert str(caught.value) == (
        f"no image or video matches {folder}/dri[vp]*[!4] (2 other files do: drip.txt, drive)"
    )


def test_of_several_videos_in_a_file_one_is_chosen_by_its_number(
    folder: Path, cameras: Path
) -> None:
    def size(uri: str | Path, video: int | None = None) -> tuple[int, int]:
        with open_stream(uri, video=video) as stream:
            return next(iter(stream)).size

    assert size(cameras) == (96, 64)
    assert size(f"{cameras}?video=0") == size(cameras, 0) == (64, 48)
    assert size(f"{cameras}?video=1") == size(cameras, 1) == (96, 64)
    odd = folder / "drive.mp4?video=1"
    (folder / "drive.mp4").rename(odd)
    assert size(odd) == size(str(odd)) == (64, 48)


@pytest.mark.parametrize("number", ["-1", "x", "", "1.0"])
def test_a_video_s_number_that_is_none_is_reported(cameras: Path, number: str) -> None:
    with pytest.raises(UsageError, match="counted from 0"):
        open_stream(f"{cameras}?video={number}")


@pytest.mark.parametrize("uri", ["rendered:", "0", "images", "images/a.png", "images/*.png"])
def test_only_of_a_video_file_a_video_can_be_chosen(folder: Path, uri: str) -> None:
    with pytest.raises(UsageError, match="video"):
        open_stream(f"{folder}/{uri}" if "im" in uri else uri, video=1)


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "a\0b.mp4"], ids=["long", "nul"])
def test_a_name_that_no_file_can_have_is_reported(tmp_path: Path, name: str) -> None:
    with pytest.raises((SourceNotFound, SourceUnreadable)):
        open_stream(tmp_path / name)


@pytest.mark.parametrize("uri", ["rtsp://127.0.0.1:1/x", "0", 0, "rendered:", "drive.mp4"])
@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_out_that_is_none_is_refused_whatever_the_source(
    uri: str | int, timeout_s: float
) -> None:
    with pytest.raises(UsageError, match=f"a time-out must be above 0 s.*not {timeout_s}"):
        open_stream(uri, ConnectOptions(timeout_s=timeout_s))


def test_opening_a_rendered_drive_does_not_bring_the_video_library() -> None:
    # Start-up time: PyAV is imported by the sources that need it.
    program = (
        "import sys; from oneglance.streams import open_stream; assert 'cv2' not in sys.modules; "
        "open_stream('rendered:?size=96x64'); assert 'av' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()


@recordings
def test_every_recording_keeps_the_promises_of_a_stream(
    folder: Path, opener: Callable[[Path], Stream]
) -> None:
    with opener(folder) as stream:
        assert isinstance(stream, Stream)
        frames = list(stream)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(frames) == stream.frame_count
    assert stream.frame_rate is not None
    assert [frame.timestamp_s for frame in frames] == [
        float(frame.index / stream.frame_rate) for frame in frames
    ]
    stream.close()
    assert os.fspath(stream.source)


@recordings
def test_every_recording_ends_at_its_next_frame_when_closed(
    folder: Path, opener: Callable[[Path], Stream]
) -> None:
    stream = opener(folder)
    frames = iter(stream)
    assert next(frames).index == 0
    stream.close()
    assert list(frames) == []


def test_a_link_to_nowhere_is_reported_as_such(folder: Path) -> None:
    (folder / "link.mp4").symlink_to(folder / "gone.mp4")
    with pytest.raises(SourceNotFound) as caught:
        open_stream(folder / "link.mp4")
    assert str(caught.value) == f"{folder}/link.mp4 is a link to nowhere"


@pytest.mark.parametrize("fps", [30000 / 1001, 1, 1 / 60, 1 / 86400, 1e-6])
def test_images_lie_as_far_apart_as_is_asked_for(folder: Path, fps: float) -> None:
    with open_stream(folder / "images", ConnectOptions(fps=fps)) as stream:
        times_s = [frame.timestamp_s for frame in stream]
    assert times_s == pytest.approx([0, 1 / fps], rel=1e-6)


@pytest.mark.parametrize("fps", [0, -1, 1e-300, 5e-324, float("nan"), float("inf"), 1e9])
def test_a_rate_that_cannot_be_is_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="frames a second must be above 0"):
        ConnectOptions(fps=fps)


def test_standard_input_is_no_source_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"standard input cannot be played: .* write it to a file"):
        open_stream("-")
    make_video(tmp_path / "a.mp4", frames=2).rename(tmp_path / "-")
    with open_stream("-") as stream:  # a file of that name
        assert len(list(stream)) == 2


@pytest.mark.parametrize(
    "name",
    ["a.mp4", "a.nut", "cut.mkv", "cut.ts", "clips", "clips/*.mp4", "images", "images/0.jpg"],
)
def test_a_source_is_the_one_that_was_meant_when_it_was_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there", "here/clips", "here/images"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for file in ("a.mp4", "a.nut", "cut.mkv", "cut.ts", "clips/0.mp4", "clips/1.mp4"):
        make_video(Path(file), frames=6)
    for file in ("cut.mkv", "cut.ts"):
        Path(file).write_bytes(Path(file).read_bytes()[:-1000])
    for index in range(2):
        cv2.imwrite(f"images/{index}.jpg", numbered_image(index))
    before = played(open_stream(name))
    assert before[0]
    stream = open_stream(name)
    monkeypatch.chdir(tmp_path / "there")
    assert played(stream) == before


def played(stream: Stream) -> tuple[list[tuple[str, int]], str]:
    """What its frames are called, and how it ended."""
    found: list[tuple[str, int]] = []
    try:
        with stream:
            found.extend((frame.source, frame.index) for frame in stream)
    except StreamError as error:
        return found, str(error)
    return found, ""
