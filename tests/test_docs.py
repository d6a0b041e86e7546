"""The documentation is true: its tables are those of the code, its commands exist, its links lead somewhere.

``python -m tests.test_docs`` writes the tables anew.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from benchmarks.scaling import Figures, page
from survey import cli
from survey.estimators.graph import map_variables
from survey.estimators.settings import ExcessMapSettings, TSMapSettings
from survey.reduction.axes import Axes
from survey.reduction.ledger import LINES
from survey.sky.energy import RAD_EDGES, EnergyAxis
from survey.store.variables import CUBE, Variable

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "output.md"
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
BY_BENCHES = {"benchmarks/RESULTS.md", "docs/reliability.md"}
"""Pages that `make bench` and `make torture` write."""


def cube_table() -> str:
    """The variables of the cube, in Markdown."""
    rows = ["| variable | dims | unit | stored as | sum of | what it is |", "|---|---|---|---|---|---|"]
    for variable in CUBE.values():
        exact = "whole numbers" if variable.exact else "quanta"
        name = f"`{variable.name}`" + (" (ON/OFF methods)" if variable.on_request else "")
        rows.append(
            f"| {name} | {', '.join(variable.dims)} | {variable.units} | {variable.dtype} | {exact} | {variable.long_name} |"
        )
    return "\n".join(rows)


def map_names(optional: tuple[str, ...]) -> tuple[list[Variable], list[Variable]]:
    """The variables of both maps, as they are published."""
    axes = Axes(
        EnergyAxis.from_bounds("energy", 1.0, 10.0, 1), EnergyAxis.from_bounds("energy_true", 1.0, 10.0, 1), RAD_EDGES
    )
    excess = map_variables(ExcessMapSettings(selection_optional=optional), axes)[0]
    return excess, map_variables(TSMapSettings(selection_optional=optional), axes)[0]


def maps_table() -> str:
    """The variables of both maps, in Markdown."""
    excess, ts = map_names(("errn-errp", "ul", "sensitivity"))
    always = {variable.name for variables in map_names(()) for variable in variables}
    found: dict[str, list[Variable]] = {}
    for variable in (*excess, *ts):
        found.setdefault(variable.name, []).append(variable)
    names = {"excess": {v.name for v in excess}, "ts": {v.name for v in ts}}
    rows = ["| variable | excess | ts | unit | what it is |", "|---|---|---|---|---|"]
    for name, variables in found.items():
        marks = ["" if name not in names[kind] else "yes" if name in always else "asked for" for kind in names]
        meaning = "; ".join(dict.fromkeys(variable.long_name for variable in variables))
        rows.append(f"| `{name}` | {marks[0]} | {marks[1]} | {variables[0].units} | {meaning} |")
    return "\n".join(rows)


TABLES = {"cube": cube_table, "maps": maps_table}


def between(text: str, name: str) -> str:
    """What stands between the marks of a table."""
    return text.split(f"<!-- {name}: begin -->\n", 1)[1].split(f"\n<!-- {name}: end -->", 1)[0]


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_output_are_those_of_the_code(name):
    assert between(OUTPUT.read_text(), name) == TABLES[name](), "write them anew: python -m tests.test_docs"


def test_every_line_of_the_ledger_is_explained():
    assert re.findall(r"^\| `(\w+)` \|", OUTPUT.read_text().split("## The ledger")[1], re.MULTILINE) == list(LINES)


def commands_of(text: str) -> list[list[str]]:
    """The ``survey`` commands in a page: in blocks of code at the start of a line, and between backquotes."""
    block = [line.strip() for line in re.findall(r"^(?:    |```).*?$|^survey .*$", text, re.MULTILINE)]
    inline = re.findall(r"`(survey [a-z][^`\n]*)`", text)
    return [
        shlex.split(line, comments=True)
        for line in [*block, *inline]
        if line.startswith("survey ") and "=" not in line.split()[1]
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page):
    group = typer.main.get_command(cli.app)
    for words in commands_of(page.read_text()):
        command, rest = group, words[1:]
        while hasattr(command, "commands"):
            assert rest, f"{page.name}: {' '.join(words)}"
            assert rest[0].strip("…") in command.commands, f"{page.name}: {' '.join(words)}"
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in rest:
            if word.lstrip("[").startswith("--"):
                assert word.strip("[]").split("=")[0] in options, f"{page.name}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)) <= targets


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as they are made on the web."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target.relative_to(ROOT).as_posix() in BY_BENCHES and not target.exists():
            continue
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    assert all(f"({page.name})" in index for page in ROOT.glob("docs/*.md") if page.name != "README.md")


def test_page_of_scaling_is_that_of_its_figures():
    assert (ROOT / "docs" / "scaling.md").read_text() == page(Figures.read()), "python -m benchmarks.scaling"


def main() -> None:
    """Write the tables of the output anew."""
    text = OUTPUT.read_text()
    for name, table in TABLES.items():
        head, rest = text.split(f"<!-- {name}: begin -->\n", 1)
        tail = rest.split(f"<!-- {name}: end -->", 1)[1]
        text = f"{head}<!-- {name}: begin -->\n{table()}\n<!-- {name}: end -->{tail}"
    OUTPUT.write_text(text)


if __name__ == "__main__":
    main()
