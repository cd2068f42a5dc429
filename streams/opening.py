"""The one door to all sources: from an address to an open ``Stream``."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import cast

from oneglance.streams.bags.address import is_bag, split_topic
from oneglance.streams.entry_points import SOURCES, find_offer, list_offers, offer_of
from oneglance.streams.errors import SourceNotFound, SourceUnreadable, UsageError, cause
from oneglance.streams.options import ConnectOptions
from oneglance.streams.redaction import redact_address
from oneglance.streams.stream import Stream

RENDERED = "rendered:"

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp")


_CHOICE = re.compile(r"(.+)\?video=([^?/&]*)", re.S)


def open_stream(
    uri: str | os.PathLike[str] | int,
    options: ConnectOptions | None = None,
    *,
    video: int | None = None,
) -> Stream:
    """Open whatever ``uri`` names.

    - ``rendered:`` (with options, ``rendered:?seed=7&frames=600``): a drive oneglance draws;
    - ``rtsp://``, ``rtsps://``, ``http://``, ``https://`` (files, MJPEG, HLS), ``udp://``
      (MPEG-TS): a network stream;
    - a number or ``/dev/video0``: a camera of this machine;
    - a bag: an ``.mcap``, ``.bag`` or ``.db3`` file or a rosbag2 folder, with
      ``?topic=/camera/front`` where it has several camera topics (the extra ``mcap``);
    - another folder or a glob pattern: its images in natural order; or its clips, one after the
      other;
    - an image file; any other file: a video;
    - ``scheme://…`` of an installed plugin (``oneglance plugins``): what that opens.

    ``options``: time-outs and transport of cameras and network sources, the accelerator that
    decodes videos and network streams, what becomes of damaged frames, and the rate of
    recordings that declare none. ``video``: which of several videos in one file, counted from 0;
    ``drive.mkv?video=1`` says the same. None: the largest.

    Raises:
        SourceNotFound, SourceUnreadable, SourceStalled: the source cannot be opened.
        UsageError: a scheme that is not supported, a bad option of ``rendered:``, an accelerator
            that cannot be used, a ``video`` that is not there or of something that is no file.
    """
    options = options or ConnectOptions()
    kind = kind_of(uri)
    if video is not None and kind is not Kind.PATH:
        raise UsageError("only of a file can a video be chosen by its number")
    text = str(uri) if isinstance(uri, int) else os.fspath(uri)
    if kind is Kind.CAMERA:
        from oneglance.streams.live.camera import Camera

        device = uri if isinstance(uri, int) else text
        return Camera(device, options)
    if kind is Kind.RENDERED:
        from oneglance.streams.rendered.stream import RenderedStream

        return RenderedStream.from_uri(RENDERED + text[len(RENDERED) :])
    if kind is Kind.NETWORK:
        from oneglance.streams.live.network import NetworkStream

        return NetworkStream(text, options)
    if kind is Kind.PLUGIN:
        return _open_plugin(text, options)
    return _open_path(text, options, video)


class Kind(StrEnum):
    """What an address names, found without opening it."""

    RENDERED = "rendered"
    NETWORK = "network"
    CAMERA = "camera"
    PATH = "path"
    PLUGIN = "plugin"

    @property
    def may_come_back(self) -> bool:
        """Whether it may be away now and there again later."""
        return self in {Kind.NETWORK, Kind.CAMERA}


def kind_of(uri: str | os.PathLike[str] | int) -> Kind:
    """What ``uri`` names; see ``open_stream``.

    Raises:
        UsageError: it is empty, or its scheme is not supported.
    """
    if isinstance(uri, int):
        return Kind.CAMERA
    text = os.fspath(uri)
    if not text:
        raise UsageError("an empty source: name a file, a folder, a camera or a URL")
    if text.lower().startswith(RENDERED):
        return Kind.RENDERED
    scheme = _scheme(text)
    if scheme is not None:
        if scheme in SCHEMES:
            return Kind.NETWORK
        if find_offer(SOURCES, scheme) is not None:
            return Kind.PLUGIN
        offered = dict.fromkeys((*SCHEMES, *(offer.name for offer in list_offers(SOURCES))))
        supported = [f"{name}://" for name in offered if name != RENDERED.rstrip(":")]
        raise UsageError(
            f"cannot play {redact_address(text)}: '{scheme}://' is not supported "
            f"(supported: {', '.join(supported)})"
        )
    is_number = isinstance(uri, str) and re.fullmatch("[0-9]+", text)  # Path("0") is a file
    return Kind.CAMERA if is_number or text.startswith("/dev/video") else Kind.PATH


def files_read(uri: str | os.PathLike[str] | int) -> Iterator[Path]:
    """The files that playing ``uri`` would read; none of what is no path.

    Raises:
        OSError: a folder cannot be looked into.
        UsageError: the scheme of ``uri`` is not supported.
    """
    if kind_of(uri) is not Kind.PATH:
        return
    text = os.fspath(cast("str", uri))
    path = Path(text)
    if not _exists(text):
        chosen = _CHOICE.fullmatch(text)
        path = split_topic(text)[0] if chosen is None else Path(chosen[1])
    if path.is_dir() and _is_bag(path):
        yield from (file for file in path.iterdir() if file.is_file())
    elif path.is_dir() or (not path.exists() and any(sign in text for sign in "*?[")):
        from oneglance.streams.files.folders import can_be_played, listed

        yield from filter(can_be_played, listed(text))
    else:
        yield path


def is_surely_live(uri: str | os.PathLike[str] | int) -> bool:
    """Whether the address alone says that the source is live (HTTP says so only when asked)."""
    kind = kind_of(uri)
    is_http = kind is Kind.NETWORK and os.fspath(cast("str", uri)).lower().startswith("http")
    return kind.may_come_back and not is_http


def _scheme(text: str) -> str | None:
    """The scheme of ``scheme://…``, in lower case; None where there is none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    return None if found is None else found[1].lower()


def _open_plugin(text: str, options: ConnectOptions) -> Stream:
    """What an installed package opens for an address of its scheme.

    Raises:
        UsageError: it cannot be loaded, or gives no ``Stream``.
        StreamError: the source cannot be opened.
    """
    scheme = _scheme(text)
    assert scheme is not None
    stream = offer_of(SOURCES, scheme, what="source").make(text, options)
    if not isinstance(stream, Stream):
        raise UsageError(
            f"the plugin for {scheme}:// gave a {type(stream).__name__}, which is no Stream: "
            "see oneglance.streams.Stream for what one has"
        )
    if not isinstance(stream.source, str):
        raise UsageError(
            f"the plugin for {scheme}:// gave a Stream whose source is no name but a "
            f"{type(stream.source).__name__}"
        )
    return stream


def _open_path(text: str, options: ConnectOptions, video: int | None) -> Stream:
    from oneglance.streams.files.images import ImageFiles, is_image

    path = Path(text)
    there = _exists(text)
    bag, topic = (path, None) if there else split_topic(text)
    if _is_bag(bag):
        if video is not None:
            raise UsageError(f"{text} is a bag: choose a camera with ?topic=… behind its name")
        from oneglance.streams.bags.stream import BagStream

        return BagStream(bag, topic=topic, damaged=options.damaged)
    chosen = None if there else _CHOICE.fullmatch(text)
    if chosen is not None and _exists(chosen[1]):  # else a pattern may look like that
        if video is not None:
            raise UsageError(f"{text}: a video is chosen twice")
        return _open_path(chosen[1], options, _video_number(chosen[2], text))
    is_pattern = not there and any(c in text for c in "*?[") and not _almost_rendered(text)
    is_many = path.is_dir() or is_pattern
    if path.is_symlink() and not there:
        raise SourceNotFound(f"{redact_address(text)} is a link to nowhere")
    if text == "-" and not there:
        raise UsageError(
            "standard input cannot be played: a video is read at several places; write it to a "
            "file first"
        )
    if not there and not is_many:
        # What is not on the disk may be an address that lacks its scheme.
        raise SourceNotFound(f"no file or folder {redact_address(text)}{_near(path)}")
    if video is not None and (is_many or is_image(path)):
        raise UsageError(f"{text} is no video file: no video can be chosen by its number")
    if is_many:
        return _open_many(path, options)
    if is_image(path):
        return ImageFiles([path], source=text, frame_rate=_image_rate(options))
    from oneglance.streams.files.video import VideoFile

    stream = VideoFile(path, options, video=video)
    stream.name_others()
    return stream


def _open_many(path: Path, options: ConnectOptions) -> Stream:
    from oneglance.streams.files.folders import files_in
    from oneglance.streams.files.images import ImageFiles, is_image

    files, name = files_in(path), os.fspath(path)
    if all(is_image(file) for file in files):
        return ImageFiles(files, source=name, frame_rate=_image_rate(options))
    from oneglance.streams.files.sequence import FileSequence
    from oneglance.streams.files.video import VideoFile

    return FileSequence(
        files,
        source=name,
        open_clip=lambda place, name: VideoFile(place, options, name=name),
        image_rate=_image_rate(options),
    )


def _image_rate(options: ConnectOptions) -> Fraction:
    from oneglance.streams.files.images import DEFAULT_RATE

    if not options.fps:
        return DEFAULT_RATE
    if options.fps < 1:  # one image a minute, or a day
        return 1 / Fraction(1 / options.fps).limit_denominator(1001)
    return Fraction(options.fps).limit_denominator(1001)


def _exists(text: str) -> bool:
    with _looking_at(text):
        return Path(text).exists()


def _is_bag(path: Path) -> bool:
    with _looking_at(os.fspath(path)):
        return path.exists() and is_bag(path)


@contextmanager
def _looking_at(text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # a folder on the way that may not be entered, a name too long
        name = redact_address(text)
        raise SourceUnreadable(f"cannot open {name}: {cause(error)}") from None


def _video_number(text: str, source: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"{source}: a video's number is counted from 0, not '{text}'")
    return int(text)


def _near(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:  # no such folder, or not ours to look into
        names = []
    near = [str(path.parent / name) for name in difflib.get_close_matches(path.name, names, n=3)]
    near += _almost_rendered(str(path))
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _almost_rendered(text: str) -> list[str]:
    """``rendered:``, when ``text`` may be a slip of it, whatever options follow."""
    return difflib.get_close_matches(text.lower().split("?")[0], [RENDERED], cutoff=0.8)
