"""Units in every spelling that files use."""

import pytest

from survey.events.units import factor, normalise


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", ""),
        ("m2", "m2"),
        ("m**2", "m2"),
        ("m^2", "m2"),
        ("cm^(2)", "cm2"),
        ("sr^-1", "sr-1"),
        ("sr^(-1)", "sr-1"),
        ("1/sr", "sr-1"),
        ("1/s/MeV/sr", "s-1 MeV-1 sr-1"),
        ("s^-1 MeV^-1 sr^-1", "s-1 MeV-1 sr-1"),
        ("MeV-1 s-1 sr-1", "MeV-1 s-1 sr-1"),
        ("1 / (MeV s sr)", "MeV-1 s-1 sr-1"),
        ("1/(TeV s sr)", "TeV-1 s-1 sr-1"),
        ("tev", "TeV"),
        ("erg", "erg"),
        ("per something", None),
        ("???", None),
    ],
)
def test_spellings_are_one_unit(text, unit):
    assert normalise(text) == unit


@pytest.mark.parametrize(
    ("unit", "to", "expected"),
    [
        ("GeV", "TeV", 1e-3),
        ("erg", "TeV", 0.62415),
        ("rad", "deg", 57.29578),
        ("cm2", "m2", 1e-4),
        ("deg-2", "sr-1", 3282.806),
    ],
)
def test_units_are_converted(unit, to, expected):
    assert factor(unit, to) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unit", ["s", "", "nonsense"])
def test_units_of_another_kind_are_not_converted(unit):
    assert factor(unit, "TeV") is None
