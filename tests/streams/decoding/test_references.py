"""Images as letters: I refreshes all, O openly, P is a reference, B is none.

Told in decoding order; what is shown before something that is decoded earlier has its time.
"""

from __future__ import annotations

import pytest

from oneglance.streams.decoding.bitstream import CodedFrame, Refresh
from oneglance.streams.decoding.references import FrameLedger, References

IMAGES = {
    "I": CodedFrame(Refresh.FULL),
    "O": CodedFrame(Refresh.OPEN),
    "P": CodedFrame(),
    "B": CodedFrame(is_reference=False),
    "R": CodedFrame(Refresh.GRADUAL, recovery=2),
    "L": CodedFrame(is_reference=False, leads=True),
    "G": CodedFrame(lost_before=1),
}


def damaged(letters: str, *broken: int, times: list[int] | None = None) -> list[int]:
    """Which images are damaged when those of that number are broken."""
    references = References()
    times = times or list(range(len(letters)))
    return [
        number
        for number, letter in enumerate(letters)
        if references.damaged(IMAGES[letter], times[number], broken=number in broken)
    ]


@pytest.mark.parametrize(
    ("letters", "broken", "expected"),
    [
        ("IPPPIPP", 1, [1, 2, 3]),
        ("IPPPIPP", 0, [0, 1, 2, 3]),
        ("IPBBPIP", 2, [2]),
        ("IPPOPP", 1, [1, 2]),
        ("IPPRPPPP", 1, [1, 2, 3, 4]),
        ("IPGPIP", 9, [2, 3]),
        ("IIII", 2, [2]),
    ],
)
def test_damage_lasts_to_the_next_refresh(letters: str, broken: int, expected: list[int]) -> None:
    assert damaged(letters, broken) == expected


def test_what_leads_an_open_refresh_leans_on_both_sides_of_it() -> None:
    # Shown: 0 1 2 3 4 5 6; the leading images 4 and 5 are decoded after the refresh shown at 3.
    letters, times = "IPPOLLP", [0, 1, 2, 5, 3, 4, 6]
    assert damaged(letters, 1, times=times) == [1, 2, 4, 5]
    assert damaged(letters, 3, times=times) == [3, 4, 5, 6]
    assert damaged(letters, times=times) == []


def test_what_leads_an_open_refresh_leans_on_what_was_lost_behind_that() -> None:
    assert damaged("IPOGBP", times=[0, 1, 5, 3, 4, 6]) == [3, 4, 5]


def ledger(**how: object) -> FrameLedger[str]:
    return FrameLedger(References(), period=1.0, **how)  # type: ignore[arg-type]


def reported(found: FrameLedger[str], *, ended: bool = False) -> list[str]:
    """Frames by name, damaged ones with an exclamation mark, lost ones as one alone."""
    return [
        (verdict.frame or "") + "!" * verdict.damaged
        for verdict in found.verdicts(ended=ended)
        if not verdict.is_counted
    ]


def test_a_frame_waits_for_what_it_leans_on_to_be_judged() -> None:
    # Decoded 0 3 1 2; frame 3 turns out damaged only when it comes, after 1 and 2.
    found = ledger()
    entries = [found.enters(IMAGES[k], at) for k, at in zip("IPBB", [0, 3, 1, 2], strict=True)]
    found.comes(entries[0], "0", corrupt=False)
    assert reported(found) == ["0"]
    found.comes(entries[2], "1", corrupt=False)
    found.comes(entries[3], "2", corrupt=False)
    assert reported(found) == []
    found.comes(entries[1], "3", corrupt=True)
    assert reported(found, ended=True) == ["1!", "2!", "3!"]


def test_what_the_decoder_swallows_is_counted_in_its_place() -> None:
    found = ledger()
    letters: list[str] = []
    for number in range(6):
        entry = found.enters(IMAGES["I" if number in (0, 4) else "P"], number)
        if number not in (2, 3):
            found.comes(entry, str(number), corrupt=False)
        letters += reported(found)
    assert [*letters, *reported(found, ended=True)] == ["0", "1", "!", "!", "4", "5"]


def test_frames_whose_packets_were_lost_whole_are_counted_by_the_time_they_leave_empty() -> None:
    found = ledger()
    for letter, at in [("I", 0), ("P", 1), ("G", 4)]:
        found.comes(found.enters(IMAGES[letter], at), str(at), corrupt=False)
    assert reported(found, ended=True) == ["0", "1", "!", "!", "4!"]


def test_a_damaged_frame_that_comes_too_early_is_counted_once_and_those_before_it_too() -> None:
    # A decoder that lacks what it depends on gives it out at once: 3 comes before 1 and 2.
    found = ledger()
    entries = [found.enters(IMAGES[k], at) for k, at in [("I", 0), ("G", 3)]]
    found.comes(entries[0], "0", corrupt=False)
    found.comes(entries[1], "3", corrupt=True)
    letters = reported(found)
    for letter, at in [("B", 1), ("B", 2), ("I", 4)]:
        found.comes(found.enters(IMAGES[letter], at), str(at), corrupt=letter == "B")
        letters += reported(found)
    letters += reported(found, ended=True)
    assert (len(letters), letters[0], letters[-1]) == (5, "0", "4")


def test_frames_that_the_end_cuts_off_are_counted_before_the_one_that_they_lead() -> None:
    def shown(*, is_cut: bool) -> list[str]:
        found = ledger()
        times = [0, 3, 1, 2, 6, 4, 5, 9]
        entries = [found.enters(IMAGES["I"], 0)]
        # B-frames are given out at once, and each other one when the next of its kind comes.
        for letter, at in zip("PBBPBBP", times[1:], strict=True):
            entry = found.enters(IMAGES[letter], at)
            given, at_given = (entry, at) if letter == "B" else (entries[-1], entries[-1].pts)
            if letter == "P":
                entries.append(entry)
            found.comes(given, str(at_given), corrupt=False)
        found.comes(entries[-1], str(times[-1]), corrupt=False)
        if is_cut:
            found.ends_early()
        return reported(found, ended=True)

    whole = ["0", "1", "2", "3", "4", "5", "6"]
    assert shown(is_cut=False) == [*whole, "9"]
    assert shown(is_cut=True) == [*whole, "!", "!", "9"]


def test_a_pause_without_a_loss_is_no_lost_frame() -> None:
    found = ledger()
    for letter, at in [("I", 0), ("P", 1), ("P", 40)]:
        found.comes(found.enters(IMAGES[letter], at), str(at), corrupt=False)
    assert reported(found, ended=True) == ["0", "1", "40"]


def test_a_splice_hours_later_is_no_lost_frame_though_its_counters_were_flagged() -> None:
    found = ledger()
    for letter, at in [("I", 0), ("P", 1), ("I", 400_000), ("P", 400_001)]:
        entry = found.enters(IMAGES[letter], at, near_loss=at > 0)
        found.comes(entry, str(at), corrupt=False)
    assert reported(found, ended=True) == ["0", "1", "400000", "400001"]


@pytest.mark.parametrize(("joins", "expected"), [(True, ["2", "3"]), (False, ["!", "!", "2", "3"])])
def test_what_a_live_source_sent_before_its_first_refresh_is_none_of_ours(
    joins: bool, expected: list[str]
) -> None:
    found = ledger(joins=joins)
    for number, letter in enumerate("PPIP"):
        entry = found.enters(IMAGES[letter], number)
        if number >= 2:
            found.comes(entry, str(number), corrupt=False)
        else:
            found.fails(entry)
    assert reported(found, ended=True) == expected


def test_what_leads_the_first_frame_of_all_was_truncated_and_is_not_counted() -> None:
    found = ledger()
    for letter, at in [("O", 2), ("L", 0), ("L", 1), ("P", 3)]:
        entry = found.enters(IMAGES[letter], at)
        if letter != "L":
            found.comes(entry, str(at), corrupt=False)
    assert reported(found, ended=True) == ["2", "3"]


def test_a_frame_that_does_not_know_its_packet_is_found_by_its_time_or_is_the_next() -> None:
    found = ledger()
    entries = [found.enters(IMAGES[k], at) for k, at in zip("IPB", [0, 2, 1], strict=True)]
    assert found.find(2) is entries[1]
    assert found.find(None) is entries[0]
    for entry in entries:
        found.comes(entry, "", corrupt=False)
    assert found.find(2) is None


def test_times_of_decoding_where_those_of_showing_should_be_cost_no_frame() -> None:
    # Shown in the order 0 2 3 1 5 6 4, with times as they were decoded.
    found, letters = ledger(), []
    entries = [found.enters(IMAGES[letter], at) for at, letter in enumerate("IPBBPBB")]
    for number in (0, 2, 3, 1, 5, 6, 4):
        found.comes(entries[number], str(number), corrupt=False)
        letters += reported(found)
    assert [*letters, *reported(found, ended=True)] == ["0", "2", "3", "1", "5", "6", "4"]


def outage(times: list[int], *, second: str = "G", sure: bool = False) -> list[str]:
    """A frame at 0 and 1, and, after a loss, those of ``times``."""
    found = ledger()
    letters: list[str] = []
    for number, at in enumerate([0, 1, *times]):
        letter = {0: "I", 2: second}.get(number, "P")
        entry = found.enters(IMAGES[letter], at, near_loss=number == 2)
        entry.behind_loss = sure and number == 2
        found.comes(entry, str(at), corrupt=False)
        letters += reported(found)
    return [*letters, *reported(found, ended=True)]


def test_an_outage_of_any_length_is_counted() -> None:
    found = outage([50_000, 50_001, 50_002])
    assert found[:2] == ["0", "1"]
    assert found[2:-3] == ["!"] * (50_000 - 2)
    assert found[-3:] == ["50000!", "50001!", "50002!"]
    assert outage([400_000, 400_001], second="I") == ["0", "1", "400000", "400001"]
    assert len(outage([400_000, 400_001], second="I", sure=True)) == 400_002


def test_a_wrong_time_after_a_loss_is_no_outage() -> None:
    assert len(outage([50_000, 3, 4])) < 60
    assert len(outage([50_000])) == 3  # nothing bears it out
