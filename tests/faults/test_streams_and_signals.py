"""Standard streams that are closed, full or of another alphabet, and signals at bad moments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from media import make_tracks, make_video
from oneglance.perception.cli.signals import CLOSE_S
from oneglance.streams import shutdown
from program import COMMAND, Program, content, lines_of, start
from waiting import wait_until

FRAMES = 4

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
pytestmark = posix


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "drive.mp4", frames=FRAMES)


def shell(redirect: str, *words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """``oneglance WORDS REDIRECT`` in a shell."""
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirect}', "sh", *COMMAND, *map(str, words)],
        check=False,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=100,
    )


@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_a_closed_or_full_stream_does_not_decide_a_run(
    clip: Path, model: Path, tmp_path: Path, redirect: str
) -> None:
    if "full" in redirect and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    out, summary = tmp_path / "out.jsonl", tmp_path / "summary.json"
    done = shell(redirect, "run", clip, "--model", model, "--jsonl", out, "--json-summary", summary)
    assert done.returncode == 0, done.stderr
    assert len(lines_of(out)) == FRAMES
    assert json.loads(summary.read_text())["frames"] == FRAMES


@pytest.mark.parametrize("option", ["--jsonl", "--json-summary"])
def test_json_for_a_closed_standard_output_is_refused_before_the_work(
    clip: Path, model: Path, option: str
) -> None:
    done = shell(">&-", "run", clip, "--model", model, option, "-")
    assert done.returncode == 2
    [said] = done.stderr.decode().splitlines()  # and no table of a run
    assert said == "error: there is no standard output here: name a file instead of '-'"


@pytest.mark.parametrize("words", [("--help",), ("run", "-h")])
def test_help_whose_reader_has_gone_is_no_failure(words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [*COMMAND, *words], check=False, stdout=pipe, stderr=subprocess.PIPE, timeout=100
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("alphabet", ["cp1252", "ascii"])
@pytest.mark.parametrize("name", ["ドライブ.mp4", "füße.mp4"])
def test_a_name_that_the_terminal_s_alphabet_lacks_does_not_decide_a_run(
    clip: Path, model: Path, tmp_path: Path, alphabet: str, name: str
) -> None:
    clip = clip.rename(tmp_path / name)
    summary = tmp_path / "summary.json"
    done = shell(
        "", "run", clip, "--model", model, "--json-summary", summary, PYTHONIOENCODING=alphabet
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(summary.read_text())["source"].endswith(name)
    failed = shell("", "run", tmp_path / f"no{name}", PYTHONIOENCODING=alphabet)
    assert failed.returncode == 2
    assert b"error: no file or folder" in failed.stderr


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
@pytest.mark.parametrize("redirect", [">", ">>"])
def test_every_name_of_standard_output_is_standard_output(
    clip: Path, model: Path, tmp_path: Path, name: str, redirect: str
) -> None:
    if not (name == "-" or Path(name).exists()):
        pytest.skip(f"needs {name}")
    out = tmp_path / "out.jsonl"
    out.write_text('{"mine": 1}\n')
    done = shell(f'{redirect} "{out}"', "run", clip, "--model", model, "--jsonl", name)
    assert done.returncode == 0, done.stderr
    lines = lines_of(out)
    assert len(lines) == FRAMES + (redirect == ">>")
    assert (lines[0] == {"mine": 1}) is (redirect == ">>")
    assert b"drive.mp4" in done.stderr  # the table


def test_a_file_that_standard_output_is_appended_to_is_not_emptied(
    clip: Path, model: Path, tmp_path: Path
) -> None:
    out, link = tmp_path / "out.jsonl", tmp_path / "link"
    out.write_text('{"mine": 1}\n')
    link.symlink_to(out)
    done = shell(f'>> "{out}"', "run", clip, "--model", model, "--jsonl", link)
    assert done.returncode == 0, done.stderr
    assert len(lines_of(out)) == FRAMES + 1


OUTPUTS = ("--jsonl", "--json-summary", "--sink=csv:", "--sink=coco:")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize("option", OUTPUTS)
@pytest.mark.parametrize(
    ("redirect", "name"),
    [("2>>", "/dev/stderr"), ("3>>", "/dev/fd/3"), ("3>>", "link"), ("2>>", "log")],
)
def test_a_file_that_is_open_already_keeps_what_it_holds(
    clip: Path, model: Path, tmp_path: Path, option: str, redirect: str, name: str
) -> None:
    log, link = tmp_path / "log", tmp_path / "link"
    log.write_text("mine\n")
    link.symlink_to("/dev/fd/3")
    target = {"link": link, "log": log}.get(name, name)
    words = [f"{option}{target}"] if option.endswith(":") else [option, target]
    done = shell(f'{redirect} "{log}"', "run", clip, "--model", model, *words)
    assert done.returncode == 0, done.stderr
    kept = log.read_text()
    assert kept.startswith("mine\n")
    assert '"frame' in kept or "source,frame" in kept


@pytest.mark.parametrize("option", [*OUTPUTS, "--video"])
def test_a_circle_of_links_is_reported(
    oneglance: Program, clip: Path, model: Path, tmp_path: Path, option: str
) -> None:
    one, other = tmp_path / "one.mp4", tmp_path / "other.mp4"
    one.symlink_to(other)
    other.symlink_to(one)
    words = [f"{option}{one}"] if option.endswith(":") else [option, one]
    ended = oneglance("run", clip, "--model", model, *words)
    assert (ended.code, ended.message) == (2, f"cannot write {one}: its links lead in a circle")
    assert one.is_symlink()


def test_the_summary_may_go_to_standard_output(clip: Path, model: Path, tmp_path: Path) -> None:
    done = shell("", "run", clip, "--model", model, "--json-summary", "-")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == FRAMES
    assert not Path("-").exists()


def test_standard_output_takes_one_output(oneglance: Program, clip: Path, model: Path) -> None:
    words = ("--jsonl", "-", "--json-summary", "/dev/stdout")
    ended = oneglance("run", clip, "--model", model, *words)
    assert (ended.code, ended.message) == (2, "standard output is given for two outputs")


@pytest.mark.parametrize("option", ["--jsonl", "--json-summary"])
def test_a_link_to_nowhere_is_reported(
    oneglance: Program, clip: Path, model: Path, tmp_path: Path, option: str
) -> None:
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "nowhere" / "file")
    ended = oneglance("run", clip, "--model", model, option, link)
    assert ended.code == 2
    assert "it is a link to nowhere" in ended.message
    assert link.is_symlink()


def test_two_links_to_a_file_that_is_not_there_yet_are_one_file(
    oneglance: Program, clip: Path, model: Path, tmp_path: Path
) -> None:
    words = []
    for option in ("--jsonl", "--json-summary"):
        link = tmp_path / option
        link.symlink_to(tmp_path / "new")
        words += [option, link]
    ended = oneglance("run", clip, "--model", model, *words)
    assert ended.code == 2
    assert "two outputs" in ended.message


@pytest.mark.parametrize("kind", ["symlink_to", "hardlink_to"])
def test_two_outputs_that_are_one_file_are_refused(
    oneglance: Program, clip: Path, model: Path, tmp_path: Path, kind: str
) -> None:
    one, other = tmp_path / "a.jsonl", tmp_path / "b.json"
    one.write_text("mine")
    getattr(other, kind)(one)
    ended = oneglance("run", clip, "--model", model, "--jsonl", one, "--json-summary", other)
    assert ended.code == 2
    assert "two outputs" in ended.message
    assert one.read_text() == "mine"


@pytest.mark.parametrize("name", ["trip[/front].mp4", "[bold]x.mp4", "[red]", "a\\[b].mp4"])
def test_signs_of_markup_in_a_name_are_its_letters(
    oneglance: Program, clip: Path, model: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    clip.rename(path)
    ended = oneglance("run", path, "--model", model)
    assert ended.code == 0, ended.err
    assert name in ended.out
    ended = oneglance("run", tmp_path / f"no{name}", "--model", model)
    assert name in ended.message


def test_one_video_of_several_is_chosen_on_the_command_line(
    oneglance: Program, tmp_path: Path, model: Path
) -> None:
    cameras = make_tracks(tmp_path / "cameras.mkv", sizes=[(64, 48), (96, 64)])
    words = ("run", cameras, "--model", model, "--jsonl", "-")
    ended = oneglance(*words, "--stream", 0)
    assert ended.code == 0, ended.err
    assert len(lines_of(ended.out)) == 3
    ended = oneglance(*words, "--stream", 7)
    assert ended.code == 2
    assert "videos: 0: 64x48 h264, 1: 96x64 h264" in ended.message


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGXCPU])
def test_every_polite_end_leaves_whole_files(model: Path, tmp_path: Path, number: int) -> None:
    out, video, summary = (tmp_path / name for name in ("a.jsonl", "a.mp4", "a.json"))
    running = start(
        *("run", "rendered:?frames=100000", "--model", model, "--mode", "recorded"),
        *("--jsonl", out, "--video", video, "--json-summary", summary),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: content(out).count(b"\n") >= 5 or running.poll() is not None)
    running.send_signal(number)
    time.sleep(0.05)  # two signals at once are one; any moment of what it does then
    running.send_signal(signal.SIGINT)  # who is impatient
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said.decode().splitlines() == ["interrupted: outputs are closed and valid"]
    count = len(lines_of(out))
    assert json.loads(summary.read_text())["frames"] >= 5
    with av.open(str(video)) as played:
        assert 5 <= sum(1 for _ in played.decode(video=0)) <= count


def check_interrupted(program: str, model: Path) -> None:
    """That a run, of a program that is sent SIGINT, ends by it, in one sentence."""
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "rendered:?frames=5000", "--model", str(model)],
        check=False,
        capture_output=True,
        timeout=100,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert done.returncode == 130, done.stderr
    [said] = done.stderr.decode().splitlines()
    assert said.startswith("interrupted")


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_ctrl_c_while_the_program_starts_ends_it_in_one_sentence(
    clip: Path, model: Path, after_s: float
) -> None:
    program = f"""
import os, signal, threading, time
from oneglance.perception.cli.main import main
def interrupt():
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        time.sleep(0.001)  # until signals are ours
    time.sleep({after_s})  # any moment of the start
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
main()
"""
    check_interrupted(program, model)


_SWALLOWERS = {
    "an except that takes everything": """
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)  # interrupted
    except:
        pass""",
    "a finalizer": """
    class Closing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)  # interrupted
    Closing()""",
    "C code": """
    class Key(str):
        def __eq__(self, other):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)  # interrupted
        def __hash__(self):
            return hash("metadata")
    ctypes.pythonapi.PyDict_GetItem.argtypes = [ctypes.py_object] * 2
    ctypes.pythonapi.PyDict_GetItem.restype = ctypes.c_void_p
    ctypes.pythonapi.PyDict_GetItem({Key("key"): 1}, "metadata")""",
}


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("swallower", _SWALLOWERS)
def test_ctrl_c_that_a_library_drops_ends_the_program_all_the_same(
    model: Path, swallower: str
) -> None:
    program = f"""
import ctypes, os, signal, sys, time
from oneglance.perception.cli.main import main
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            sys.meta_path.remove(self)
            swallow()
def swallow():{_SWALLOWERS[swallower]}
sys.meta_path.insert(0, Finder())
main()
"""
    check_interrupted(program, model)


def test_signals_are_handled_before_anything_slow_is_imported() -> None:
    program = "import sys; from oneglance.perception.cli.main import main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    )
    slow = {"numpy", "logging", "dataclasses", "email", "importlib.metadata", "typer"}
    assert not slow & set(done.stdout.split())


def test_the_patience_of_signals_is_that_of_closing() -> None:
    assert CLOSE_S == shutdown.CLOSE_S


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["models"], 0), (["run", "rendered:?frames=1"], 2)]
)
def test_without_the_screen_s_libraries_opencv_is_reported_in_one_sentence(
    tmp_path: Path, words: list[str], code: int
) -> None:
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')"
    )
    done = shell("", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == code, done.stderr
    said = done.stderr.decode()
    assert "Traceback" not in said
    if code:
        assert said.startswith("error: OpenCV cannot be imported (libGL.so.1: cannot open shared")
        assert "opencv-python-headless" in said
