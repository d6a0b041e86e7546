"""The real data at hand: every file is read, with the answers that its oddities get."""

import numpy as np
import pytest

from survey.events.datastore import DataStoreError, check_datastore, open_datastore
from survey.events.fits_file import FitsFile
from survey.events.gadf_responses import read_response
from survey.events.observation import ObservationRejected
from survey.events.problems import Report, summary

pytestmark = pytest.mark.data


def responses(path):
    report = Report()
    tables = {hdu.name: read_response(hdu, report=report) for hdu in FitsFile.open(str(path)).tables}
    return tables, "\n".join(summary(report.problems))


def test_hess_dr1_is_read_whole(survey_data):
    store = open_datastore(survey_data / "hess-dl3-dr1", strict=True)
    assert len(store.sources) == 90
    lines = list(summary(check_datastore(store)))
    assert not [line for line in lines if line.startswith("error")]
    assert any("stored in reverse" in line and "90 times" in line for line in lines)
    observation = store.sources[0].load()
    assert observation.identity == "hess-dl3-dr1-20136"
    assert observation.n_events == 11243
    assert observation.ontime == 1682
    assert observation.livetime == pytest.approx(1682 * 0.904296599328518)
    assert observation.events["ENERGY"].dtype == np.float32
    assert {kind: table.form for kind, table in observation.responses.items()} == {
        "aeff": "aeff_2d",
        "edisp": "edisp_2d",
        "psf": "psf_table",
        "bkg": "bkg_3d",
    }
    assert [axis.name for axis in observation.responses["edisp"].axes] == ["offset", "migra", "energy_true"]
    assert observation.zenith == pytest.approx(90 - 51.4870388823505)


def test_hess_dr1_is_read_without_index(survey_data):
    store = open_datastore(sorted((survey_data / "hess-dl3-dr1" / "data").glob("*02352*")))
    assert [source.identity for source in store.sources] == ["data-23523", "data-23526"]
    assert store.sources[0].load().responses["psf"].form == "psf_table"


def test_magic_point_like_is_read(survey_data):
    store = open_datastore(survey_data / "magic" / "rad_max" / "data")
    assert "columns are those of the HDU index" in "\n".join(problem.line() for problem in store.problems)
    for source in store.sources:
        tables = source.load().responses
        assert set(tables) == {"aeff", "edisp", "rad_max"}
        assert tables["aeff"].shape == (1, 28)


def test_minimal_datastore_is_read(survey_data):
    store = open_datastore(survey_data / "tests" / "minimal_datastore")
    assert "HDUVERS: is a number, read as '0.2'" in "\n".join(problem.line() for problem in store.problems)
    assert [source.load().obs_id for source in store.sources] == [23523, 23526]


def test_hawc_needs_a_table_and_its_maps_are_refused(survey_data):
    folder = survey_data / "hawc" / "crab_events_pass4"
    with pytest.raises(DataStoreError, match=r"file has 9 index tables, choose hdu=1\.\.9"):
        open_datastore(folder)
    (source,) = open_datastore(folder, index_hdu=5).sources
    assert source.identity == "crab_events_pass4-103000133-GP5"
    observation = source.load(responses=())
    assert observation.n_events == 13985
    assert observation.reference.scale == "tai"
    with pytest.raises(ObservationRejected, match="HDU_CLASS: is 'map', which is not read"):
        source.load()


@pytest.mark.parametrize("name", ["North-20deg-AverageAz-4LSTs09MSTs", "South-20deg-AverageAz-14MSTs37SSTs"])
def test_prod5_responses_are_read(survey_data, name):
    tables, _ = responses(survey_data / "cta-caldb" / f"Prod5-{name}.180000s-v0.1.fits.gz")
    assert tables["EFFECTIVE AREA"].units == {"EFFAREA": "m2"}
    assert tables["POINT SPREAD FUNCTION"].form == "psf_3gauss"
    assert tables["POINT SPREAD FUNCTION"].units["SCALE"] == "sr-1"
    assert tables["ENERGY DISPERSION"].shape == (6, 300, 300)
    assert [axis.name for axis in tables["BACKGROUND"].axes] == ["dety", "detx", "energy"]


def test_backgrounds_without_units_are_read_in_the_order_of_the_format(survey_data):
    tables, lines = responses(survey_data / "tests" / "irf" / "bkg_3d_full_example.fits")
    assert [axis.name for axis in tables["BACKGROUND"].axes] == ["energy", "detx", "dety"]
    assert "ENERG: no unit, TeV assumed" in lines
    tables, _ = responses(survey_data / "tests" / "irf" / "bkg_2d_full_example.fits")
    assert [axis.name for axis in tables["BACKGROUND"].axes] == ["energy", "offset"]


def test_king_psf_is_read(survey_data):
    tables, lines = responses(survey_data / "tests" / "hess_psf_king_023523.fits.gz")
    assert tables["PSF_2D_KING"].form == "psf_king"
    assert "non-GADF HDUCLAS2 'PSF_2D_KING' read as psf_king" in lines


def test_pointing_table_is_read(survey_data):
    (source,) = open_datastore(survey_data / "tests" / "pointing_table.fits.gz").sources
    observation = source.load()
    assert observation.pointing.mode == "table"
    assert observation.pointing.time.size == 100
    assert observation.pointing.ra == pytest.approx(83.633, abs=0.01)
    assert observation.events["TELMASK"].shape == (8833, 4)
