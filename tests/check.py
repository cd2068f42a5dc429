"""Set up and run everything that CI runs, from nothing but Python and git.

    python3 tests/check.py            # own environment in .venv-check, lint, types, tests, wheel
    python3 tests/check.py --here     # the same in the environment that runs this script
    python3 tests/check.py --fast     # without training, slow tests and the wheel: under 3 minutes
    python3 tests/check.py --lowest   # the light tests with the lowest versions that we allow
    python3 tests/check.py --ray      # the tests on a real Ray: 500 MB, and minutes

Exits with the first failing step's code. Written for the standard library alone.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-check"
ROOMS = ("streams", "models", "perception", "tests")
LIGHT = (
    "setuptools>=77",
    "pytest>=8",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "psutil>=6",
    "onnx>=1.17",
    "pycocotools>=2.0.8",
)
"""What the tests need where there is no torch. Bounded, so that pip says what is in conflict and
does not look for it among packages of ten years."""

LOWEST = ("batch", "eval", "export", "mcap", "mqtt", "openvino", "serve")
"""The extras whose lower bounds ``--lowest`` holds: all that need no torch, but ``rerun``, which
is pinned, ``ray``, which is 500 MB, and ``quantize``, which is these and 300 MB more."""

ABREAST = ("--numprocesses", str(min(4, 2 * (os.cpu_count() or 1))), "--dist", "worksteal")
"""Much of what is not slow waits for cameras that are slow or silent, so two run at a time for each
CPU, four at most."""

FAST = (
    *("-m", "not slow", "--ignore", "models/training", "--ignore", "tests/models/training"),
    *("--ignore", "tests/benchmarks", "--ignore", "tests/faults", *ABREAST),
)
"""What ``--fast`` leaves out: training, benchmarks, the faults of the world and what is slow: 2 min
41 s on two CPUs."""

RAY = ("tests/perception/batch/test_on_ray.py", "tests/perception/batch/test_ray_cluster.py")
"""What needs the extra ``ray``, which is no part of ``dev``: see ``--ray``."""

RTSP_SERVER = ("/usr/bin/python3", str(ROOT / "tests" / "servers" / "rtsp_server_main.py"))
RTSP_PACKAGES = (
    "python3-gi",
    "gir1.2-gst-rtsp-server-1.0",
    "gstreamer1.0-rtsp",
    "gstreamer1.0-plugins-base",
    "gstreamer1.0-plugins-good",
    "gstreamer1.0-plugins-bad",
    "gstreamer1.0-plugins-ugly",
)

TOOLS = {
    "mosquitto": "mosquitto",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}
"""Programs that tests ask for, and Debian's package of each."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--here", action="store_true", help="use the current environment as it is")
    parser.add_argument("--fast", action="store_true", help="no training, no soak, no wheel")
    parser.add_argument("--lowest", action="store_true", help="the lowest versions that we allow")
    parser.add_argument("--ray", action="store_true", help="install Ray, and test on it")
    asked = parser.parse_args()
    if asked.ray:
        _tests_on_ray()
    elif asked.lowest:
        with tempfile.TemporaryDirectory() as folder:
            _tests_with_the_lowest_versions(Path(folder))
    else:
        _everything(is_here=asked.here, is_fast=asked.fast)
    print("\nall checks passed")


def _everything(*, is_here: bool, is_fast: bool) -> None:
    python = Path(sys.executable) if is_here else _environment()
    if not is_here:
        _rtsp_server()
        _tools()
    bin_ = python.parent
    step("format", bin_ / "ruff", "format", "--check", ".")
    step("lint", bin_ / "ruff", "check", ".")
    step("imports", bin_ / "lint-imports")
    step("types", bin_ / "mypy")
    step("types of the tests", bin_ / "mypy", "--config-file", "tests/mypy.ini")
    step("tests", python, "-m", "pytest", "--doctest-modules", *ROOMS, *(FAST if is_fast else ()))
    if not is_here and not is_fast:
        with tempfile.TemporaryDirectory() as folder:
            _tests_against_the_wheel(python, Path(folder))
    ray = subprocess.run([str(python), "-c", "import ray"], capture_output=True, check=False)
    if ray.returncode:
        print("\n== NOT TESTED, for want of Ray (500 MB):", *RAY)
        print("== whoever touches perception/batch runs: python3 tests/check.py --ray")


def _tests_on_ray() -> None:
    """The same rows from a real Ray: local, and a cluster of one node."""
    python = _environment()
    install = ("-m", "pip", "install", "--quiet", "--constraint", "tests/constraints.txt")
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    asked = [each for each in extras["ray"] if not each.startswith("oneglance")]
    step("install Ray", python, *install, *asked)
    step("tests on Ray", python, "-m", "pytest", *RAY)


def _environment() -> Path:
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    step(
        "install",
        *(python, "-m", "pip", "install", "--quiet", "--constraint", "tests/constraints.txt"),
        *("--config-settings", "editable_mode=strict", "--editable", ".[dev,train]"),
    )
    return python


def _rtsp_server() -> None:
    """See that the tests' RTSP server can run: installs it on Debian, where root may."""
    if _can_serve_rtsp():
        return
    may = _installed("RTSP server", RTSP_PACKAGES)
    if not _can_serve_rtsp():
        why = "apt-get could not" if may else "needs root and apt-get to"
        print(f"\n== RTSP server: none, its tests will skip; {why} install", *RTSP_PACKAGES)


def _tools() -> None:
    """See that the programs are there that tests check us with; the same way."""
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if Path("/run/systemd/system").exists():
        missing.clear()  # Debian would start them as services, open to the network
    if missing and not _installed("tools", missing):
        print("\n== tools: some tests will skip; needs root and apt-get to install", *missing)


def _installed(what: str, packages: Sequence[str]) -> bool:
    """Ask Debian's apt-get for packages; False where it is not there or not ours to call."""
    if shutil.which("apt-get") is None or getattr(os, "geteuid", lambda: 1)() != 0:
        return False
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
    for command in (("apt-get", "update", "-qq"), install):
        print(f"\n== {what}: {' '.join(command)}", flush=True)
        subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False)
    return True


def _can_serve_rtsp() -> bool:
    try:
        return subprocess.run(RTSP_SERVER, capture_output=True, check=False).returncode == 0
    except OSError:  # no Python there
        return False


def _tests_against_the_wheel(python: Path, folder: Path) -> None:
    """What users install: the wheel, alone in a light environment, runs and brings no torch."""
    wheel = _wheel(python, folder)
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    strangers = {top for top in tops if top != "oneglance" and not top.endswith(".dist-info")}
    if strangers:
        sys.exit(f"the wheel installs more than oneglance: {sorted(strangers)}")
    light = _light_environment(folder)
    step("light install", light, "-m", "pip", "install", "--quiet", f"{wheel}[eval]", *LIGHT)
    # Only what an installation lacks can fail here; behaviour has been tested above.
    tests = ROOT / "tests"
    left_out = ("--ignore", tests / "faults", "--ignore", tests / "benchmarks", "-m", "not slow")
    quick = (*left_out, "-q", *ABREAST)
    step("tests against the wheel", light, "-m", "pytest", tests, *quick, cwd=folder)


def _tests_with_the_lowest_versions(folder: Path) -> None:
    """Every lower bound of pyproject.toml that users get is one that works."""
    light = _light_environment(folder)
    wheel = _wheel(light, folder)
    lowest = folder / "lowest.txt"
    lowest.write_text("\n".join(_lowest_versions()) + "\n")
    step(
        "lowest versions",
        *(light, "-m", "pip", "install", "--quiet", "--constraint", lowest),
        *(f"{wheel}[{','.join(LOWEST)}]", *LIGHT, "httpx>=0.27"),
    )
    rooms = (ROOT / "tests" / room for room in ("streams", "models", "perception"))
    step("tests with the lowest versions", light, "-m", "pytest", *rooms, "-q", cwd=folder)


def _lowest_versions() -> list[str]:
    """``name==version`` for each requirement of what is installed without torch."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(each for extra in LOWEST for each in extras[extra])]
    found = [re.match(r"([\w.-]+)>=([\w.]+)", requirement) for requirement in asked]
    return [f"{match[1]}=={match[2]}" for match in found if match is not None]


def _wheel(python: Path, folder: Path) -> Path:
    step("wheel", python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ".")
    return next(folder.glob("oneglance-*.whl"))


def _light_environment(folder: Path) -> Path:
    """The interpreter of a new environment in ``folder``."""
    light = folder / "light"
    venv.create(light, with_pip=True)
    return light / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def step(name: str, *command: str | Path, cwd: Path = ROOT) -> None:
    """Run one command; end the script with its exit code when it fails."""
    print(f"\n== {name}: {' '.join(map(str, command))}", flush=True)
    started = time.monotonic()
    code = subprocess.run([str(word) for word in command], cwd=cwd, check=False).returncode
    ending = "ok" if code == 0 else f"failed ({code})"
    print(f"== {name}: {ending}, {time.monotonic() - started:.0f} s", flush=True)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
