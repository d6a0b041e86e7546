"""Links between parameters of a model file: labels that several share, and paths of other parameters.

Gammapy gives all parameters that are one the same label, ``link: index@d2VYqA``. Here a link may also be the path of
another parameter, ``link: source.spectral.index``, which may itself be linked; such a chain becomes a shared label, and
one that leads back to itself is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from survey.models.models_error import ModelsError, nearest
from survey.models.parameters import Parameter, Parameters

_PATH = re.compile(r"[^@]+\.(spectral|spatial|temporal)\.[^@]+")
_SAME = 1e-9


def resolve_links(groups: Mapping[str, Parameters], valued: Collection[str]) -> dict[str, Parameters]:
    """Parameters whose links are labels, and whose linked ones are alike.

    Parameters
    ----------
    groups : mapping of str to Parameters
        Parameters of every part by its path, ``component.spectral``; their links as in the file.
    valued : collection of str
        Paths of the parameters that have a value of their own; the others take that of their link.

    Returns
    -------
    dict of str to Parameters
        The same groups. Linked parameters have the value, error, limits, prior and frozen flag of the first of them, as
        in Gammapy, or of the parameter at the end of the path.

    Raises
    ------
    ModelsError
        For a circle, a path to nothing, and linked parameters that have different units or values.
    """
    items = {f"{group}.{name}": item for group, parameters in groups.items() for name, item in parameters.items()}
    lines: list[str] = []
    roots: dict[str, str] = {}
    for path in items:
        try:
            roots[path] = _root(path, items)
        except ModelsError as error:
            lines += error.lines
    if lines:
        raise ModelsError(dict.fromkeys(lines))
    linked_to = {root for path, root in roots.items() if root != path}
    masters: dict[str, Parameter] = {}
    result = dict(items)
    # parameters at the end of paths first: they decide for those that point to them
    for path in sorted(items, key=lambda path: roots[path] != path):
        item, root = items[path], roots[path]
        label = items[root].link or (_label(root) if root in linked_to else None)
        if label is None:
            continue
        master = masters.setdefault(label, item)
        if master is item:
            result[path] = replace(item, link=label)
            continue
        if master.unit != item.unit:
            lines.append(f"{path}.link: {item.link!r} joins it, in {_unit(item)}, with a parameter in {_unit(master)}")
        elif path in valued and not math.isclose(item.value, master.value, rel_tol=_SAME, abs_tol=1e-300):
            lines.append(
                f"{path}.value: {item.value:g} {item.unit}".rstrip()
                + f" differs from {master.value:g}, with which link {item.link!r} joins it; give both the same value"
            )
        else:
            result[path] = replace(master, name=item.name, scale=item.scale, link=label)
    if lines:
        raise ModelsError(lines)
    return {
        group: Parameters([result[f"{group}.{name}"] for name in parameters]) for group, parameters in groups.items()
    }


def _unit(item: Parameter) -> str:
    return item.unit or "no unit"


def _label(path: str) -> str:
    """Label of a parameter that others point to: its name and where it is, in Gammapy's form."""
    group, _, name = path.rpartition(".")
    return f"{name}@{group}"


def _root(path: str, items: Mapping[str, Parameter]) -> str:
    """Path of the parameter at which a chain of links ends."""
    chain = [path]
    while True:
        link = items[chain[-1]].link
        if link is None or (link not in items and not _PATH.fullmatch(link)):
            return chain[-1]
        if link not in items:
            raise ModelsError(f"{chain[-1]}.link: {link!r} is no parameter{nearest(link, items)}")
        if link in chain:
            circle = chain[chain.index(link) :]
            start = circle.index(min(circle))  # one line for a circle, wherever it was entered
            ring = [*circle[start:], *circle[:start], circle[start]]
            raise ModelsError(
                f"{ring[0]}.link: circular link: {' -> '.join(ring)}; give one of them a value and no link"
            )
        chain.append(link)
