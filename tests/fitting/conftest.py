"""The analytic cube of the estimators' tests, with a place on the sky."""

import pytest

from survey.models import PowerLaw
from survey.models.components import SkyModel
from survey.sky.grid import SkyGrid
from tests.estimators.conftest import Sky


class PlacedSky(Sky):
    """The analytic sky on a grid around (RA, DEC) = (10, 0) deg, where pixels are as good as flat."""

    @property
    def grid(self):
        return SkyGrid(
            proj="CAR", frame="icrs", lon=10.0, lat=0.0, binsize=self.binsize, width_x=self.nx * self.binsize,
            width_y=self.ny * self.binsize, cell=self.cell, chunk=self.cell * 2, tile=self.cell * 10,
        )  # fmt: skip

    def dataset(self, counts=None, safe=None):
        """With the grid among its attributes."""
        return super().dataset(counts, safe).assign_attrs(grid=self.grid.key())

    def place(self, y, x):
        """Position of a pixel, as parameters of a shape."""
        ra, dec = self.grid.pixel_to_world(y, x)
        return {"lon_0": float(ra), "lat_0": float(dec)}


class UniformSky(PlacedSky):
    """The same with the responses of the middle everywhere."""

    def offset(self, y, x):
        return 0.0 * super().offset(y, x)


@pytest.fixture
def placed_sky():
    """Responses change with the distance from the middle."""
    return PlacedSky()


@pytest.fixture
def uniform_sky():
    """Responses are the same everywhere."""
    return UniformSky()


@pytest.fixture
def crab():
    """A bright source's spectrum."""
    return PowerLaw(index=2.3, amplitude=3e-8)


@pytest.fixture
def make_source():
    """Function from a shape and a spectrum to a source."""

    def make(shape, spectrum, name="source", **options):
        return SkyModel(name, spectrum, shape, **options)

    return make
