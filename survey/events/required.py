"""Observations that a selection leaves out only because they lack a response: Gammapy drops them without a word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from survey.events.datastore import DataStore
from survey.events.problems import Problem, Severity
from survey.events.selection import HDU_TYPES, Selection, select_rows


def lacking(store: DataStore, selection: Selection) -> tuple[Problem, ...]:
    """A problem an observation that all keys but ``required_irf`` select, as `select` has it.

    It is an error where the observation was asked for by its id. In a whole store it is a warning: older observations
    may well have no background.

    Parameters
    ----------
    store : DataStore
        Opened.
    selection : Selection
        What is asked for.
    """
    rows = np.flatnonzero([not selection.required <= source.kinds for source in store.sources])
    some = store.take(rows)
    named = tuple({source.obs_id for source in some.sources} & set(selection.obs_ids))
    if not rows.size or (selection.obs_ids and not named):
        return ()
    severity: Severity = "error" if named else "warning"
    try:
        kept = select_rows(some, replace(selection, obs_ids=named, required=frozenset()))
    except ValueError:  # none is left
        return ()
    problems = []
    for source in (some.sources[i] for i in kept.tolist()):
        kinds = ", ".join(kind for kind in HDU_TYPES if kind in selection.required - source.kinds)
        problems.append(
            Problem(
                severity,
                f"no {kinds} HDU, required by observations.required_irf: left out",
                obs_id=source.obs_id,
                file=store.index or None,
                advice=f"list one, or take {kinds} out of observations.required_irf",
            )
        )
    return tuple(problems)
