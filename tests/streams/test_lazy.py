"""A package's names that are imported when somebody asks for them."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from oneglance.streams.lazy import lazy_names


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("a_lazy_package")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    get, names = lazy_names(made.__name__, {"Fraction": "fractions", "missing": "fractions"})
    vars(made).update(__getattr__=get, __dir__=names)
    return made


def test_a_name_is_imported_when_it_is_asked_for_and_stays(package: ModuleType) -> None:
    from fractions import Fraction

    assert "Fraction" not in vars(package)
    assert package.Fraction is Fraction
    assert vars(package)["Fraction"] is Fraction


def test_all_names_are_listed_before_they_are_imported(package: ModuleType) -> None:
    assert {"Fraction", "missing", "__name__"} <= set(dir(package))


@pytest.mark.parametrize("name", ["nothing", "missing"])
def test_a_name_that_is_not_there_is_an_attribute_error(package: ModuleType, name: str) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(package, name)
