"""The commands. Each reads its arguments, calls one function of the package and says what came out.

Nothing heavy is imported before a command needs it, so that the help answers at once. Exit status: 0 done; 1 failed;
2 refused, with a line that says why; 3 done, with observations set aside; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from survey.config import SurveyConfig

LOG = "survey-command"
FAILED, REFUSED, SET_ASIDE, INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    name="survey",
    help="From gamma-ray event lists to survey maps: fast, exact, restartable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Public data.", no_args_is_help=True)
app.add_typer(data_app, name="data")

ConfigFile = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file; `survey init` writes one.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the file: a.b=c, any number of times."),
]
Outdir = Annotated[str, typer.Argument(metavar="OUTDIR", help="Folder of a run's results.")]

_debug = False


def _version(wanted: bool) -> None:
    if wanted:
        from survey import __version__

        typer.echo(f"gammasurvey {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    global _debug
    _debug = debug


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    models: Annotated[str | None, typer.Option(help="YAML file of sky models.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of another survey.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
) -> None:
    """Make all products of CONFIG. Run it again to go on after an interruption."""
    with _answers():
        settings = _load(config, overrides or ())
        _set_log(settings)
        _keep_kernels()
        from survey import pipeline

        result = pipeline.run(settings, models=models, overwrite=overwrite, retry_failed=retry_failed)
        typer.echo(result.summary())
        raise typer.Exit(result.exit_status)


@app.command()
def plan(config: ConfigFile, overrides: Overrides = None) -> None:
    """Say what a run would do: units, memory, time. Runs nothing."""
    with _answers():
        settings = _load(config, overrides or ())
        from survey import pipeline

        typer.echo(str(pipeline.plan(settings)))


@app.command()
def validate(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check CONFIG and the observations that it selects."""
    with _answers():
        settings = _load(config, overrides or ())
        wcs, axes = settings.datasets.geom.wcs, settings.datasets.geom.axes
        stages = [name for name in ("excess_map", "ts_map") if getattr(settings, name) is not None]
        typer.echo(
            f"{settings.source}: valid. Grid {wcs.width.width.deg:g} x {wcs.width.height.deg:g} deg of "
            f"{wcs.binsize.deg:g} deg pixels ({wcs.proj}, {wcs.skydir.frame}), {axes.energy.nbins} energy bins from "
            f"{axes.energy.min:g} to {axes.energy.max:g}; "
            f"makes {', '.join(['cube', *stages])} in {settings.general.outdir}"
        )
        from survey import pipeline

        found = pipeline.validate(settings)
        typer.echo(str(found))
        raise typer.Exit(found.exit_status)


@app.command()
def init(
    path: Annotated[str, typer.Argument(metavar="[FILE]", help="File to write.")] = "survey.yaml",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a CONFIG to begin with."""
    with _answers():
        from importlib.resources import files
        from pathlib import Path

        from survey.refusal import Refusal

        target = Path(path)
        if target.exists() and not overwrite:
            raise Refusal(f"{path} exists already; give another name or --overwrite")
        if not target.absolute().parent.is_dir():
            raise Refusal(f"there is no folder {target.absolute().parent}; make it first")
        target.write_text(files("survey").joinpath("template.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        typer.echo(f"wrote {path}; edit it, then: survey validate {path}; survey run {path}")


@app.command("job-script")
def job_script(config: ConfigFile, overrides: Overrides = None) -> None:
    """Print what CONFIG would submit to a batch system or to Kubernetes. Submits nothing."""
    with _answers():
        settings = _load(config, overrides or (), to_run=False)
        from cluster.engines.base import job_script as script_of
        from survey.pipeline import PRELOAD

        typer.echo(script_of(settings.cluster, preload=PRELOAD).rstrip())


@app.command()
def status(
    outdir: Outdir,
    watch: Annotated[bool, typer.Option("--watch", help="Show it until the run is complete or stops.")] = False,
) -> None:
    """Say how far a run is, and when it will end."""
    with _answers():
        from survey import pipeline

        if watch:
            from cluster.watch import watch as show

            show(lambda: pipeline.status(outdir).found, sys.stdout)
        else:
            typer.echo(str(pipeline.status(outdir)))


@app.command()
def ingest(
    datastore: Annotated[
        list[str], typer.Argument(metavar="DATASTORE... OUT.zarr", help="Data stores, then the archive to write.")
    ],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    kind: Annotated[str, typer.Option(help="Kind of cluster: local, or none for this process.")] = "local",
    index_hdu: Annotated[int | None, typer.Option(min=1, help="Table of an index file that holds several.")] = None,
    roots: Annotated[list[str] | None, typer.Option("--root", help="Folder that an index may lead to.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a data store with problems.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an archive of other data stores.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
) -> None:
    """Copy data stores into an archive, for faster reading."""
    with _answers():
        from survey.refusal import Refusal

        if len(datastore) < 2:
            raise Refusal("expected a data store and the archive to write: survey ingest DATASTORE OUT.zarr")
        _keep_kernels()
        from survey.events.ingest import ingest as make_archive

        report = make_archive(
            datastore[:-1],
            datastore[-1],
            workers=workers,
            kind=kind,
            index_hdu=index_hdu,
            roots=roots or (),
            strict=strict,
            overwrite=overwrite,
            retry_failed=retry_failed,
        )
        typer.echo(str(report))
        raise typer.Exit(SET_ASIDE if report.set_aside else 0)


@app.command()
def simulate(
    config: ConfigFile,
    out: Annotated[str, typer.Argument(metavar="OUT", help="Data store to write, a folder; or an archive, OUT.zarr.")],
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write beside foreign files.")] = False,
) -> None:
    """Simulate the survey that CONFIG describes. Run it again to go on after an interruption."""
    with _answers():
        settings = _load(config, overrides or (), to_run=False)
        _set_log(settings)
        _keep_kernels()
        from survey.simulation_run import simulate as make_survey

        typer.echo(str(make_survey(settings, out, overwrite=overwrite)))


@app.command()
def export(outdir: Outdir) -> None:
    """Write the cube of a run as DL4 FITS that Gammapy reads."""
    with _answers():
        _keep_kernels()
        from survey.products import open_run

        typer.echo(f"wrote {open_run(outdir).export()}")


@app.command()
def peaks(
    outdir: Outdir,
    threshold: Annotated[float, typer.Option(help="Least significance, standard deviations.")] = 5.0,
    separation: Annotated[float, typer.Option(help="Least distance of two peaks, deg.")] = 0.3,
    band: Annotated[int, typer.Option(min=0, help="Energy band of the map.")] = 0,
    models: Annotated[str | None, typer.Option(help="YAML file of sky models that gives names.")] = None,
) -> None:
    """List what stands out in the map of significance of a run."""
    with _answers():
        from survey.peaks_table import peaks_table

        typer.echo(peaks_table(outdir, threshold=threshold, separation=separation, band=band, models=models))


@app.command()
def info() -> None:
    """Versions, machine, data folders, caches: for reports."""
    with _answers():
        from survey.compiled import use_kernel_cache
        from survey.environment import describe

        typer.echo(describe(compile_cache=use_kernel_cache()))


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a public data set, such as hess-dl3-dr1.")],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DIR", help="Folder to put it under; default: $SURVEY_DATA, else ./data."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Another address to take the files from: a mirror.")] = None,
) -> None:
    """Download a public data set; every file is checked, files that are there are kept."""
    with _answers():
        from survey.events.download import fetch_to_terminal

        for line in fetch_to_terminal(name, to=to, url=url):
            typer.echo(line)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `survey`."""
    app(args=arguments, prog_name="survey")


def _load(config: str, overrides: Sequence[str], *, to_run: bool = True) -> SurveyConfig:
    from cluster.stopping import uninterrupted

    with uninterrupted():  # pydantic, while it builds its models, turns Ctrl-C into errors of their schemas
        from survey.config import load_config

    settings = load_config(config, overrides, to_run=to_run)
    for note in settings.notes:
        typer.echo(f"{settings.source}: {note}", err=True)
    return settings


def _keep_kernels() -> None:
    """Compile kernels once for this machine; before anything that compiles is imported."""
    from survey.compiled import use_kernel_cache

    use_kernel_cache()


def _set_log(settings: SurveyConfig) -> None:
    import logging

    log = settings.general.log
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log.filename:
        handlers.append(logging.FileHandler(log.filename, mode=log.filemode or "a", encoding="utf-8"))
    formatter = logging.Formatter(log.format or "%(asctime)s %(levelname)s %(message)s", log.datefmt)
    for handler in handlers:
        handler.set_name(LOG)
        handler.setFormatter(formatter)
    for name in ("survey", "cluster"):
        logger = logging.getLogger(name)
        logger.setLevel(log.level.upper())
        logger.handlers += handlers


def _end_log() -> None:
    """Commands may be called one after another in one process, each with its own log."""
    import logging

    for name in ("survey", "cluster"):
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if one.get_name() == LOG]:
            logger.removeHandler(handler)
            if isinstance(handler, logging.FileHandler):
                handler.close()


@contextmanager
def _answers() -> Iterator[None]:
    """Turn what a command raises into lines on the standard error and an exit status."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo("interrupted: what is done is kept, and the same command goes on from there", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if _debug:
            raise
        refused = _is_refusal(error)
        text = str(error).strip() or type(error).__name__
        for line in text.splitlines():
            typer.echo(f"{'refused' if refused else 'failed'}: {line}", err=True)
        if not (refused or _is_told(error)):
            typer.echo(f"failed: {type(error).__name__}; `survey --debug ...` shows where it comes from", err=True)
        raise typer.Exit(REFUSED if refused else FAILED) from None
    finally:
        _end_log()


def _is_refusal(error: Exception) -> bool:
    from survey.refusal import Refusal

    if isinstance(error, Refusal):
        return True
    # Those of the other rooms; a module that is not loaded cannot have raised.
    named = {
        "cluster.errors": ("ConfigError", "PlanError", "StorageRefused", "WorkspaceLocked"),
        "survey.events.problems": ("DataStoreError",),
    }
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, names in named.items()
        if module in sys.modules
        for name in names
    )


def _is_told(error: Exception) -> bool:
    """Whether the message is all that a user needs: no room to write, no worker left, units that failed."""
    named = {
        "cluster.errors": "ClusterError",
        "survey.pipeline": "RunFailed",
        "survey.simulation_run": "SimulationFailed",
    }
    return any(
        isinstance(error, getattr(sys.modules[module], name)) for module, name in named.items() if module in sys.modules
    )


if __name__ == "__main__":
    main()
