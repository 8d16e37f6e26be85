"""The command line: ``crm-reference emulate | check | record | laws | bundle | conform | new-service``.

Thin by rule: a command parses its options, calls one function of the package that does the work, and prints what came of it.
That package is imported only then, so that ``--help`` is quick. Exit codes: 0 all is well, 1 something is wrong with the
project, 2 the command was misused, 130 interrupted. People get one line for each thing that is wrong, with file and line, and
never a traceback; ``CRM_REFERENCE_TRACEBACK=1`` shows one for a bug of this program.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from crm_reference.contract import Contract, Exchange, Finding

#: Set to show the traceback of an unexpected error.
TRACEBACK = "CRM_REFERENCE_TRACEBACK"

EXIT_PROBLEM, EXIT_INTERRUPTED = 1, 130
_PARTS = ("lint", "vectors", "exchanges", "laws", "trace")


class Failure(click.ClickException):
    """Something is wrong with the project or its surroundings; the message is one line for people."""

    exit_code = EXIT_PROBLEM

    def show(self, file: Any = None) -> None:
        """Print the message on standard error."""
        click.echo(f"crm-reference: {self.format_message()}", file=file, err=True)


class Slug(click.ParamType[str]):
    """A service's name, as folders and paths have it."""

    name = "slug"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the slug, or fail."""
        text = str(value)
        if not text.isascii() or not text.replace("-", "").isalnum() or text != text.lower() or not text[0].isalpha():
            self.fail(f"{text!r} is no service name; write lower-case words with hyphens, as in custom-objects", param, ctx)
        return text


class Url(click.ParamType[str]):
    """The base URL of a service."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL without a slash at its end, or fail."""
        text = str(value).rstrip("/")
        if not text.startswith(("http://", "https://")) or len(text.partition("://")[2]) == 0:
            self.fail(f"{value!r} is no base URL; write http://127.0.0.1:8640", param, ctx)
        return text.removesuffix("/v1")


class Commands(click.Group):
    """Commands that blame a malformed document rather than the code that stumbled over it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (AttributeError, LookupError, TypeError, ValueError, sqlite3.Error) as error:
            from crm_reference.contract import ContractError
            from crm_reference.contract.lint.form import malformed

            findings = malformed(ctx.obj)
            if not findings:
                raise
            raise ContractError(findings) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Project to work on: the folder that holds source_specs. Default: this folder or the nearest one above it.",
)
@click.version_option(package_name="crm-reference", prog_name="crm-reference")
@click.pass_context
def cli(context: click.Context, root: Path | None) -> None:
    """Work with a CRM API contract: emulate it, check it, record its examples, publish it."""
    context.obj = root or _nearest_root(Path.cwd())


@cli.command(short_help="Serve the API, with state.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; loopback unless you say otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), default=8640, show_default=True, help="Port; 0 takes any free one.")
@click.option(
    "--db", "database", type=click.Path(dir_okay=False, path_type=Path), help="File to keep the world in; else in memory."
)
@click.option(
    "--world", type=click.Choice(["brightwater", "empty"]), default="brightwater", show_default=True, help="Records to begin with."
)
@click.option(
    "--clock",
    type=click.Choice(["real", "world"]),
    default="real",
    show_default=True,
    help="The machine's time, or a world's fixed one.",
)
@click.option("--limits/--no-limits", default=True, show_default=True, help="Whether quotas hold.")
@click.option(
    "--site", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Built pages to serve on the same origin."
)
@click.pass_obj
def emulate(root: Path, /, **options: Any) -> None:
    """Serve the API as the contract says, with state."""
    serve = _load("crm_reference.emulator.server", "serve")
    serve(root, **options, announce=click.echo)


@cli.command(short_help="Check style, vectors, exchanges, laws and trace.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="A service, an operation or an exchange; may be repeated. Leaves laws and trace out.",
)
@click.option("--part", "parts", multiple=True, type=click.Choice(_PARTS), help="What to check; may be repeated. Default: all.")
@click.pass_obj
def check(root: Path, /, only: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """Check the contract: style, vectors, exchanges against their recordings, laws, and the requirement trace."""
    contract = _contract(root)
    _selected(contract, only)
    chosen = parts or (_PARTS if not only else ("lint", "vectors", "exchanges"))
    wrong = 0
    for part in _PARTS:
        if part in chosen:
            wrong += _CHECKS[part](root, contract, only)
    raise SystemExit(EXIT_PROBLEM if wrong else 0)


@cli.command(short_help="Run exchanges and record their answers.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="A service, an operation or an exchange; may be repeated. Default: all."
)
@click.pass_obj
def record(root: Path, /, only: tuple[str, ...]) -> None:
    """Run exchanges and write what they answered to examples/recorded."""
    from crm_reference.emulator import Engine
    from crm_reference.exchanges import record as run

    contract = _contract(root)
    _selected(contract, only)
    with _progress("recording") as progress:
        done = run(contract, Engine(contract), only=only, progress=progress)
    _print_findings(done.findings)
    for name in done.written:
        click.echo(f"wrote {name}")
    unwritten = f", {_count(len(done.findings), 'problem')}: those keep the recording that they had" if done.findings else ""
    click.echo(f"{_count(done.count, 'exchange')} ran, {_count(len(done.written), 'file')} changed{unwritten}")
    raise SystemExit(EXIT_PROBLEM if done.findings else 0)


@cli.command(short_help="Run laws on the emulator.")
@click.option("--only", multiple=True, metavar="NAME", help="A law; may be repeated. Default: all, whose results are kept.")
@click.option("--force", is_flag=True, help="Run also what was run before on the same contract and code.")
@click.pass_obj
def laws(root: Path, /, only: tuple[str, ...], force: bool) -> None:
    """Run the laws on the emulator, and keep their results in _build/laws for the requirement trace."""
    raise SystemExit(EXIT_PROBLEM if _run_laws(_contract(root), only, force=force) else 0)


@cli.command(short_help="Write what readers download.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("_build/bundle"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--figures", is_flag=True, help="Count what is there over the written documents; 1 where it is too little.")
@click.pass_obj
def bundle(root: Path, /, out: Path, figures: bool) -> None:
    """Write what readers download: complete OpenAPI, AsyncAPI and Postman files for each service."""
    write = _load("crm_reference.contract.bundle", "write_bundle")
    contract = _contract(root)
    written = write(contract, out)
    click.echo(f"{_count(len(list(written or ())), 'file')} in {out}")
    if figures:
        raise SystemExit(EXIT_PROBLEM if _print_figures(root, contract, out) else 0)


@cli.command(short_help="Test an implementation against examples.")
@click.option("--base", type=Url(), envvar="CRM_BASE", required=True, help="Base URL of the implementation; default $CRM_BASE.")
@click.option("--token", envvar="CRM_TOKEN", default="", help="Access token; default $CRM_TOKEN.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="A service, an operation or an exchange; may be repeated. Default: all."
)
@click.option(
    "--generate",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Also send so many generated requests an operation and phase.",
)
@click.pass_obj
def conform(root: Path, /, base: str, token: str, only: tuple[str, ...], generate: int) -> None:
    """Send the examples to an implementation and compare its answers with the recorded ones; then generated requests."""
    run = _load("crm_reference.conformance", "run")
    contract = _contract(root)
    _selected(contract, only)
    wrong = list(run(contract, base=base, token=token, only=only))
    if generate:
        wrong += _generated(contract, base, token, only, generate)
    for line in wrong:
        click.echo(str(line))
    click.echo(f"{base}: {_count(len(wrong), 'difference')}")
    raise SystemExit(EXIT_PROBLEM if wrong else 0)


def _generated(contract: Contract, base: str, token: str, only: tuple[str, ...], examples: int) -> list[Finding]:
    from crm_reference.conformance import GeneratorError, run_generated, token_of

    try:
        return list(run_generated(contract, base=base, token=token_of(base, token), examples=examples, only=only))
    except GeneratorError as error:
        raise click.ClickException(str(error)) from error


@cli.command(short_help="Keep what a release offers.")
@click.argument("slug", type=Slug())
@click.pass_obj
def baseline(root: Path, /, slug: str) -> None:
    """Keep what a service offers today as the baseline of its release, with which later versions are compared."""
    write = _load("crm_reference.trace.baseline", "write_baseline")
    contract = _contract(root)
    if slug not in contract.services:
        raise click.UsageError(f"there is no service {slug}; there are {', '.join(contract.services)}")
    click.echo(f"wrote {write(root, contract, slug).relative_to(root)}")


@cli.command("new-service", short_help="Write the files of a new service.")
@click.argument("slug", type=Slug())
@click.option("--title", default="", help="Title of the chapter; default: the slug in words.")
@click.pass_obj
def new_service(root: Path, /, slug: str, title: str) -> None:
    """Write the folders and files of a new service, ready to be filled."""
    create = _load("crm_reference.scaffold", "new_service")
    for path in create(root, slug, title=title or slug.replace("-", " ").capitalize()):
        click.echo(f"wrote {path}")


def main() -> None:
    """Run the command line; every error becomes a line and an exit code."""
    try:
        cli(prog_name="crm-reference", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("crm-reference: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # the reader of our output has gone, as head does; what is left can go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_PROBLEM)
    except Exception as error:
        sys.exit(_explain(error))


def _explain(error: Exception) -> int:
    """Print an error for people and return the exit code."""
    from crm_reference.contract import ContractError
    from crm_reference.emulator.server import ServerError
    from crm_reference.emulator.store import StoreError

    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, ContractError):
        for finding in error.findings:
            click.echo(str(finding), err=True)
    elif isinstance(error, ServerError | StoreError):
        click.echo(f"crm-reference: {error}", err=True)
    elif isinstance(error, OSError):
        said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        click.echo(f"crm-reference: {said}", err=True)
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        said = f"a bug, {type(error).__name__}: {error} ({where}); set {TRACEBACK}=1 to see more, and report it"
        click.echo(f"crm-reference: {said}", err=True)
    return EXIT_PROBLEM


def _check_lint(root: Path, contract: Contract, only: tuple[str, ...]) -> int:
    lint = _load("crm_reference.contract.lint", "lint")
    slugs = _slugs(contract, only)
    findings = [f for slug in slugs for f in lint(contract, service=slug)] if only else lint(contract)
    return _report("lint", findings)


def _check_vectors(root: Path, contract: Contract, only: tuple[str, ...]) -> int:
    from crm_reference.emulator import Engine
    from crm_reference.exchanges import run_vectors

    slugs = _slugs(contract, only)
    results = [r for r in run_vectors(contract, Engine(contract)) if not only or r.service in slugs]
    return _report("vectors", [r.finding for r in results if r.finding], len(results))


def _check_exchanges(root: Path, contract: Contract, only: tuple[str, ...]) -> int:
    from crm_reference.emulator import Engine
    from crm_reference.exchanges import check as run

    with _progress("exchanges") as progress:
        findings = run(contract, Engine(contract), only=only, progress=progress)
    return _report("exchanges", findings, len(_selected(contract, only)))


def _check_laws(root: Path, contract: Contract, only: tuple[str, ...]) -> int:
    return _run_laws(contract)


def _run_laws(contract: Contract, only: tuple[str, ...] = (), *, force: bool = False) -> int:
    from crm_reference.conformance.laws import names
    from crm_reference.conformance.session import try_laws
    from crm_reference.contract import Finding
    from crm_reference.trace.subjects import place_of_subject

    unknown = [name for name in only if name not in names()]
    if unknown:
        raise click.BadParameter(f"{unknown[0]} is no law; there are {', '.join(sorted(names()))}", param_hint="--only")
    with _progress("laws") as progress:
        found = try_laws(contract, only=only, force=force, progress=progress)
    broken = [
        Finding(place_of_subject(contract, e.subject), f"law.{e.law}", f"{e.subject}: {' '.join(e.message.split())}")
        for e in found.those("failed")
    ]
    kept = len(found.entries) - found.ran
    _report("laws", broken, len(found.entries), note=f" ({kept} of them unchanged since an earlier run)" if kept else "")
    return len(broken)


def _check_trace(root: Path, contract: Contract, only: tuple[str, ...]) -> int:
    gate, summary = _load("crm_reference.trace", "gate"), _load("crm_reference.trace", "summary")
    report = gate(root, contract)
    for line in summary(report):
        click.echo(line)
    return len(report.gaps)


_CHECKS: dict[str, Callable[[Path, Contract, tuple[str, ...]], int]] = {
    "lint": _check_lint,
    "vectors": _check_vectors,
    "exchanges": _check_exchanges,
    "laws": _check_laws,
    "trace": _check_trace,
}


def _print_figures(root: Path, contract: Contract, out: Path) -> int:
    """Print the figures of a written bundle and of what proves it; return how many are too small."""
    from crm_reference.contract.figures import figures, table
    from crm_reference.trace.report import proof_figures

    found = (*figures(out), *proof_figures(root, contract))
    for line in table(found):
        click.echo(line)
    return sum(not figure.holds for figure in found)


def _selected(contract: Contract, only: tuple[str, ...]) -> dict[str, Exchange]:
    """Return the exchanges that ``--only`` names.

    :raises click.UsageError: If a name is that of nothing.
    """
    from crm_reference.exchanges import ExchangeError, select

    try:
        return select(contract, only)
    except ExchangeError as error:
        raise click.BadParameter(error.finding.message, param_hint="--only") from error


def _slugs(contract: Contract, only: tuple[str, ...]) -> set[str]:
    """Return the services that the named services, operations and exchanges belong to."""
    named = {name for name in only if name in contract.services}
    return named | {exchange.service for exchange in _selected(contract, only).values()}


def _report(part: str, findings: Iterable[Finding], of: int | None = None, note: str = "") -> int:
    count = _print_findings(findings)
    click.echo(f"{part}: {_count(count, 'problem')}{f' in {of}' if of is not None else ''}{note}")
    return count


def _print_findings(findings: Iterable[Finding]) -> int:
    count = 0
    for count, finding in enumerate(findings, 1):  # noqa: B007  (the count is what is returned)
        click.echo(str(finding))
    return count


def _count(number: int, word: str) -> str:
    """Return a number with its word.

    >>> _count(1, "file"), _count(2, "file")
    ('1 file', '2 files')
    """
    return f"{number} {word}{'' if number == 1 else 's'}"


def _contract(root: Path) -> Contract:
    from crm_reference.contract import load

    return load(root)


def _nearest_root(folder: Path) -> Path:
    return next((f for f in (folder, *folder.parents) if (f / "source_specs" / "common").is_dir()), folder)


def _load(module: str, name: str) -> Any:
    """Import a function of the package that does the work.

    :raises Failure: If this installation lacks the package.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        message = f"{module} can't be used without {error.name}; install the project with `make .venv`"
        raise Failure(message) from error


@contextmanager
def _progress(what: str) -> Iterator[Callable[[Any, int, int], None] | None]:
    """Show a bar on a terminal, and nothing where the output goes to a file."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(what, total=None)
        yield lambda _, done, total: bar.update(line, completed=done, total=total)


if __name__ == "__main__":
    main()
