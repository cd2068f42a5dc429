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
    blamed_for,
    find_offer,
    list_offers,
    list_unreadable,
    load_offer,
    offer_of,
)
from oneglance.streams.errors import SourceNotFound, UsageError

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


def test_a_package_that_ends_the_program_at_import_is_a_sentence(package: Package) -> None:
    package("ends", {SINKS: {"bad": "ends:Sink"}}, code="import sys; sys.exit(3)")
    with pytest.raises(UsageError, match=r"bad of ends 1\.2 cannot be loaded: it asks the program"):
        load_offer(SINKS, "bad", what="sink")


def test_what_a_package_says_when_it_fails_is_one_line_without_credentials(
    package: Package,
) -> None:
    code = "raise RuntimeError('\\x1b[31mred\\nrtsp://me:secret@host/')"
    package("loud", {SINKS: {"bad": "loud:Sink"}}, code=code)
    with pytest.raises(UsageError) as raised:
        load_offer(SINKS, "bad", what="sink")
    assert str(raised.value).endswith("RuntimeError: [31mred rtsp://***@host/")


@pytest.mark.parametrize(
    "value", ["mine:Counting:more", "", "../../etc:x", "mine Counting", "mine:"]
)
def test_an_entry_point_that_names_nothing_is_a_sentence(value: str, package: Package) -> None:
    package("mine", {SINKS: {"bad": value}})
    with pytest.raises(UsageError, match=r"bad of mine 1\.2 cannot be loaded: .*no MODULE:NAME"):
        load_offer(SINKS, "bad", what="sink")


def test_what_cannot_be_called_offers_nothing(package: Package) -> None:
    package("mine", {SINKS: {"bad": "mine:VALUE"}}, code="VALUE = 1")
    with pytest.raises(UsageError, match="cannot be loaded: mine:VALUE cannot be called"):
        load_offer(SINKS, "bad", what="sink")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def f(*a): raise ValueError('boom')", "ValueError: boom"),
        ("def f(*a): raise SystemExit(0)", "it asks the program to end"),
        ("def f(): pass", "TypeError: f.. takes 0 positional arguments"),
    ],
)
def test_a_package_that_fails_while_it_opens_is_blamed_by_name(
    code: str, why: str, package: Package
) -> None:
    package("mine", {SOURCES: {"fails": "mine:f"}}, code=code)
    with pytest.raises(UsageError, match=f"the plugin fails of mine 1.2 cannot be used: {why}"):
        open_stream("fails://x")


def test_what_a_package_raises_on_purpose_is_left_as_it_is(package: Package) -> None:
    code = (
        "from oneglance.streams.errors import SourceNotFound\n"
        "def f(*a): raise SourceNotFound('no such lidar')"
    )
    package("mine", {SOURCES: {"lidar": "mine:f"}}, code=code)
    with pytest.raises(SourceNotFound, match=r"^no such lidar$"):
        open_stream("lidar://x")


DAMAGES = {
    "a line that is no entry point": b"[oneglance.sinks]\nno entry point\n",
    "not UTF-8": b"[oneglance.sinks]\nb\xffd = broken:f\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_package_whose_entry_points_are_damaged_hurts_only_itself(
    damage: str, package: Package
) -> None:
    folder = package("broken", {})
    (folder / "broken-1.2.dist-info" / "entry_points.txt").write_bytes(DAMAGES[damage])
    package("mine", {SOURCES: {"count": "mine:Counting"}})
    assert callable(load_offer(SINKS, "jsonl", what="sink"))
    with open_stream("count://x") as stream:
        assert len(list(stream)) == 3
    (found,) = list_unreadable()
    assert found.package == "broken 1.2"
    assert found.why
    with pytest.raises(UsageError, match=r"unknown sink 'bad' .*broken 1\.2 may offer cannot be"):
        load_offer(SINKS, "bad", what="sink")


def test_nothing_is_unreadable_as_a_rule() -> None:
    assert list_unreadable() == ()


@pytest.mark.parametrize("text", [None, b"Metadata-Version: 2.1\n", b"Name: x\xff\n"])
def test_a_package_without_metadata_that_can_be_read_is_used_all_the_same(
    text: bytes | None, package: Package
) -> None:
    folder = package("mine", {SOURCES: {"count": "mine:Counting [net]"}})
    metadata = folder / "mine-1.2.dist-info" / "METADATA"
    metadata.unlink()
    if text is not None:
        metadata.write_bytes(text)
    with open_stream("count://x") as stream:
        assert len(list(stream)) == 3
    assert [offer.name for offer in list_offers(SOURCES) if offer.package == "oneglance"]


def test_extras_that_ask_for_one_another_end(package: Package) -> None:
    folder = package("mine", {SINKS: {"far": "mine:Counting [a]"}})
    metadata = folder / "mine-1.2.dist-info" / "METADATA"
    circle = "".join(
        f'Provides-Extra: {one}\nRequires-Dist: mine[{other}]; extra == "{one}"\n'
        for one, other in ("ab", "ba")
    )
    metadata.write_text(metadata.read_text() + circle)
    assert callable(load_offer(SINKS, "far", what="sink"))


def test_who_raised_an_error_is_known_by_where_it_came_from(package: Package) -> None:
    code = "import json\ndef fails(*a): json.loads('{')\ndef calls(f): f()"
    package("mine", {SINKS: {"bad": "mine:fails"}}, code=code)
    fails = offer_of(SINKS, "bad", what="sink").load()
    with pytest.raises(ValueError, match="Expecting") as raised:
        fails()
    blame = blamed_for(raised.value)
    assert blame is not None
    assert blame.startswith("the plugin bad of mine 1.2 failed: JSONDecodeError: Expecting")
    with pytest.raises(UsageError) as ours:
        sys.modules["mine"].calls(lambda: load_offer(SINKS, "nothing", what="sink"))
    assert blamed_for(ours.value) is None


def test_a_frame_that_a_package_makes_of_no_image_is_its_own_fault(package: Package) -> None:
    code = STREAM.replace("(48, 64, 3)", "(48, 64)")
    package("mine", {SOURCES: {"count": "mine:Counting"}}, code=code)
    with open_stream("count://x") as stream, pytest.raises(ValueError, match="H×W×3") as raised:
        list(stream)
    assert "the plugin count of mine 1.2 failed: ValueError" in str(blamed_for(raised.value))


def test_a_stream_without_a_name_is_refused(package: Package) -> None:
    code = STREAM.replace("self.source, self.options = uri", "self.source, self.options = None")
    package("mine", {SOURCES: {"count": "mine:Counting"}}, code=code)
    with pytest.raises(UsageError, match="whose source is no name but a NoneType"):
        open_stream("count://x")
