"""Tables of backends: what cannot be loaded is an answer with a remedy, never a crash."""

import sys
import types

import pytest

from bridge_server.backends.table import Availability, BackendKind
from bridge_server.errors import BackendUnavailable


class Good:
    """A backend that is there."""

    identity = "good 1"

    @classmethod
    def availability(cls) -> Availability:
        return Availability(available=True, detail="version 1")


class Lacking:
    """A backend whose weights are missing."""

    identity = "lacking 1"

    @classmethod
    def availability(cls) -> Availability:
        return Availability(available=False, detail="no weights.", remedy="Run pull.")


@pytest.fixture
def kind(monkeypatch):
    exploding = types.ModuleType("exploding_backend")
    monkeypatch.setitem(sys.modules, "o3f_test_backends", types.SimpleNamespace(Good=Good, Lacking=Lacking))
    monkeypatch.setitem(sys.modules, "exploding_backend", exploding)
    table = {
        "missing": "no_such_module_here:Thing",
        "classless": "exploding_backend:Thing",
        "lacking": "o3f_test_backends:Lacking",
        "good": "o3f_test_backends:Good",
    }
    return BackendKind(name="toy", table=table, entry_point_group="open3dforge.no_such_group")


@pytest.mark.parametrize(("name", "cause"), [("missing", "cannot import"), ("classless", "has no Thing")])
def test_what_cannot_be_loaded_is_unavailable_with_its_cause(kind, name, cause):
    found = kind.availability(name)
    assert not found.available
    assert cause in found.detail
    assert found.remedy


def test_auto_takes_the_first_that_is_available(kind):
    assert kind.choose("auto") == "good"
    assert isinstance(kind.load("good"), Good)


def test_a_wish_that_cannot_be_met_is_refused_with_the_remedy(kind):
    with pytest.raises(BackendUnavailable, match=r"toy 'lacking': no weights. Run pull"):
        kind.choose("lacking")
    with pytest.raises(BackendUnavailable, match=r"unknown name. Known: missing, classless, lacking, good"):
        kind.choose("nonsense")


def test_auto_with_nothing_available_names_every_cause():
    kind = BackendKind(name="toy", table={"a": "no_such_a:X", "b": "no_such_b:Y"}, entry_point_group="none")
    with pytest.raises(BackendUnavailable, match=r"a: cannot import.*b: cannot import"):
        kind.choose("auto")
