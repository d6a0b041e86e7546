"""GADF: one observation from its FITS files, every problem of it collected before it is given up."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from survey.events.checks import check_events_in_gti
from survey.events.fits_file import FitsError, FitsFile, Hdu, HeaderValue
from survey.events.gadf_events import read_events, read_gti, read_livetime
from survey.events.gadf_pointing import read_location, read_pointing
from survey.events.gadf_responses import read_response
from survey.events.headers import MAX_SECONDS, TIME_KEYWORDS, Keywords, read_reference
from survey.events.observation import Observation, ObservationRejected
from survey.events.problems import Problem, Report
from survey.events.source import HduLocation, ObservationSource
from survey.response.table import FORMS, ResponseKind, ResponseTable
from survey.sky.earth_rotation import installed_rotation, unlikely_year

WORDS = (
    *("OBJECT", "RA_OBJ", "DEC_OBJ", "TELESCOP", "INSTRUME", "N_TELS", "TELLIST"),
    *("ORIGIN", "CREATOR", "HDUVERS", "EVTVER"),
)
REVERSED = "REVERSE_LON_RADEC"


def load_gadf(source: ObservationSource, *, responses: Sequence[str]) -> Observation:
    """Read and check one observation, see `ObservationSource.load`."""
    observation, problems = read_gadf(source, responses=responses)
    if observation is None:
        raise ObservationRejected("\n".join(p.line() for p in problems if p.severity == "error"))
    return observation


def read_gadf(source: ObservationSource, *, responses: Sequence[str]) -> tuple[Observation | None, tuple[Problem, ...]]:
    """Read one observation and return everything that is the matter with it.

    Parameters
    ----------
    source : ObservationSource
        Of kind ``gadf``.
    responses : sequence of str
        Kinds of responses to read.

    Returns
    -------
    observation : Observation or None
        None when there are errors.
    problems : tuple of Problem
        Errors and warnings.
    """
    report = Report(obs_id=source.obs_id)
    observation = None
    reading = _Reading(source, report)
    try:
        with np.errstate(all="ignore"), installed_rotation():
            observation = reading.observation(responses)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        # What a corrupt file may do that nobody has thought of must not end the run.
        report.error(f"cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    reading.tell_missing()
    return (None if report.errors else observation), tuple(report.problems)


class _Reading:
    """One reading of one observation: files that are open, problems that were found."""

    def __init__(self, source: ObservationSource, report: Report) -> None:
        self.source = source
        self.report = report
        self.files: dict[str, FitsFile | None] = {}
        self.missing: dict[str, dict[str, str]] = {}

    def hdu(self, location: HduLocation) -> Hdu | None:
        """The HDU at a location; None after an error."""
        report = self.report.at(file=location.file)
        if location.file not in self.files:
            self.files[location.file] = None
            try:
                file = FitsFile.open(os.path.join(self.source.root, location.file), md5=location.md5)
            except FitsError as error:
                report.error(str(error))
            else:
                self.files[location.file] = file
                if file.broken:
                    report.error(file.broken)
                if file.remark:
                    report.warning(file.remark)
        opened = self.files[location.file]
        if opened is None:
            return None
        try:
            hdu = opened.find(location.hdu)
        except FitsError:
            if not opened.broken:
                self.missing.setdefault(location.file, {})[location.hdu_type] = location.hdu
            return None
        for keyword, assumed in hdu.missing.items():
            # Other readers of FITS do without the whole HDU.
            self.at(location, hdu).warning(
                f"is missing, {assumed} assumed", keyword=keyword, advice="the FITS standard requires it"
            )
        return hdu

    def tell_missing(self) -> None:
        """HDUs that files do not have, in a line a file: one damaged size may hide all that come after it."""
        for path, lacking in self.missing.items():
            opened = self.files[path]
            assert opened is not None
            kinds, names = ", ".join(lacking), ", ".join(map(repr, lacking.values()))
            verb, noun = ("is", "HDU") if len(lacking) == 1 else ("are", "HDUs")
            there = ", ".join(hdu.label for hdu in opened.hdus)
            self.report.at(file=path).error(f"{kinds} {verb} missing: the file has no {noun} {names}, only {there}")

    def at(self, location: HduLocation, hdu: Hdu) -> Report:
        """Where to report the problems of an HDU."""
        return self.report.at(file=location.file, hdu=hdu.label)

    def observation(self, responses: Sequence[str]) -> Observation | None:
        """Read it; None after an error."""
        locations = {location.hdu_type: location for location in self.source.hdus}
        for kind in ("events", "gti"):
            if kind not in locations:
                self.report.error(f"has no {kind} HDU")
        tables = self._responses(locations, responses)
        if "events" not in locations or "gti" not in locations:
            return None
        events_hdu = self.hdu(locations["events"])
        gti_hdu = self.hdu(locations["gti"])
        if events_hdu is None:
            return None
        keywords = Keywords(events_hdu.header, self.at(locations["events"], events_hdu))
        self._check_header(keywords)
        events = read_events(events_hdu, keywords.report)
        reference = read_reference(keywords)
        if gti_hdu is None:
            return None
        gti = read_gti(gti_hdu, reference, self.at(locations["gti"], gti_hdu))
        location = self._location(keywords)
        livetime = pointing = None
        if gti is not None:
            livetime = read_livetime(keywords, float(np.sum(gti[1] - gti[0])))
        if gti is not None and reference is not None:
            table = self.hdu(locations["pointing"]) if "pointing" in locations else None
            pointing = read_pointing(
                keywords,
                table=table,
                record=self.source.record,
                location=location,
                reference=reference,
                middle=0.5 * float(gti[0][0] + gti[1][-1]),
                table_report=self.at(locations["pointing"], table) if table is not None else self.report,
            )
        self._check_rad_max(tables, locations)
        if self.report.errors or events is None or gti is None or reference is None:
            return None
        if livetime is None or pointing is None:
            return None
        check_events_in_gti(events["TIME"], *gti, keywords.report)
        if (year := unlikely_year(reference.mjd_at(float(gti[0][0])))) is not None:
            found = f"{reference.mjdrefi}, year {year}"
            keywords.report.doubt("good times in another age", keyword="MJDREFI", found=found, expected="1900 to 2100")
        metadata = self._metadata(keywords)
        return Observation(
            identity=self.source.identity,
            obs_id=self.source.obs_id,
            pointing=pointing,
            reference=reference,
            gti_start=gti[0],
            gti_stop=gti[1],
            ontime=float(np.sum(gti[1] - gti[0])),
            livetime=livetime,
            events=events,
            responses={kind: self._aligned(table, metadata) for kind, table in tables.items()},
            location=location,
            zenith=_zenith(pointing.alt, self.source.record),
            metadata=metadata,
            notes=tuple(problem.note() for problem in self.report.warnings),
            doubts=tuple(problem.note() for problem in self.report.warnings if problem.severity == "doubt"),
        )

    def _responses(
        self, locations: Mapping[str, HduLocation], wanted: Sequence[str]
    ) -> dict[ResponseKind, ResponseTable]:
        tables: dict[ResponseKind, ResponseTable] = {}
        for kind in (*wanted, "rad_max") if wanted else ():
            location = locations.get(kind)
            if location is None or kind in tables:
                continue
            if location.hdu_class and location.hdu_class not in FORMS and kind in wanted:
                self.report.at(file=location.file, hdu=location.hdu).error(
                    f"is {location.hdu_class!r}, which is not read",
                    keyword="HDU_CLASS",
                    expected=" or ".join(form for form, family in FORMS.items() if family == kind),
                )
                continue
            hdu = self.hdu(location)
            if hdu is None:
                continue
            report = self.at(location, hdu)
            table = read_response(hdu, listed=location.hdu_class, report=report)
            if table is not None and table.kind != kind:
                report.error(f"is listed as {kind}, but holds {table.form}")
            elif table is not None:
                tables[cast(ResponseKind, kind)] = table
                if table.form == "bkg_3d" and "FOVALIGN" not in table.metadata:
                    report.warning(
                        "is missing: the format says ALTAZ, Gammapy reads RADEC",
                        keyword="FOVALIGN",
                        advice="datasets.background.fov_alignment decides",
                    )
        return tables

    def _check_rad_max(
        self, tables: Mapping[ResponseKind, ResponseTable], locations: Mapping[str, HduLocation]
    ) -> None:
        """Point-like responses need the radius of the cut that they were made with."""
        if "rad_max" in tables or "rad_max" in locations:
            return
        for kind, table in tables.items():
            if table.metadata.get("HDUCLAS3") == "POINT-LIKE" and "RAD_MAX" not in table.metadata:
                self.report.at(file=locations[kind].file, hdu=locations[kind].hdu).error(
                    f"point-like IRF for OBS_ID {self.source.obs_id} has no RAD_MAX",
                    expected="a RAD_MAX HDU or keyword",
                )
                return

    def _check_header(self, keywords: Keywords) -> None:
        report = keywords.report
        ends = [keywords.number(key, low=-MAX_SECONDS, high=MAX_SECONDS) for key in ("TSTART", "TSTOP")]
        if ends[0] is not None and ends[1] is not None and ends[1] < ends[0]:
            report.error(f"TSTOP {ends[1]!r} is before TSTART {ends[0]!r}")
        if not keywords.text("TELESCOP"):
            report.warning("is missing", keyword="TELESCOP")
        if keywords.text("HDUCLAS1").upper() != "EVENTS":
            report.warning("no HDUCLAS1, taken as events by its name")
        listed = keywords.header.get("OBS_ID")
        if listed is not None and str(listed).strip() != str(self.source.obs_id):
            report.doubt(f"is {listed!r}, the index says {self.source.obs_id}", keyword="OBS_ID")

    def _location(self, keywords: Keywords) -> Any:
        listed = {key: value for key, value in self.source.record.items() if key.startswith(("GEO", "ALTITUDE"))}
        return read_location(Keywords({**listed, **keywords.header}, keywords.report))

    def _metadata(self, keywords: Keywords) -> dict[str, HeaderValue]:
        # Times of the index may count from another reference than those of the events.
        times = (*TIME_KEYWORDS, "TSTART", "TSTOP")
        metadata: dict[str, HeaderValue] = {k: v for k, v in self.source.record.items() if k not in times}
        metadata.update(keywords.pick(WORDS))
        metadata["OBS_MODE"] = keywords.text("OBS_MODE", "POINTING").upper()
        if "HDUVERS" in metadata:
            metadata["HDUVERS"] = str(metadata["HDUVERS"])
        return metadata

    def _aligned(self, table: ResponseTable, metadata: Mapping[str, HeaderValue]) -> ResponseTable:
        """Say in FOVALIGN that early H.E.S.S. files store the longitude of the background the other way round."""
        early = metadata.get("CREATOR") == "SASH FITS::EventListWriter" and metadata.get("HDUVERS") == "0.2"
        if table.form != "bkg_3d" or not early or str(table.metadata.get("FOVALIGN", "RADEC")).upper() != "RADEC":
            return table
        creator = f"CREATOR {metadata['CREATOR']}, HDUVERS {metadata['HDUVERS']}"
        self.report.at(hdu="BKG").warning(
            f"longitude of the background is stored in reverse ({creator}): read as {REVERSED}", keyword="FOVALIGN"
        )
        return replace(table, metadata={**table.metadata, "FOVALIGN": REVERSED})


def _zenith(alt: float, record: Mapping[str, HeaderValue]) -> float:
    if np.isfinite(alt):
        return 90.0 - alt
    listed = record.get("ZEN_PNT")
    return float(listed) if isinstance(listed, int | float) and not isinstance(listed, bool) else float("nan")
