"""Asset names: what every system takes, and a way out for what some do not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_server.errors import InputError
from bridge_server.values.naming import check_asset_name, suggest_asset_name


@pytest.mark.parametrize("name", ["A", "CoffeeCup", "cup_2", "a" * 64, "Console", "COM", "COM10", "Nullable"])
def test_good_names_are_taken_as_they_are(name: str) -> None:
    assert check_asset_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "..", ".", "a/b", "a\\b", "../etc", "a b", " a", "a ", "a.b", "a\n", "a\0b", "\x1b[2J", "_a", "1a", "a-b",
        "Täss", "カップ", "a\u202eb", "a" * 65, "CON", "con", "NUL", "nul.txt", "COM1", "com9.glb", "LPT0", "AUX ",
        "PRN", "C:", "a*", "a?", "a|b", "~", "$HOME", "%PATH%", "a'; DROP TABLE jobs",
    ],
)  # fmt: skip
def test_bad_names_are_refused_with_a_name_that_can_be_used(name: str) -> None:
    with pytest.raises(InputError) as refused:
        check_asset_name(name)
    suggested = refused.value.remedy.split()[1].rstrip(",")
    assert check_asset_name(suggested) == suggested
    assert refused.value.subject.isascii()
    assert refused.value.subject.isprintable()


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("coffee cup (2).png", "CoffeeCup2"),
        ("SM_CoffeeCup.glb", "CoffeeCup"),
        ("C:\\photos\\täßchen.JPG", "Tachen"),
        ("photo.of.a.cup.jpeg", "PhotoOfACup"),
        ("2001 vase.png", "Vase"),
        ("123.png", "Asset"),
        (".png", "Asset"),
        ("", "Asset"),
        ("con.png", "ConAsset"),
        ("カップ.png", "Asset"),
        ("x" * 300 + ".png", "X" + "x" * 63),
    ],
)
def test_names_from_files(file_name: str, name: str) -> None:
    assert suggest_asset_name(file_name) == name


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_every_file_name_gives_a_name_that_can_be_used(file_name: str) -> None:
    name = suggest_asset_name(file_name)
    assert check_asset_name(name) == name
