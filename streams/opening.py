"""The one door to all sources: from an address to an open ``Stream``."""

from __future__ import annotations

import difflib
import os
import re
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import cast

from oneglance.streams.bags.address import is_bag, split_topic
from oneglance.streams.entry_points import SOURCES, find_offer, list_offers, load_offer
from oneglance.streams.errors import SourceNotFound, SourceUnreadable, UsageError, cause
from oneglance.streams.options import ConnectOptions
from oneglance.streams.redaction import redact_address
from oneglance.streams.stream import Stream

RENDERED = "rendered:"

SCHEMES = ("rtsp", "rtsps", "http", "https", "udp")


def open_stream(uri: str | os.PathLike[str] | int, options: ConnectOptions | None = None) -> Stream:
    """Open whatever ``uri`` names.

    - ``rendered:`` (with options, ``rendered:?seed=7&frames=600``): a drive oneglance draws;
    - ``rtsp://``, ``rtsps://``, ``http://``, ``https://`` (files, MJPEG, HLS), ``udp://``
      (MPEG-TS): a network stream;
    - a number or ``/dev/video0``: a camera of this machine;
    - a bag: an ``.mcap`` or ``.bag`` file or a rosbag2 folder, with ``?topic=/camera/front``
      where it has several camera topics (the extra ``mcap``);
    - another folder, a glob pattern or an image file: images in natural order;
    - any other file: a video;
    - ``scheme://…`` of an installed plugin (``oneglance plugins``): what that opens.

    ``options``: time-outs and transport of cameras and network sources, the accelerator that
    decodes videos and network streams, what becomes of damaged frames, and the rate of
    recordings that declare none.

    Raises:
        SourceNotFound, SourceUnreadable, SourceStalled: the source cannot be opened.
        UsageError: a scheme that is not supported, a bad option of ``rendered:``, an accelerator
            that cannot be used.
    """
    options = options or ConnectOptions()
    kind = kind_of(uri)
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
    return _open_path(text, options)


class Kind(StrEnum):
    """What an address names, told without opening it."""

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


def is_surely_live(uri: str | os.PathLike[str] | int) -> bool:
    """Whether the address alone says that the source is live (HTTP only tells when asked)."""
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
    stream = load_offer(SOURCES, scheme, what="source")(text, options)
    if not isinstance(stream, Stream):
        raise UsageError(
            f"the plugin for {scheme}:// gave a {type(stream).__name__}, which is no Stream: "
            "see oneglance.streams.Stream for what one has"
        )
    return stream


def _open_path(text: str, options: ConnectOptions) -> Stream:
    from oneglance.streams.files.images import DEFAULT_RATE, ImageFiles, is_image
    from oneglance.streams.files.video import VideoFile

    path = Path(text)
    rate = Fraction(options.fps).limit_denominator(1001) if options.fps else DEFAULT_RATE
    try:
        there = path.exists()
        bag, topic = (path, None) if there else split_topic(text)
        if bag.exists() and is_bag(bag):
            from oneglance.streams.bags.stream import BagStream

            return BagStream(bag, topic=topic)
    except OSError as error:  # a folder on the way that may not be entered, a name too long
        name = redact_address(text)
        raise SourceUnreadable(f"cannot open {name}: {cause(error)}") from None
    is_pattern = not there and any(c in text for c in "*?[") and not _almost_rendered(text)
    if path.is_dir() or is_pattern:
        return ImageFiles.from_path(path, frame_rate=rate)
    if not there:
        # What is not on the disk may be an address that lacks its scheme.
        raise SourceNotFound(f"no file or folder {redact_address(text)}{_near(path)}")
    if is_image(path):
        return ImageFiles([path], source=text, frame_rate=rate)
    return VideoFile(path, options)


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
