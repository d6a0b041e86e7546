"""The forms of response tables in GADF: their columns, axes and the names that files give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from survey.events.fits_file import Header
from survey.events.fits_table import BinaryTable
from survey.events.problems import Report


@dataclass(frozen=True)
class Form:
    """What a form of response consists of.

    Parameters
    ----------
    columns : mapping of str to str
        Columns of values, and the unit that the format gives them.
    axes : tuple of str
        Stems of the columns of its axes, in the order of the format.
    energy : str
        Name of the energy axis.
    alternative : tuple of str
        Another order of the axes that is in use, first dimension fastest.
    """

    columns: Mapping[str, str]
    axes: tuple[str, ...]
    energy: str = "energy_true"
    alternative: tuple[str, ...] = field(default=())


GAUSS = {"SCALE": "sr-1", "SIGMA_1": "deg", "AMPL_2": "", "SIGMA_2": "deg", "AMPL_3": "", "SIGMA_3": "deg"}
BKG_UNIT = "s-1 MeV-1 sr-1"
FORMS: Mapping[str, Form] = {
    "aeff_2d": Form({"EFFAREA": "m2"}, ("ENERG", "THETA")),
    "edisp_2d": Form({"MATRIX": ""}, ("ENERG", "MIGRA", "THETA")),
    "psf_table": Form({"RPSF": "sr-1"}, ("ENERG", "THETA", "RAD")),
    "psf_3gauss": Form(GAUSS, ("ENERG", "THETA")),
    "psf_king": Form({"GAMMA": "", "SIGMA": "deg"}, ("ENERG", "THETA")),
    "bkg_2d": Form({"BKG": BKG_UNIT}, ("ENERG", "THETA"), "energy", ("THETA", "ENERG")),
    "bkg_3d": Form({"BKG": BKG_UNIT}, ("ENERG", "DETX", "DETY"), "energy", ("DETY", "DETX", "ENERG")),
    "rad_max_2d": Form({"RAD_MAX": "deg"}, ("ENERG", "THETA"), "energy"),
}
# Stem of the columns of an axis: name and canonical unit. An energy is true or reconstructed by the form.
AXES: Mapping[str, tuple[str, str]] = {
    "ENERG": ("energy", "TeV"),
    "THETA": ("offset", "deg"),
    "RAD": ("rad", "deg"),
    "MIGRA": ("migra", ""),
    "DETX": ("detx", "deg"),
    "DETY": ("dety", "deg"),
}
# Other spellings of columns: those of early versions of the format and of CTA-1DC.
COLUMN_ALIASES: Mapping[str, tuple[str, ...]] = {"BKG": ("BGD",)}
AXIS_ALIASES: Mapping[str, tuple[str, ...]] = {"ENERG": ("ETRUE", "ENERGY", "ENERGY_TRUE")}
# HDUCLAS2, and the HDUCLAS4 or HDUCLAS2 that stand for a form without being the format's word for it.
KINDS: Mapping[str, str] = {
    "EFF_AREA": "aeff",
    "EDISP": "edisp",
    "PSF": "psf",
    "RPSF": "psf",
    "BKG": "bkg",
    "BGD": "bkg",
    "RAD_MAX": "rad_max",
}
CLASS_ALIASES: Mapping[tuple[str, str], str] = {
    ("aeff", "2D"): "aeff_2d",
    ("edisp", "2D"): "edisp_2d",
    ("psf", "2D"): "psf_table",
    ("psf", "TABLE"): "psf_table",
    ("psf", "3GAUSS"): "psf_3gauss",
    ("psf", "KING"): "psf_king",
    ("psf", "PSF_2D_TABLE"): "psf_table",
    ("psf", "PSF_2D_GAUSS"): "psf_3gauss",
    ("psf", "PSF_2D_KING"): "psf_king",
    ("bkg", "2D"): "bkg_2d",
    ("bkg", "3D"): "bkg_3d",
    ("bkg", "BGD_2D"): "bkg_2d",
    ("bkg", "BGD_3D"): "bkg_3d",
    ("rad_max", "2D"): "rad_max_2d",
}


def find_column(table: BinaryTable, name: str) -> str | None:
    """The name under which a table has a column of values; None when it has not."""
    for spelling in (name, *COLUMN_ALIASES.get(name, ())):
        if spelling in table:
            return spelling
    return None


def find_axis(table: BinaryTable, stem: str) -> str | None:
    """The stem under which a table has an axis; None when it has not."""
    for spelling in (stem, *AXIS_ALIASES.get(stem, ())):
        if f"{spelling}_LO" in table and f"{spelling}_HI" in table:
            return spelling
    return None


def form_of_columns(table: BinaryTable) -> str | None:
    """The form that a table's columns have; None when there is none."""
    for name, form in FORMS.items():
        stems = {stem for stem in AXES if find_axis(table, stem)}
        if set(form.axes) <= stems and all(find_column(table, column) for column in form.columns):
            return name
    return None


def form_of_header(header: Header) -> tuple[str | None, str | None]:
    """The form that a header names.

    Parameters
    ----------
    header : mapping
        Of a response HDU.

    Returns
    -------
    form, oddity : str or None
        The form, and the keyword and value that name it in other words than the format's.
    """
    words = {key: str(header.get(key, "")).strip().upper() for key in ("HDUCLAS2", "HDUCLAS4", "EXTNAME")}
    kind = kind_of_header(header)
    if words["HDUCLAS4"].lower() in FORMS:
        return words["HDUCLAS4"].lower(), None
    for key in ("HDUCLAS4", "HDUCLAS2"):
        for family in (kind,) if kind else ("aeff", "edisp", "psf", "bkg", "rad_max"):
            form = CLASS_ALIASES.get((family, words[key]))
            if form and (kind or words[key] not in ("2D", "3D", "TABLE")):
                return form, f"{key} {words[key]!r}"
    return None, None


def kind_of_header(header: Header) -> str | None:
    """The kind of HDU that a header says it is (``events``, ``gti``, ``aeff``, ...); None if it does not."""
    first = str(header.get("HDUCLAS1", "")).strip().upper()
    second = str(header.get("HDUCLAS2", "")).strip().upper()
    name = str(header.get("EXTNAME", "")).strip().upper()
    if first in ("EVENTS", "GTI", "POINTING"):
        return first.lower()
    if second in KINDS:
        return KINDS[second]
    if second.startswith("PSF_"):
        return "psf"
    named = {
        "EVENTS": "events",
        "GTI": "gti",
        "POINTING": "pointing",
        "AEFF": "aeff",
        "EFFECTIVE AREA": "aeff",
        "EDISP": "edisp",
        "ENERGY DISPERSION": "edisp",
        "PSF": "psf",
        "POINT SPREAD FUNCTION": "psf",
        "BKG": "bkg",
        "BACKGROUND": "bkg",
        "RAD_MAX": "rad_max",
    }
    return named.get(name)


def classify(table: BinaryTable, listed: str, report: Report) -> str | None:
    """The form of a response table: its columns decide, header and index are compared with them.

    Parameters
    ----------
    table : BinaryTable
        The HDU.
    listed : str
        Class in the index; empty where there is none.
    report : Report
        Of the HDU.

    Returns
    -------
    str or None
        Key of `FORMS`; None after an error.
    """
    named, oddity = form_of_header(table.header)
    form = form_of_columns(table)
    if form is None:
        guess = named or (listed if listed in FORMS else None)
        if guess is None:
            report.error(
                f"is no response that is read: HDUCLAS4 {str(table.header.get('HDUCLAS4', ''))!r}, "
                f"index class {listed!r}, columns {', '.join(table.columns)}",
                expected=" or ".join(FORMS),
            )
            return None
        wanted = FORMS[guess]
        missing = [column for column in wanted.columns if not find_column(table, column)]
        missing += [f"{stem}_LO/_HI" for stem in wanted.axes if not find_axis(table, stem)]
        report.error(f"{guess} without {', '.join(missing)}", expected="columns of the format")
        return None
    if oddity:
        used = [(find_column(table, column), column) for column in FORMS[form].columns]
        others = "".join(f"; column {found} used for {column}" for found, column in used if found != column)
        report.warning(f"non-GADF {oddity} read as {form}{others}")
    elif named is None:
        report.warning(f"no HDUCLAS4, read as {form} by its columns")
    if named and named != form:
        report.warning(f"HDUCLAS4 says {named}, its columns are {form}: read as {form}")
    elif listed and listed != form:
        report.warning(f"the index says {listed}, read as {form}", keyword="HDU_CLASS")
    return form
