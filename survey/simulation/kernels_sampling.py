"""Kernels of the event sampling: draws from tabulated densities, and what the instrument makes of a photon.

Random numbers come in as arrays, so that a seed fixes every event. Shapes: ``n`` events, ``o`` nodes in offset, ``t`` nodes
in true energy, ``m`` bins of migration, ``r`` annuli of the PSF, ``e`` bins of energy.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

DEGREES = 180.0 / math.pi


@njit(nogil=True, cache=True)
def locate(nodes, value):
    """Lower node of an interval that holds `value`, and the weight of the upper node; the ends hold beyond."""
    if value <= nodes[0]:
        return 0, 0.0
    if value >= nodes[nodes.size - 1]:
        return nodes.size - 2, 1.0
    low, high = 0, nodes.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if nodes[middle] <= value:
            low = middle
        else:
            high = middle
    return low, (value - nodes[low]) / (nodes[low + 1] - nodes[low])


@njit(nogil=True, cache=True)
def tent(uniform):
    """A number between -1 and 1 with the density 1 - |x|, from a uniform one."""
    if uniform < 0.5:
        return math.sqrt(2.0 * uniform) - 1.0
    return 1.0 - math.sqrt(2.0 * (1.0 - uniform))


@njit(nogil=True, cache=True)
def power_law_inside(uniform, low, width, slope):
    """Energy in a bin that begins at `low` and is `width` wide in its logarithm, of a density energy**slope."""
    exponent = (slope + 1.0) * width
    if abs(exponent) < 1e-9:
        return low * math.exp(uniform * width)
    return low * math.exp(math.log1p(uniform * math.expm1(exponent)) / (slope + 1.0))


@njit(nogil=True, cache=True)
def draw_camera(random, places, energies, low, width, slope, nx, ny, first, step, radial, x, y, energy, kept):
    """Draw background events in the camera.

    The rate on the lattice is linear between nodes: a sum of tents, one a node. A node is drawn, then a bin of energy at
    the node, then a place under its tent, which is kept in proportion to the solid angle there.

    Parameters
    ----------
    random : numpy.ndarray (n, 6)
        Uniform between 0 and 1.
    places : numpy.ndarray (ny * nx,)
        Cumulative weights of the nodes, the last one 1.
    energies : numpy.ndarray (ny * nx, e + 1)
        At every node the fraction above the lower edge of every bin, falling from 1 to 0.
    low, width, slope : numpy.ndarray (e,)
        Lower edges of the bins of energy, their widths in the logarithm, and the power of the density inside.
    nx, ny : int
        Nodes of the lattice.
    first, step : numpy.ndarray (2,)
        First node in x and y, and steps, deg.
    radial : bool
        Whether x is the offset; then the angle is drawn evenly.
    x, y : numpy.ndarray (n,)
        Filled with longitude and latitude in the camera, deg; for a radial lattice with offset and angle, deg.
    energy : numpy.ndarray (n,)
        Filled, TeV.
    kept : numpy.ndarray (n,) bool
        Filled.
    """
    n_energy = low.size
    for n in range(random.shape[0]):
        node = min(np.searchsorted(places, random[n, 0], side="right"), places.size - 1)
        row = energies[node]
        below, above = 0, n_energy
        while above - below > 1:
            middle = (below + above) // 2
            if row[middle] > random[n, 1]:
                below = middle
            else:
                above = middle
        energy[n] = power_law_inside(random[n, 2], low[below], width[below], slope[below])
        j, i = node // nx, node % nx
        away = tent(random[n, 3])
        if i == 0:
            away = abs(away)
        elif i == nx - 1:
            away = -abs(away)
        x[n] = first[0] + (i + away) * step[0]
        if radial:
            y[n] = 360.0 * random[n, 4]
            limit = (first[0] + min(i + 1, nx - 1) * step[0]) / DEGREES
            kept[n] = random[n, 5] * limit < math.sin(x[n] / DEGREES)
        else:
            away = tent(random[n, 4])
            if j == 0:
                away = abs(away)
            elif j == ny - 1:
                away = -abs(away)
            y[n] = first[1] + (j + away) * step[1]
            kept[n] = random[n, 5] < math.cos(y[n] / DEGREES)


@njit(nogil=True, cache=True)
def camera_to_sky(x, y, radial, frames, vectors):
    """Directions of places in the camera.

    Parameters
    ----------
    x, y : numpy.ndarray (n,)
        Longitude and latitude about the pointing, deg; offset and angle from camera y towards camera x where `radial`.
    radial : bool
    frames : numpy.ndarray (1 or n, 3, 3)
        Pointing, direction of camera x and of camera y as rows.
    vectors : numpy.ndarray (3, n)
        Filled with unit vectors.
    """
    for n in range(x.size):
        frame = frames[n] if frames.shape[0] > 1 else frames[0]
        a, b = x[n] / DEGREES, y[n] / DEGREES
        if radial:
            front, along, up = math.cos(a), math.sin(a) * math.sin(b), math.sin(a) * math.cos(b)
        else:
            front, along, up = math.cos(b) * math.cos(a), math.cos(b) * math.sin(a), math.sin(b)
        for k in range(3):
            vectors[k, n] = front * frame[0, k] + along * frame[1, k] + up * frame[2, k]


@njit(nogil=True, cache=True)
def offsets_to(vectors, centers, offsets):
    """Fill `offsets` (n,), deg, with the angles between directions (3, n) and pointings (1 or n, 3)."""
    for n in range(offsets.size):
        center = centers[n] if centers.shape[0] > 1 else centers[0]
        a, b, c = vectors[0, n] - center[0], vectors[1, n] - center[1], vectors[2, n] - center[2]
        offsets[n] = 2.0 * math.asin(min(0.5 * math.sqrt(a * a + b * b + c * c), 1.0)) * DEGREES


@njit(nogil=True, cache=True)
def keep_detected(random, log_energy, offsets, ceiling, nodes, log_nodes, area, kept):
    """Keep photons in proportion to the effective area.

    Parameters
    ----------
    random, log_energy, offsets, ceiling : numpy.ndarray (n,)
        Uniform numbers, logarithms of true energies, offsets (deg), and the areas that the photons were drawn for, m2.
    nodes, log_nodes : numpy.ndarray (o,), (t,)
    area : numpy.ndarray (o, t)
        m2, linear in between and cut at zero; nothing outside.
    kept : numpy.ndarray (n,) bool
        Changed: photons that are not detected are no longer kept.
    """
    last = log_nodes.size - 1
    for n in range(offsets.size):
        if not kept[n]:
            continue
        inside = nodes[0] <= offsets[n] <= nodes[nodes.size - 1] and log_nodes[0] <= log_energy[n] <= log_nodes[last]
        if not inside:
            kept[n] = False
            continue
        o, u = locate(nodes, offsets[n])
        t, w = locate(log_nodes, log_energy[n])
        below = (1.0 - w) * area[o, t] + w * area[o, t + 1]
        above = (1.0 - w) * area[o + 1, t] + w * area[o + 1, t + 1]
        kept[n] = random[n] * ceiling[n] < (1.0 - u) * below + u * above


@njit(nogil=True, cache=True)
def _filled_offset(totals, o, t, w):
    """The offset node nearest to `o` that has events between the energy nodes t and t + 1; -1 when none has."""
    best = -1
    for other in range(totals.shape[0]):
        if (1.0 - w) * totals[other, t] + w * totals[other, t + 1] > 0.0 and (
            best < 0 or abs(other - o) < abs(best - o)
        ):
            best = other
    return best


@njit(nogil=True, cache=True)
def draw_migration(random, log_energy, offsets, nodes, log_nodes, totals, cumulative, edges, migration):
    """Draw reconstructed over true energy.

    The density is linear between nodes of offset (each normalised) and of the logarithm of the energy, so a node is drawn
    with the weight that it has.

    Parameters
    ----------
    random : numpy.ndarray (n, 3)
    log_energy, offsets : numpy.ndarray (n,)
        deg.
    nodes, log_nodes : numpy.ndarray (o,), (t,)
    totals : numpy.ndarray (o, t)
        Integrals of the densities.
    cumulative : numpy.ndarray (o, t, m + 1)
        At the edges of the bins of migration, from 0 to 1.
    edges : numpy.ndarray (m + 1,)
    migration : numpy.ndarray (n,)
        Filled; NaN where there is no dispersion at all.
    """
    for n in range(offsets.size):
        o, u = locate(nodes, offsets[n])
        o = o + 1 if random[n, 0] < u else o
        t, w = locate(log_nodes, log_energy[n])
        o = _filled_offset(totals, o, t, w)
        if o < 0:
            migration[n] = math.nan
            continue
        upper = w * totals[o, t + 1]
        t = t + 1 if random[n, 1] * ((1.0 - w) * totals[o, t] + upper) < upper else t
        m = min(np.searchsorted(cumulative[o, t], random[n, 2], side="right"), edges.size - 1)
        low, high = cumulative[o, t, m - 1], cumulative[o, t, m]
        part = (random[n, 2] - low) / (high - low) if high > low else 0.5
        migration[n] = edges[m - 1] + min(max(part, 0.0), 1.0) * (edges[m] - edges[m - 1])


@njit(nogil=True, cache=True)
def draw_radius_of_table(random, log_energy, offsets, nodes, log_nodes, totals, cumulative, edges, ceiling, radius):
    """Draw distances from a tabulated PSF.

    Parameters
    ----------
    random : numpy.ndarray (n, 3)
    log_energy, offsets : numpy.ndarray (n,)
    nodes, log_nodes : numpy.ndarray (o,), (t,)
    totals : numpy.ndarray (o, t)
        Fractions of events that the table holds.
    cumulative : numpy.ndarray (o, t, r + 1)
        At the edges of the annuli, from 0 to 1.
    edges : numpy.ndarray (r + 1,)
        deg.
    ceiling : float
        Largest of `totals`, or 1: more photons than that were drawn.
    radius : numpy.ndarray (n,)
        Filled, deg; NaN for events that the table does not hold.
    """
    for n in range(offsets.size):
        o, u = locate(nodes, offsets[n])
        o = o + 1 if random[n, 0] < u else o
        t, w = locate(log_nodes, log_energy[n])
        t = t + 1 if random[n, 1] < w else t
        # one uniform number decides whether there is an event, and then where
        place = random[n, 2] * ceiling
        if place >= totals[o, t]:
            radius[n] = math.nan
            continue
        place /= totals[o, t]
        r = min(np.searchsorted(cumulative[o, t], place, side="right"), edges.size - 1)
        low, high = cumulative[o, t, r - 1], cumulative[o, t, r]
        part = min(max((place - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        inner, outer = edges[r - 1], edges[r]
        radius[n] = math.sqrt(inner * inner + part * (outer * outer - inner * inner))


@njit(nogil=True, cache=True)
def _contained(square, norms, variances):
    total = 0.0
    for k in range(3):
        if norms[k] != 0.0:
            total -= norms[k] * math.expm1(-0.5 * square / variances[k])
    return total


@njit(nogil=True, cache=True)
def draw_radius_of_gaussians(random, log_energy, offsets, nodes, log_nodes, values, radius):
    """Draw distances from three Gaussians.

    Parameters
    ----------
    random : numpy.ndarray (n, 2)
    log_energy, offsets : numpy.ndarray (n,)
    nodes, log_nodes : numpy.ndarray (o,), (t,)
    values : numpy.ndarray (6, o, t)
        Scale, two relative amplitudes, three standard deviations (deg): each linear in the logarithm of the energy.
    radius : numpy.ndarray (n,)
        Filled, deg; NaN where there is no PSF.
    """
    norms, variances, here = np.zeros(3), np.ones(3), np.zeros(6)
    for n in range(offsets.size):
        o, u = locate(nodes, offsets[n])
        o = o + 1 if random[n, 0] < u else o
        t, w = locate(log_nodes, log_energy[n])
        for k in range(6):
            here[k] = (1.0 - w) * values[k, o, t] + w * values[k, o, t + 1]
        total = 0.0
        for k in range(3):
            variances[k] = here[3 + k] ** 2
            norms[k] = here[0] * (here[k] if k else 1.0) * variances[k]
            total += norms[k]
        if not total > 0.0:
            radius[n] = math.nan
            continue
        for k in range(3):
            norms[k] /= total
        # amplitudes may be negative: the cumulative profile is inverted, no component is drawn
        low, high = 0.0, 100.0 * max(variances[0], max(variances[1], variances[2]))
        for _ in range(50):
            middle = 0.5 * (low + high)
            if _contained(middle, norms, variances) < random[n, 1]:
                low = middle
            else:
                high = middle
        radius[n] = math.sqrt(0.5 * (low + high))


@njit(nogil=True, cache=True)
def draw_radius_of_king(random, log_energy, offsets, nodes, log_nodes, values, radius):
    """Draw distances from King profiles: as `draw_radius_of_gaussians`, `values` (2, o, t) are gamma and sigma, deg."""
    for n in range(offsets.size):
        o, u = locate(nodes, offsets[n])
        o = o + 1 if random[n, 0] < u else o
        t, w = locate(log_nodes, log_energy[n])
        gamma = (1.0 - w) * values[0, o, t] + w * values[0, o, t + 1]
        sigma = (1.0 - w) * values[1, o, t] + w * values[1, o, t + 1]
        if not (gamma > 1.0 and sigma > 0.0):
            radius[n] = math.nan
            continue
        tail = math.expm1(-math.log1p(-random[n, 1]) / (gamma - 1.0))
        radius[n] = math.sqrt(2.0 * gamma * tail) * sigma


@njit(nogil=True, cache=True)
def smear(vectors, radius, angle):
    """Move directions (3, n), in place, by `radius` (deg) towards the position angle `angle` (rad), which is even."""
    for n in range(radius.size):
        r = radius[n] / DEGREES
        a, b, c = vectors[0, n], vectors[1, n], vectors[2, n]
        ground = math.sqrt(a * a + b * b)
        if ground > 1e-9:
            east = (-b / ground, a / ground, 0.0)
        else:
            east = (1.0, 0.0, 0.0)
        north = (b * east[2] - c * east[1], c * east[0] - a * east[2], a * east[1] - b * east[0])
        front, left, up = math.cos(r), math.sin(r) * math.sin(angle[n]), math.sin(r) * math.cos(angle[n])
        vectors[0, n] = front * a + left * east[0] + up * north[0]
        vectors[1, n] = front * b + left * east[1] + up * north[1]
        vectors[2, n] = front * c + left * east[2] + up * north[2]
