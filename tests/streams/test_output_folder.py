"""Folders that are ours alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from oneglance.streams.errors import DataError, SinkError
from oneglance.streams.output_folder import MADE, MARK, OutputFolder
from present import present
from trees import tree


def fill(place: OutputFolder, *names: str) -> None:
    place.claim()
    with place.making() as made:
        for name in names:
            file = made(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("ours")


@pytest.mark.parametrize("name", ["new", "new/below/that", "empty"])
def test_a_folder_that_is_new_or_empty_becomes_ours(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    place = OutputFolder(tmp_path / name, "train")
    place.check()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty"]  # a check writes nothing
    place.claim()
    assert '"made_by": "oneglance train"' in (tmp_path / name / MARK).read_text()
    OutputFolder(tmp_path / name, "train").claim()  # and stays so


def with_a_file(out: Path) -> None:
    out.mkdir()
    (out / "notes.txt").write_text("mine")


def with_a_folder(out: Path) -> None:
    (out / "data").mkdir(parents=True)


def a_link_to_a_full_one(out: Path) -> None:
    with_a_file(out.parent / "elsewhere")
    out.symlink_to(out.parent / "elsewhere")


def a_link_to_nothing(out: Path) -> None:
    out.symlink_to(out.parent / "gone")


def of_another_command(out: Path) -> None:
    OutputFolder(out, "render").claim()


def with_a_mark_that_is_a_link(out: Path) -> None:
    out.mkdir()
    (out.parent / "mark").write_text("{}")
    (out / MARK).symlink_to(out.parent / "mark")


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file in it": (with_a_file, r"holds what oneglance did not make \(notes.txt\)"),
    "a folder in it": (with_a_folder, r"holds what oneglance did not make \(data\)"),
    "a file": (lambda out: out.write_text("mine"), "it is a file"),
    "a link to a full folder": (a_link_to_a_full_one, "holds what oneglance did not make"),
    "a link to nothing": (a_link_to_nothing, "a link that leads nowhere"),
    "another command's": (of_another_command, "was made by 'oneglance render'"),
    "a linked mark": (with_a_mark_that_is_a_link, "holds what oneglance did not make"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    make, sentence = FOREIGN[kind]
    out = tmp_path / "out"
    make(out)
    before = tree(tmp_path)
    for act in ("check", "claim", "clear"):
        with pytest.raises(SinkError, match=sentence):
            getattr(OutputFolder(out, "train"), act)()
    assert tree(tmp_path) == before


def test_below_a_file_nothing_can_lie(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(SinkError, match="what it should lie in is no folder"):
        OutputFolder(tmp_path / "file" / "out", "train").claim()
    assert tree(tmp_path) == before


def test_a_name_that_is_too_long_makes_none_of_the_folders_above_it(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="longer than the file system allows"):
        OutputFolder(tmp_path / "a" / "b" / ("x" * 300), "train").claim()
    assert tree(tmp_path) == {}


def test_what_is_read_may_not_lie_where_we_write(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    place.claim()
    (tmp_path / "out" / "base.pt").write_text("weights")
    (tmp_path / "link.pt").symlink_to(tmp_path / "out" / "base.pt")
    place.check([tmp_path / "other.pt"])
    for base in (tmp_path / "out" / "base.pt", tmp_path / "link.pt"):
        with pytest.raises(SinkError, match=r"\.pt, which is read, lies in it"):
            place.check([base])


def test_clearing_removes_what_we_made_and_the_folder(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    fill(place, "a.txt", "deep/er/b.txt")
    place.clear()
    assert tree(tmp_path) == {}
    place.clear()  # nothing left to do
    fill(place, "a.txt")


def test_clearing_beside_a_file_of_the_users_removes_nothing(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    fill(place, "a.txt", "deep/b.txt")
    for name in ("deep/notes.txt", "raw/notes.txt", "link"):
        mine = tmp_path / "out" / name
        mine.parent.mkdir(exist_ok=True)
        mine.symlink_to(tmp_path) if name == "link" else mine.write_text("mine")
        before = tree(tmp_path)
        with pytest.raises(SinkError, match=r"did not make .*nothing was removed: move it"):
            place.clear()
        assert tree(tmp_path) == before
        mine.unlink()
        if name.startswith("raw"):
            mine.parent.rmdir()
    place.clear()


def test_clearing_follows_no_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "keep.txt").write_text("mine")
    place = OutputFolder(tmp_path / "out", "train")
    place.claim()
    with place.making() as made:
        made("folder").symlink_to(tmp_path / "mine")
        made("file").symlink_to(tmp_path / "mine" / "keep.txt")
    place.clear()
    assert (tmp_path / "mine" / "keep.txt").read_text() == "mine"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_clearing_that_was_killed_is_done_again(tmp_path: Path, kept: int) -> None:
    place = OutputFolder(tmp_path / "out", "train")
    fill(place, "a", "deep/b", "deep/c")
    for name in ("a", "deep/b", "deep/c")[kept:]:
        (tmp_path / "out" / name).unlink()
    with (tmp_path / "out" / MADE).open("a") as record:
        record.write('"torn')
    place.clear()
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", [MADE, ".oneglance-0123456789ab.part"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_link_with_a_name_of_ours_is_not_ours(tmp_path: Path, name: str, is_marked: bool) -> None:
    if is_marked:
        OutputFolder(tmp_path / "out", "train").claim()
    else:
        (tmp_path / "out").mkdir()
    (tmp_path / "his").write_text('"keep"\n')
    for file in ("keep", name):
        (tmp_path / "out" / file).symlink_to(tmp_path / "his")
    before = tree(tmp_path)
    place = OutputFolder(tmp_path / "out", "train")
    with pytest.raises(SinkError, match="holds what oneglance did not make"):
        place.refill(words("new.txt"))
    with pytest.raises(SinkError, match="holds what oneglance did not make"):
        place.clear()
    assert tree(tmp_path) == before


def test_what_a_claim_left_that_was_killed_is_removed_by_the_next(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from oneglance.streams.output_folder import OutputFolder\n"
        "sys.addaudithook(lambda event, _: os._exit(9) if event == 'os.rename' else None)\n"
        f"OutputFolder({str(tmp_path / 'out')!r}, 'train').claim()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert len(tree(tmp_path / "out")) == 1
    OutputFolder(tmp_path / "out", "train").claim()
    assert list(tree(tmp_path / "out")) == [MARK]


def test_a_claim_that_was_not_used_leaves_nothing(tmp_path: Path) -> None:
    place = OutputFolder(tmp_path / "a" / "b", "train")
    place.claim()
    place.release()
    assert tree(tmp_path) == {}
    place.claim()
    place.write("file", "used")
    place.release()
    assert (tmp_path / "a" / "b" / MARK).is_file()


def words(*names: str) -> Iterator[tuple[str, str]]:
    yield from ((name, f"new {name}") for name in names)


def then(files: Iterator[tuple[str, str]], ending: Callable[[], None]) -> Iterator[tuple[str, str]]:
    yield from files
    ending()


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_what_is_filled_again_holds_the_new_files_alone(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    assert OutputFolder(out, "convert").refill(words("a.txt", "b/c.txt", "b/d.txt")) == 3
    assert OutputFolder(out, "convert").refill(words("b/c.txt", "e.txt")) == 2
    assert sorted(tree(out)) == [MARK, MADE, "b", "b/c.txt", "e.txt"]
    assert (out / "e.txt").read_text() == "new e.txt"


def test_a_name_that_was_ours_once_is_the_users_afterwards(tmp_path: Path) -> None:
    OutputFolder(tmp_path / "out", "convert").refill(words("a.txt"))
    OutputFolder(tmp_path / "out", "convert").refill(words("b.txt"))
    (tmp_path / "out" / "a.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(SinkError, match=r"did not make \(a\.txt\); nothing was removed"):
        OutputFolder(tmp_path / "out", "convert").refill(words("c.txt"))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("error", [DataError("line 9"), KeyboardInterrupt(), OSError(28, "full")])
@pytest.mark.parametrize("place", ["out", "empty", "new/below"])
def test_what_cannot_be_filled_to_the_end_is_as_it_was(
    tmp_path: Path, place: str, error: BaseException
) -> None:
    OutputFolder(tmp_path / "out", "convert").refill(words("a.txt", "b/c.txt"))
    (tmp_path / "empty").mkdir()
    before = tree(tmp_path)
    expected = SinkError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        OutputFolder(tmp_path / place, "convert").refill(then(words("a.txt"), failing(error)))
    after = tree(tmp_path)
    notes = f"out/{MADE}"
    del after[notes], before[notes]  # what was tried is noted there
    assert after == before
    OutputFolder(tmp_path / place, "convert").refill(words("d.txt"))
    assert sorted(tree(tmp_path / place)) == [MARK, MADE, "d.txt"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
@pytest.mark.parametrize("is_new", [True, False])
def test_a_filling_that_is_killed_leaves_no_half_and_the_next_one_is_whole(
    tmp_path: Path, is_new: bool
) -> None:
    out = tmp_path / "out"
    if not is_new:
        OutputFolder(out, "convert").refill(words("a.txt", "b/c.txt"))
    program = (
        "import os\n"
        "from oneglance.streams.output_folder import OutputFolder\n"
        "def files():\n"
        "    yield from (('a.txt', 'half'), ('b/c.txt', 'half'))\n"
        "    os._exit(9)\n"
        f"OutputFolder({str(out)!r}, 'convert').refill(files())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 9
    seen = {name for name in tree(out) if not name.startswith(".oneglance.")}
    assert seen == (set() if is_new else {"a.txt", "b", "b/c.txt"})
    assert is_new or (out / "a.txt").read_text() == "new a.txt"
    OutputFolder(out, "convert").refill(words("e.txt"))
    assert sorted(tree(out)) == [MARK, MADE, "e.txt"]


AT_ONCE = """
import sys
from pathlib import Path
from oneglance.streams.errors import SinkError
from oneglance.streams.output_folder import OutputFolder

root, name = Path(sys.argv[1]), sys.argv[2]
for line in sys.stdin:  # both runs get it at the same moment
    number = line.strip()
    mine = OutputFolder(root / number / "below" / name, "train")
    both = OutputFolder(root / number / "same" / "out", "train")
    unused = OutputFolder(root / number / "unused" / name, "train")
    mine.claim()
    mine.write("file", name)
    unused.claim()
    unused.release()
    try:
        both.claim()
        both.write("file", name)
        print("claimed", flush=True)
    except SinkError as error:
        print(error, flush=True)
    mine.release()
"""


@pytest.mark.skipif(os.name == "nt", reason="needs locks")
def test_runs_that_begin_at_the_same_moment_each_have_their_folder(tmp_path: Path) -> None:
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", AT_ONCE, str(tmp_path), name],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for name in ("a", "b")
        ]
        for number in range(60):
            for run in runs:
                present(run.stdin).write(f"{number}\n")
                present(run.stdin).flush()
            said = [present(run.stdout).readline().strip() for run in runs]
            refused = [line for line in said if line != "claimed"]
            assert len(refused) < 2
            assert all(line.endswith("give another folder") for line in refused), refused
            made = tree(tmp_path / str(number))
            assert {"below/a/file", "below/b/file", "same/out/file"} <= made.keys()
            assert not any(path.startswith("unused/") for path in made)
    assert [run.returncode for run in runs] == [0, 0]


COMING_AND_GOING = """
import sys, time
from pathlib import Path
from oneglance.streams.errors import SinkError
from oneglance.streams.output_folder import OutputFolder

ends_s = time.monotonic() + 2
said = set()
while time.monotonic() < ends_s:
    place = OutputFolder(Path(sys.argv[1]), "train")
    try:
        place.claim()
        place.release()
    except SinkError as error:
        said.add(str(error))
print(*said, sep="\\n")
"""


@pytest.mark.skipif(os.name == "nt", reason="needs locks")
def test_a_folder_that_another_run_takes_back_is_new_or_that_run_s(tmp_path: Path) -> None:
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", COMING_AND_GOING, str(tmp_path / "below" / "out")],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        said = {line for run in runs for line in present(run.stdout).read().splitlines()}
    assert all("another run writes to it" in line for line in said - {""}), said


@pytest.mark.parametrize("left", ['"b', '"b/c.t', '"'])
def test_a_note_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path, left: str) -> None:
    out = tmp_path / "out"
    fill(OutputFolder(out, "train"), "a.txt")
    with (out / MADE).open("a") as notes:
        notes.write(left)
    fill(OutputFolder(out, "train"), "b.txt", "c.txt")
    OutputFolder(out, "train").clear()
    assert not out.exists()
