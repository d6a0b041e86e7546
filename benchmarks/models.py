"""Times the sampling of events and the evaluation of a source: ``SURVEY_PEER_PYTHON=... python -m benchmarks.models``.

Writes ``MODELS.md`` and ``models.json``; `benchmarks.simulation` and `benchmarks.prediction` measure.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import prediction, simulation
from benchmarks.results import Row, write_results

ABOUT = (
    "Made by `make bench`. Both sides on one core, one thread each, warm; medians. Sampling: the same responses and models.\n"
    "Evaluation: a Gaussian of 0.28 degrees whose cut-out is 3.5 x 3.5 degrees of 0.02, 20 reconstructed and 30 true energies,\n"
    "responses that vary over the field; from changed parameters to counts on the dataset, as a fit asks for them\n"
    "(`npred_signal` of the peer, which takes one PSF and one dispersion for the whole source, where ours are those of each\n"
    "response cell)."
)
CHANGES = {"norm": "a changed norm", "spectrum": "a changed spectral index", "position": "a changed position"}


def main() -> None:
    """Run both and write the results."""
    sampled = simulation.main()
    evaluated = prediction.main()
    name = "evaluate a Gaussian source"
    rows = [
        Row("sample the events of an observation", sampled["peer"], sampled["ours"], "s", 20.0),
        Row(
            "the same, with the dataset that the peer needs",
            sampled["peer"] + sampled["dataset"],
            sampled["ours"],
            "s",
        ),
    ]
    for change, words in CHANGES.items():
        ours, peer = evaluated[change]
        rows.append(Row(f"{name}, {words}", peer, ours, "s", 5.0))
    ours, peer = evaluated["first"]
    rows.append(Row(f"{name} for the first time, responses of all cells prepared", peer, ours, "s"))
    text = write_results(
        rows,
        {"events": sampled["events"]},
        folder=Path(__file__).parent,
        repeats=prediction.REPEATS,
        stem="MODELS",
        title="Simulation and prediction beside Gammapy 2.1",
        about=ABOUT,
    )
    print(text)
    if not all(row.met for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
