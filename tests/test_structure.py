"""The shape of the project: who imports whom, how long things are, what stands where, and what stands nowhere."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "extensions" / "crm_reference"

#: Longest module and longest function, in lines.
MODULE, FUNCTION = 500, 60

#: What each package may import of the others. Data flows down this table and never up.
LAYERS: dict[str, set[str]] = {
    "contract": set(),
    "emulator": {"contract"},
    "exchanges": {"contract", "emulator"},
    "trace": {"contract"},
    "conformance": {"contract", "emulator", "exchanges", "trace"},
    "scaffold": {"contract"},
    "sphinx": {"contract", "emulator", "exchanges", "trace"},
    "cli": {"contract", "emulator", "exchanges", "trace", "conformance", "scaffold"},
}

#: What lies at the top beside dot files.
TOP = {
    *("pyproject.toml", "Makefile", "conf.py", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"),
    *("source_specs", "examples", "docs", "extensions", "tests"),
}

#: Longest line, and how much of it a line of running text may leave empty although the next word fits.
MARGIN, SLACK_WIDTH = 132, 12

#: Words that hide who does what (code-style, rules 5 and 14). "Just inside" and "just outside" a bound name a place.
SLACK = re.compile(r"\b(just(?! (?:inside|outside))|simply|easy|easily|please)\b|\be\.g\.", re.IGNORECASE)
KINDS = re.compile(r"(?i)(^|_)(utils?\d?|helpers?|manager|misc)($|_)|(Utils?|Helper|Manager)$")

#: Hosts of package registries, and folders of one machine; users of SCIM have a path that looks like one.
FOREIGN = re.compile(
    r"https?://[^/\s\"']*(?:artifactory|nexus|pypi|npmjs|registry)[^/\s\"']*|--(?:extra-)?index-url|^\s*registry\s*=\s*http"
    r"|(?<![\w.~:/}-])/(?:work|root|home|Users)/(?!usr_)[\w.-]+",
    re.MULTILINE,
)

#: Marks of work that isn't done. The scaffold's templates hold them on purpose: lint refuses a service that keeps one.
UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
TEMPLATES = "extensions/crm_reference/scaffold/templates/"

TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".jinja", ".css", ".js", ".json", ".cfg", ".txt", ".sh", ""}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def modules() -> tuple[Path, ...]:
    """Return the modules of the package."""
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def programs() -> tuple[Path, ...]:
    """Return everything that is written in Python."""
    return (*modules(), *sorted((ROOT / "tests").rglob("*.py")), ROOT / "conf.py")


@cache
def tracked() -> tuple[str, ...]:
    """Return the names of the files that git knows, or would know of on the next commit."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository, so nobody knows which files belong to it")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def texts() -> Iterator[tuple[str, str]]:
    for name in tracked():
        if Path(name).suffix in TEXT and not name.startswith(("examples/recorded/", "LICENSE")):
            yield name, (ROOT / name).read_text(encoding="utf-8")


def where(path: Path, node: ast.AST | int) -> str:
    line = node if isinstance(node, int) else getattr(node, "lineno", 1)
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def imports(tree: ast.AST, *, types: bool) -> Iterator[tuple[str, int]]:
    """Yield each imported module; with ``types`` also what only annotations need."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # "from crm_reference import x" can import a module
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module == "crm_reference" else [str(node.module)]
            yield from ((name, node.lineno) for name in names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and not types:
            continue
        yield from imports(node, types=types)


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def edges() -> dict[str, dict[str, list[str]]]:
    """Return for each package the others that it imports, with the places."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path in modules():
        for name, line in imports(tree_of(path), types=False):
            parts = name.split(".")
            if parts[0] == "crm_reference" and len(parts) > 1 and parts[1] in LAYERS and parts[1] != package_of(path):
                found[package_of(path)][parts[1]].append(where(path, line))
    return {package: dict(others) for package, others in found.items()}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


class TestLayers:
    def test_only_one_package_knows_sphinx(self) -> None:
        found = [
            where(path, line)
            for path in modules()
            for name, line in imports(tree_of(path), types=True)
            if name.split(".")[0] in {"sphinx", "docutils", "sphinxcontrib", "myst_parser"} and package_of(path) != "sphinx"
        ]

        assert found == []

    def test_every_package_has_a_place(self) -> None:
        packages = {package_of(path) for path in modules()} - {"__init__"}

        assert packages == set(LAYERS)

    @pytest.mark.parametrize("package", LAYERS)
    def test_data_flows_one_way(self, package: str) -> None:
        unexpected = {other: places for other, places in edges().get(package, {}).items() if other not in LAYERS[package]}

        assert unexpected == {}

    def test_no_package_leads_back_to_itself(self) -> None:
        def reached(package: str, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
            for other in edges().get(package, {}):
                if other == path[0]:
                    yield (*path, other)
                elif other not in path:
                    yield from reached(other, (*path, other))

        assert [" -> ".join(path) for package in edges() for path in reached(package, (package,))] == []

    def test_tests_are_no_packages(self) -> None:
        assert list((ROOT / "tests").rglob("__init__.py")) == []


class TestSizes:
    def test_no_module_is_long(self) -> None:
        counted = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in programs()}

        assert [f"{where(path, 1)} has {n} lines" for path, n in counted.items() if n > MODULE] == []

    def test_no_function_is_long(self) -> None:
        found = [
            f"{where(path, f)} {f.name} has {(f.end_lineno or 0) - f.lineno + 1} lines"
            for path in programs()
            for f in functions(path)
            if (f.end_lineno or 0) - f.lineno >= FUNCTION
        ]

        assert found == []


class TestNames:
    def test_public_names_have_a_docstring(self) -> None:
        found = [where(path, 1) for path in modules() if not ast.get_docstring(tree_of(path)) and path.stat().st_size]
        for path in modules():
            for node, name in _public(tree_of(path)):
                if not ast.get_docstring(node):
                    found.append(f"{where(path, node)} {name}")

        assert found == []

    def test_docstrings_begin_with_one_sentence(self) -> None:
        found = []
        for path in modules():
            for node, name in _public(tree_of(path)):
                first = (ast.get_docstring(node) or ".").split("\n\n")[0].strip().rstrip("'`)")
                if not first.endswith((".", "?", ":")):
                    found.append(f"{where(path, node)} {name}: {first[-40:]!r}")

        assert found == []

    def test_exported_names_exist(self) -> None:
        found = []
        for path in modules():
            bound = {name for node in tree_of(path).body for name in _bound(node)}
            for name in _exported(tree_of(path)):
                if name not in bound:
                    found.append(f"{where(path, 1)} {name}")

        assert found == []

    def test_exported_names_are_sorted_and_once(self) -> None:
        for path in modules():
            names = _exported(tree_of(path))
            assert len(names) == len(set(names)), where(path, 1)

    def test_are_of_a_role_and_not_of_a_kind(self) -> None:
        found = [where(path, 1) for path in programs() if KINDS.search(path.stem)]
        found += [
            f"{where(path, node)} {node.name}"
            for path in programs()
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.ClassDef) and KINDS.search(node.name)
        ]

        assert found == []


class TestFiles:
    def test_top_level_holds_what_it_may(self) -> None:
        names = {name.split("/")[0] for name in tracked()}

        assert {name for name in names if not name.startswith(".")} == TOP

    def test_no_registry_and_no_machine_is_named(self) -> None:
        found = [f"{name}: {match[0]}" for name, text in texts() if name != _HERE for match in FOREIGN.finditer(text)]

        assert found == []

    def test_nothing_waits_to_be_done(self) -> None:
        found = [
            f"{name}: {match[0]}"
            for name, text in texts()
            if not name.endswith(".py") and not name.startswith(TEMPLATES)
            for match in UNDONE.finditer(text)
        ]
        found += [f"{where(path, line)}: {text}" for path in programs() for line, text in _comments(path) if UNDONE.search(text)]

        assert found == []

    def test_nothing_is_left_out_in_code(self) -> None:
        found = [
            where(path, node)
            for path in programs()
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc)
        ]

        assert found == []

    def test_what_is_skipped_has_a_reason(self) -> None:
        found = []
        for path in programs():
            for node in ast.walk(tree_of(path)):
                said = ast.unparse(node) if isinstance(node, ast.Call | ast.Attribute) else ""
                if isinstance(node, ast.Call) and re.match(r"pytest\.(mark\.)?(skip|skipif|xfail)\(", said):
                    reasons = [*(k.value for k in node.keywords if k.arg == "reason"), *node.args[-1:]]
                    if not any(len(ast.unparse(reason)) > 20 for reason in reasons):
                        found.append(f"{where(path, node)} {said}")
            for node in ast.walk(tree_of(path)):
                for mark in getattr(node, "decorator_list", ()):
                    if re.fullmatch(r"pytest\.mark\.(skip|xfail)", ast.unparse(mark)):
                        found.append(f"{where(path, mark)} {ast.unparse(mark)}")

        assert found == []

    def test_every_ignore_has_a_reason(self) -> None:
        reasoned = re.compile(r"#\s*(?:ruff: )?(?:noqa(?:: [\w, ]+)?|type: ignore\[[\w, -]+\]|pragma: no cover)\s+(?:#\s*|\()\w+")
        found = [
            f"{where(path, line)}: {text}"
            for path in programs()
            for line, text in _comments(path)
            if re.search(r"\bnoqa\b|type: ignore|pragma: no", text) and not reasoned.search(text)
        ]

        assert found == []


class TestWords:
    def test_pages_call_nothing_easy(self) -> None:
        found = []
        for name, text in texts():
            if name.endswith(".md") and not name.startswith(TEMPLATES):
                prose = re.sub(r"(?ms)^(`{3,}|:{3,})[^\n]*code.*?^\1|^```(?!\{).*?^```|`[^`\n]+`", "", text)
                found += [f"{name}: {match[0]}" for match in SLACK.finditer(prose)]

        assert found == []

    def test_docstrings_call_nothing_easy(self) -> None:
        found = []
        for path in modules():
            for node in ast.walk(tree_of(path)):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    said = ast.get_docstring(node) or ""
                    # where lint names the words that it refuses, they are words and not prose
                    found += [f"{where(path, node)}: {m[0]}" for m in SLACK.finditer(said) if "don't appear" not in said]

        assert found == []

    def test_docstrings_and_comments_are_filled(self) -> None:
        found = [f"{where(path, line)}: {text.strip()!r}" for path in programs() for line, text in _ragged(path)]

        assert found == []


_HERE = Path(__file__).resolve().relative_to(ROOT).as_posix()


def _public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Yield the public classes and functions of a module, and the public methods of public classes."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
            continue
        overloads = {"overload", "override"} & {ast.unparse(d).split(".")[-1] for d in node.decorator_list}
        if not overloads:
            yield node, prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _public(node, f"{node.name}.")


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at the top of a module binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    elif isinstance(node, ast.If | ast.Try):
        for inner in ast.walk(node):
            if isinstance(inner, ast.stmt) and inner is not node:
                yield from _bound(inner)


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _ragged(path: Path) -> Iterator[tuple[int, str]]:
    """Yield lines of docstrings and comments that end long before the margin, although the next line's first word fits.

    Lists, literal blocks, examples and tables are left alone.
    """
    for start, lines in _paragraphs(path):
        for number, (line, following) in enumerate(pairwise(lines), start):
            first = following.strip().lstrip("#:").split()[0]
            if len(line) + 1 + len(first) <= MARGIN - SLACK_WIDTH:
                yield number, line


def _paragraphs(path: Path) -> Iterator[tuple[int, list[str]]]:
    source = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            said = node.body[0]
            yield from _blocks(source[said.lineno - 1 : said.end_lineno], said.lineno)
    comment: list[str] = []
    for number, line in enumerate([*source, ""], 1):
        if line.lstrip().startswith(("# ", "#: ")):
            comment.append(line)
        elif comment:
            yield from _blocks(comment, number - len(comment))
            comment = []


def _blocks(lines: list[str], first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield paragraphs of running text with the number of their first line.

    A paragraph ends at an empty line, at the next entry of a list or of fields, and where the text is indented anew. What stands
    between fences, below ``::`` or from ``>>>`` to an empty line is no running text.
    """
    block: list[str] = []
    fenced = quoted = False
    for number, line in enumerate([*lines, ""], first):
        text = re.sub(r'^(#:?|"{3}|r"{3})\s*', "", line.strip()).removesuffix('"""').strip()
        entry = re.match(r":\w[^:]*:\s|[*|=~-]|>>>|\.\. |```|\d+\. ", text)
        if block and (not text or entry or (len(block) > 1 and _indent(line) != _indent(block[-1]))):
            yield number - len(block), block
            quoted = block[-1].endswith("::")
            block = []
        elif not text:
            quoted = False
        fenced ^= text.startswith("```")
        quoted = quoted or text.startswith((">>>", "|", "=", "~"))
        if text and not fenced and not quoted and not text.startswith("```"):
            block.append(line)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
