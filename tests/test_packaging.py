"""What an installation brings: our packages, typed, with the models, without torch."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest

from oneglance.models import list_zoo
from oneglance.models.zoo import DEFAULT

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
ROOMS = ("models", "perception", "streams")
HEAVY = {"torch", "torchvision", "ultralytics", "tensorflow"}


def name_in(requirement: str) -> str:
    """The distribution that a requirement asks for, in its normal spelling.

    >>> name_in("Opencv_Python>=4.10; python_version > '3'")
    'opencv-python'
    """
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_the_packages_are_the_folders_on_disk() -> None:
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "plugin_package" not in path.parts  # another distribution, to copy
    }
    mapped = SETUPTOOLS["package-dir"]
    assert sorted(mapped.values()) == sorted(folders)
    assert sorted(mapped) == sorted(SETUPTOOLS["packages"])
    for package, folder in mapped.items():
        assert package == "oneglance." + folder.replace("/", ".")
        assert (ROOT / folder / "__init__.py").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_that_it_is_typed(room: str) -> None:
    assert "py.typed" in SETUPTOOLS["package-data"][f"oneglance.{room}"]
    assert resources.files(f"oneglance.{room}").joinpath("py.typed").is_file()


def test_oneglance_itself_is_a_namespace_that_others_may_share() -> None:
    import oneglance

    assert getattr(oneglance, "__file__", None) is None


def test_what_is_installed_is_this_version_with_these_extras() -> None:
    project, installed = PROJECT["project"], metadata.metadata("oneglance")
    assert installed["Version"] == project["version"]
    assert installed["License-Expression"] == "AGPL-3.0-or-later"
    assert installed["Requires-Python"] == ">=3.11"
    assert set(installed.get_all("Provides-Extra") or []) == set(project["optional-dependencies"])
    assert {"eval", "train", "dev"} <= set(project["optional-dependencies"])


def test_the_command_is_installed_under_its_name() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="oneglance")
    assert command.value == "oneglance.perception.cli.main:main"


def test_every_model_of_the_zoo_is_installed_with_its_card() -> None:
    assert DEFAULT in {entry.name for entry in list_zoo()}
    for entry in list_zoo():
        assert entry.path.is_file()
        assert entry.sha256 in entry.card.read_text(encoding="utf-8")


def test_the_light_install_brings_no_torch_not_even_through_others() -> None:
    waiting = [name_in(requirement) for requirement in PROJECT["project"]["dependencies"]]
    brought: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in brought:
            continue
        brought.add(name)
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform
        waiting += [name_in(r) for r in requirements if "extra ==" not in r]
    assert {"numpy", "av", "onnxruntime", "scipy"} <= brought  # scipy comes through supervision
    assert not brought & HEAVY


def test_torch_comes_with_training_alone() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = {name: {name_in(r) for r in requirements} for name, requirements in extras.items()}
    assert "ultralytics" in asked["train"]
    for name, names in asked.items():
        if name not in {"train", "dev"}:
            assert not names & HEAVY, name


def test_the_pages_files_and_the_dashboard_are_installed() -> None:
    folder = ROOT / "perception" / "server"
    installed = resources.files("oneglance.perception.server")
    files = [folder / "grafana.json", *(folder / "static").iterdir()]
    assert len(files) > 5
    for file in files:
        lies = installed.joinpath(*file.relative_to(folder).parts)
        assert lies.read_bytes() == file.read_bytes()
