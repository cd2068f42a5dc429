"""What installed packages offer: found without being imported, loaded when asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oneglance.streams import ConnectOptions, Frame, open_stream
from oneglance.streams.entry_points import (
    GROUPS,
    SINKS,
    SOURCES,
    find_offer,
    list_offers,
    load_offer,
)
from oneglance.streams.errors import UsageError

Package = Callable[..., Path]

STREAM = """
from fractions import Fraction
import numpy as np
from oneglance.streams import Frame

class Counting:
    live = False
    frame_rate = Fraction(10)
    frame_count = 3
    def __init__(self, uri, options):
        self.source, self.options = uri, options
    def __iter__(self):
        for index in range(3):
            image = np.full((48, 64, 3), index, np.uint8)
            yield Frame(image=image, index=index, timestamp_s=index / 10, source=self.source)
    def close(self): pass
    def __enter__(self): return self
    def __exit__(self, *_): self.close()

def nothing(uri, options): return uri
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """``package("mine", {"oneglance.sources": {"count": "mine:Counting"}})`` installs a real one:
    a module and its metadata on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, offers: dict[str, dict[str, str]], code: str = STREAM) -> Path:
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = [
            line
            for group, named in offers.items()
            for line in (f"[{group}]", *(f"{key} = {value}" for key, value in named.items()))
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return tmp_path

    return make


def test_ours_are_registered_as_anyones_are() -> None:
    names = {group: {offer.name for offer in list_offers(group)} for group in GROUPS}
    assert {"rendered", "rtsp", "http", "udp"} <= names[SOURCES]
    assert {"jsonl", "video"} <= names[SINKS]
    for group in GROUPS:
        for offer in list_offers(group):
            if offer.ours and not offer.missing():
                assert callable(offer.load()), offer


def test_a_packages_scheme_opens_its_stream(package: Package) -> None:
    package("mine", {SOURCES: {"count": "mine:Counting"}})
    options = ConnectOptions(timeout_s=3)
    with open_stream("count://here?x=1", options) as stream:
        frames = list(stream)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert all(isinstance(frame, Frame) for frame in frames)
    assert stream.options is options  # type: ignore[attr-defined]


def test_listing_imports_nothing(package: Package) -> None:
    package("mine", {SINKS: {"mine": "mine:Counting"}})
    (offer,) = (each for each in list_offers(SINKS) if each.name == "mine")
    assert (offer.package, offer.version, offer.ours) == ("mine", "1.2", False)
    assert "mine" not in sys.modules


def test_an_unknown_name_is_reported_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown sink 'jsonn'; did you mean 'jsonl'\? \(sinks: "):
        load_offer(SINKS, "jsonn", what="sink")


def test_an_unknown_scheme_is_reported_with_all_there_are(package: Package) -> None:
    package("mine", {SOURCES: {"count": "mine:Counting"}})
    with pytest.raises(UsageError, match=r"'gopher://' is not supported .*rtsp://.*count://"):
        open_stream("gopher://user:secret@host/")


def test_a_package_that_fails_to_import_is_a_sentence_and_hurts_only_itself(
    package: Package,
) -> None:
    package("broken", {SINKS: {"bad": "broken:Sink"}}, code="raise RuntimeError('no luck')")
    sentence = "the plugin bad of broken 1.2 cannot be loaded: RuntimeError: no luck"
    with pytest.raises(UsageError, match=sentence):
        load_offer(SINKS, "bad", what="sink")
    assert callable(load_offer(SINKS, "jsonl", what="sink"))


def test_two_packages_of_one_name_are_an_error_and_ours_wins(package: Package) -> None:
    package("one", {SINKS: {"same": "one:Counting", "jsonl": "one:Counting"}})
    package("two", {SINKS: {"same": "two:Counting"}})
    with pytest.raises(UsageError, match=r"one 1.2 and two 1.2 both offer 'same'"):
        load_offer(SINKS, "same", what="sink")
    offer = find_offer(SINKS, "jsonl")
    assert offer is not None
    assert offer.ours


def test_what_a_source_gives_must_be_a_stream(package: Package) -> None:
    package("mine", {SOURCES: {"none": "mine:nothing"}})
    with pytest.raises(UsageError, match="gave a str, which is no Stream"):
        open_stream("none://x")


def test_a_missing_extra_is_reported_with_the_command_that_installs_it(package: Package) -> None:
    folder = package("mine", {SINKS: {"far": "mine:Counting [net]"}})
    metadata = folder / "mine-1.2.dist-info" / "METADATA"
    extra = 'Provides-Extra: net\nRequires-Dist: no-such-package>=2; extra == "net"\n'
    metadata.write_text(metadata.read_text() + extra)
    with pytest.raises(UsageError, match=r"far needs no-such-package: pip install 'mine\[net\]'"):
        load_offer(SINKS, "far", what="sink")
