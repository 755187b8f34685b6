"""The README and the pages of docs/ are true: commands, examples, names, links and navigation."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from chameleon_tuner.app.options import Options
from chameleon_tuner.app.tune import by_name
from chameleon_tuner.backends.program.knobs import space_of
from chameleon_tuner.backends.program.parsing import parse
from chameleon_tuner.backends.tvm.rewrites import registered
from chameleon_tuner.bench.compare.comparison import ComparisonOptions
from chameleon_tuner.cli.app import chameleon

if sys.version_info >= (3, 11):
    import tomllib
else:  # mypy brings it
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "chameleon_tuner"
PAGES = {"README.md": ROOT / "README.md"} | {p.name: p for p in sorted(DOCS.glob("*.md"))}
TEXTS = {name: path.read_text() for name, path in PAGES.items()}
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

NOT_RUN = {
    "compare.md": ["needs files of the Benchmark Hub"],
    "contributing.md": ["compares two replays, which take some minutes each"],
    "deploy.md": ["a part; tests/backends/tvm/deploy/test_exporting.py runs a whole program"],
    "models.md": [
        "needs a model of yours with an open dimension",
        "needs a model and arrays of yours",
    ],
    "tune.md": [
        "tunes with TVM's own builder, whose workers take a minute to start",
        "needs a Relax module of yours, and its folder",
    ],
    "pytorch.md": [
        "tunes for a minute; tests/torch/test_backend.py compiles modules",
        "tunes for a minute; tests/torch/test_ahead.py compiles a module",
        "loads PyTorch; tests/backends/tvm/frontend/test_exported.py tunes such models",
    ],
}
"""Why examples are not run, by page. Such an example has `<!-- not run: why -->` before it."""

STAND_INS = {
    '"resnet18.onnx"': '"{model}"',
    '"tuned/': '"{folder}/',
    "1, 3, 224, 224": "1, 3, 64, 64",
}
"""What the examples name, and what stands in for it: a small network and its tuned folder."""


# -- the pages as code blocks and words


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        page: Name of the page.
        line: Line on which the block begins.
        language: Word after the fence; empty without one.
        title: Name of the file that the block is the content of; empty without one.
        code: The content.
        not_run: Why an example cannot be run; empty if it can.
    """

    page: str
    line: int
    language: str
    title: str
    code: str
    not_run: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.*?) -->\n)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


def blocks_of(page: str) -> Iterator[Block]:
    for found in FENCE.finditer(TEXTS[page]):
        line = TEXTS[page].count("\n", 0, found.start("language")) + 1
        language, title, code, why = found.group("language", "title", "code", "why")
        yield Block(page, line, language, title or "", code, why or "")


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def prose_of(page: str) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", TEXTS[page])


def spans_of(page: str) -> set[str]:
    """The inline code of a page."""
    return {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose_of(page))}


# -- commands


def command_lines(code: str) -> Iterator[list[str]]:
    """The words of every `chameleon` command of a block of shell commands."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "chameleon":
            yield words[1:]


TYPED = [
    pytest.param(words, id=f"{block.place}: {' '.join(words)}"[:90])
    for block in BLOCKS
    if block.language in ("", "sh")
    for words in command_lines(block.code)
]


def commands_of(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands by the words that call them, those of groups in their place."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS: Mapping[str, click.Command] = dict(commands_of(chameleon))


def called(words: Sequence[str]) -> tuple[str, list[str]]:
    """The name of the command that words call, and its arguments."""
    count = 2 if isinstance(chameleon.commands.get(words[0]), click.Group) else 1
    return " ".join(words[:count]), list(words[count:])


def options_of(command: click.Command) -> set[str]:
    """All spellings of a command's options."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


COMMON = {"-h", "--help"}


@pytest.mark.parametrize("words", TYPED)
def test_typed_commands_can_be_parsed(words: list[str]) -> None:
    if words[0].startswith("-"):
        assert words[0] in options_of(chameleon) | COMMON
        return
    name, arguments = called(words)
    if set(arguments) <= COMMON and name not in COMMANDS:
        return  # the help of a group
    context = click.Context(chameleon, info_name="chameleon")
    parsed = COMMANDS[name].make_context(name, arguments, parent=context).params
    if name == "tune":
        apart = ("model", "out", "quiet", "shapes", "no_store")
        options = {k: v for k, v in parsed.items() if k not in apart}
        Options(**by_name(options, list(registered()))).check(list(registered()))
    if name == "compare":
        options = {k: v for k, v in parsed.items() if k not in ("out", "tasks")}
        ComparisonOptions(**options).contest()


def test_there_are_commands_of_every_kind() -> None:
    typed = [words.values[0] for words in TYPED]
    assert {called(words)[0] for words in typed if words} >= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES)
def test_mentioned_commands_and_options_exist(page: str) -> None:
    others = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    ours = COMMON | options_of(chameleon).union(*map(options_of, COMMANDS.values()))
    unknown = []
    for span in spans_of(page):
        [first, *words] = span.split()
        if first == "chameleon" and words and not words[0].startswith("-"):
            name, arguments = called(words)
            known = options_of(COMMANDS[name]) | COMMON if name in COMMANDS else set()
            used = {word for word in arguments if word.startswith("-")}
            exists = name in COMMANDS or name in chameleon.commands
            unknown += [] if exists and used <= known else [span]
        elif re.fullmatch(r"--[a-z-]+", first) and first not in ours and f'"{first}"' not in others:
            unknown.append(span)
    assert set(unknown) <= OF_OTHER_TOOLS


OF_OTHER_TOOLS = {"--no-as-needed"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_in_its_section(name: str) -> None:
    [section] = sections_of(name)
    group = sections_of(name.split()[0]) if " " in name else []  # has what its commands share
    spans = re.findall(r"`([^`]+)`", "".join([section, *(_before_parts(one) for one in group)]))
    assert options_of(COMMANDS[name]) <= {word for span in spans for word in span.split()}


def sections_of(name: str) -> list[str]:
    """The sections whose headings name a command."""
    heading = re.compile(
        rf"^(##+) [^\n]*`chameleon {name}`.*?(?=^\1 |\Z)", re.DOTALL | re.MULTILINE
    )
    return [m[0] for page in PAGES for m in heading.finditer(prose_of(page))]


def _before_parts(section: str) -> str:
    """What a section says before its subsections."""
    return re.split(r"^###+ ", section, maxsplit=1, flags=re.MULTILINE)[0]


def test_what_all_commands_have_is_documented() -> None:
    documented = spans_of("index.md")
    assert {f"chameleon {option}" for option in options_of(chameleon)} <= documented
    assert documented >= COMMON


def test_targets_of_make_exist() -> None:
    known = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join(block.code for block in BLOCKS if block.language == "sh")
    used = {*re.findall(r"^make (\w+)", code, re.MULTILINE)}
    used |= {span.split()[1] for page in PAGES for span in spans_of(page) if span[:5] == "make "}
    assert {"test", "demo", "docs"} <= used <= known


# -- examples


PRELUDE = """\
# A run takes half a minute: what would start one checks its model and options, and returns the
# result of the run that the tests share. tests/app/test_tune.py tunes for real.
import json
from pathlib import Path

import chameleon_tuner.app.tune
from chameleon_tuner.report.result import Result


def run(model, out, options, progress, clock, backend):
    options.check([algorithm.name for algorithm in backend.algorithms])
    backend.read(model, options.target, options.shapes)
    folder = Path({folder!r})
    return Result(**json.loads((folder / "summary.json").read_text()), folder=folder)


chameleon_tuner.app.tune.run = run
"""


def with_stand_ins(code: str, model: Path, folder: Path) -> str:
    for named, other in STAND_INS.items():
        code = code.replace(named, other.format(model=model, folder=folder))
    return code


def script_of(page: str, model: Path, folder: Path) -> str:
    """All Python examples of a page that can be run, one after another."""
    mine = [
        b for b in BLOCKS if (b.page, b.language, b.title, b.not_run) == (page, "python", "", "")
    ]
    code = "\n".join(f"# {block.place}\n{block.code}" for block in mine)
    prelude = PRELUDE.format(folder=str(folder)) if "chameleon_tuner.tune" in code else ""
    return prelude + with_stand_ins(code, model, folder)


WITH_EXAMPLES = sorted(
    {b.page for b in BLOCKS if b.language == "python" and not b.title and not b.not_run}
)
EXTENDING = [block for block in BLOCKS if block.title]
ALGORITHM = "chameleon_tuner/backends/tvm/rewrites/"

Job = tuple[Sequence[str], Path, Mapping[str, str]]
"""A command, the folder that it runs in, and additional environment variables."""


def jobs(model: Path, tuned: Path, scratch: Path) -> Iterator[tuple[str, Job]]:
    """All examples as processes, the long ones first."""
    yield "parts", parts_job(scratch / "parts")
    yield "algorithm", algorithm_job(scratch / "algorithm")
    for page in WITH_EXAMPLES:
        here = scratch / page
        here.mkdir()
        script = here / "examples.py"
        script.write_text(script_of(page, model, tuned))
        yield page, ([sys.executable, str(script)], here, {})
    if shutil.which("cmake"):
        yield "C++", cpp_job(scratch / "cpp", tuned)
    yield "replay", ([sys.executable, "try_them.py"], scratch / "parts", {})


def parts_job(folder: Path) -> Job:
    """The parts of extending.md with their contract suites, but for the algorithm."""
    for block in EXTENDING:
        if not block.title.startswith(ALGORITHM) and block.title != "test_fasttanh.py":
            write(folder / block.title, block.code)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."], folder, {}


def algorithm_job(folder: Path) -> Job:
    """The algorithm of extending.md in a copy of the package, with its contract suite.

    Without the libraries, which take a quarter of a minute: test_backend_contract.py builds them
    with the algorithms that there are.
    """
    shutil.copytree(PACKAGE, folder / "chameleon_tuner")
    for block in EXTENDING:
        if block.title.startswith(ALGORITHM) or block.title == "test_fasttanh.py":
            write(folder / block.title, block.code)
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fasttanh.py"]
    return [*pytest_, "-k", "not librar and not written"], folder, {"PYTHONPATH": str(folder)}


def cpp_job(folder: Path, tuned: Path) -> Job:
    """The C++ program of an exported model: compiled and run as deploy.md says."""
    folder.mkdir()
    steps = [b.code for b in BLOCKS if b.page == "deploy.md" and "deploy" in b.code.split("-B")[0]]
    script = "".join(code for code in steps if code.startswith(("chameleon export", "cmake")))
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    code = script.replace("tuned/", shlex.quote(str(tuned)))
    return ["bash", "-euc", code], folder, {"PATH": path}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def finished(job: Job) -> subprocess.CompletedProcess[str]:
    command, folder, environment = job
    temporary = folder / "tmp"  # other runs on the machine need not be waited for
    temporary.mkdir(exist_ok=True)
    variables = {**os.environ, "TMPDIR": str(temporary), **environment}
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240
    )


Started = Mapping[str, "Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture(scope="module")
def started(
    tiny_onnx: Path, tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Started]:
    """Processes of all examples, two at a time."""
    scratch = tmp_path_factory.mktemp("docs")
    with ThreadPoolExecutor(2) as executor:
        every = list(jobs(tiny_onnx, tuned_folder, scratch))
        yield {name: executor.submit(finished, job) for name, job in every}


def output_of(started: Started, name: str) -> str:
    done = started[name].result()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_what_is_not_run_is_known() -> None:
    marked: dict[str, list[str]] = {}
    for block in BLOCKS:
        if block.not_run:
            marked.setdefault(block.page, []).append(block.not_run)
    assert marked == NOT_RUN


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "toml"], ids=lambda b: b.place
)
def test_specifications_of_programs_can_be_read(block: Block) -> None:
    assert space_of(parse(tomllib.loads(block.code), ROOT)).count > 1


def test_languages_are_known() -> None:
    """A block in another language would not be checked."""
    assert {block.language for block in BLOCKS} <= {"", "sh", "text", "python", "cpp", "toml"}


@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_examples_run(started: Started, page: str) -> None:
    assert output_of(started, page).strip()


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_the_cpp_example_computes_what_the_library_computes(
    started: Started, tuned_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import numpy as np

    from chameleon_tuner import Session

    [expected] = Session(tuned_folder).run(None, {"input": np.zeros((1, 3, 64, 64), "float32")})
    assert "output: 40 bytes" in output_of(started, "C++")
    [found, *_] = tmp_path_factory.getbasetemp().glob("docs*/cpp/output0.bin")
    np.testing.assert_array_equal(np.fromfile(found, np.float32), expected.ravel())


def test_the_parts_pass_their_contracts(started: Started) -> None:
    suites = {f"Test{name}" for name in ("NeighbourExplorer", "EverySketchSampler")}
    suites |= {"TestNearestSurrogate", "TestFunctionMeasurer", "TestNumpyBackend"}
    written = "".join(block.code for block in EXTENDING)
    assert all(f"class {suite}(" in written for suite in suites)
    assert int(re.findall(r"(\d+) passed", output_of(started, "parts"))[0]) > 100


def test_the_algorithm_passes_its_contract(started: Started) -> None:
    assert int(re.findall(r"(\d+) passed", output_of(started, "algorithm"))[0]) > 10


def test_the_parts_search_a_recording(started: Started) -> None:
    found = re.fullmatch(r"resnet18-6: (\d+) us\n", output_of(started, "replay"))
    assert found
    assert int(found[1]) < 1_200


# -- names of modules, paths and links


def names_in(body: Sequence[ast.stmt]) -> dict[str, ast.stmt]:
    """What a module or a class defines or imports, by name."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name): node for alias in node.names}
        elif isinstance(node, ast.AnnAssign):
            found[ast.unparse(node.target)] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                found |= {n.id: node for n in ast.walk(target) if isinstance(n, ast.Name)}
        elif isinstance(node, ast.If):
            found |= names_in(node.body)
    return found


def definition(name: str) -> ast.AST | None:
    """What a name such as `search.loop.search` stands for; None if there is no such thing.

    Args:
        name: Dotted name, relative to the package.
    """
    place, parts = PACKAGE, name.split(".")
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if parts and (place / f"{parts[0]}.py").is_file():
        place /= f"{parts.pop(0)}.py"
    path = place / "__init__.py" if place.is_dir() else place
    if not path.is_file():
        return None
    node: ast.AST = ast.parse(path.read_text())
    for part in parts:
        if not isinstance(node, ast.Module | ast.ClassDef) or part not in names_in(node.body):
            return None
        node = names_in(node.body)[part]
    return node


FILES = {"md", "db", "lock", "json", "so", "py", "params", "txt", "html", "toml", "yml", "npz"}
"""Endings that make a span the name of a file."""


@pytest.mark.parametrize("page", PAGES)
def test_named_modules_and_functions_exist(page: str) -> None:
    code = "\n".join(b.code for b in BLOCKS if b.page == page and b.language == "python")
    named = {f"{a}.{b}" for a, b in re.findall(r"from (chameleon_tuner[\w.]*) import (\w+)", code)}
    unknown = set()
    for name in {name.removesuffix("()") for name in spans_of(page)} | named:
        relative = name.removeprefix("chameleon_tuner.")
        room, _, rest = relative.partition(".")
        dotted = re.fullmatch(r"[a-z_]+(\.\w+)+", name) and relative.rpartition(".")[2] not in FILES
        ours = name != relative or (room in ROOMS and rest and room != "torch")
        if dotted and ours and definition(relative) is None:
            unknown.add(name)
    assert {name for name in unknown if "fasttanh" not in name} == set()


PATH = re.compile(r"[\w.-]+(?:/[\w.*-]+)*/?")


def is_a_path(text: str) -> bool:
    """Whether a span names a file or a folder of the repository."""
    if not PATH.fullmatch(text) or "/" not in text or re.search(r"\b[A-Z]+\b", text):
        return False
    first, last = text.split("/")[0], text.rstrip("/").rpartition(".")[2]
    ours = first in {"src", "tests", "benchmarks", "docs", *ROOMS}
    return ours or last == "py"


OF_A_COMPARISON = {"figures/", "tasks/", "runs/", "neutral/", "messages/"}


@pytest.mark.parametrize("page", PAGES)
def test_named_paths_exist(page: str) -> None:
    named = {word for span in spans_of(page) for word in span.split() if is_a_path(word)}
    named |= set(re.findall(r"benchmarks/[\w/-]+(?:\.\w+)+", TEXTS[page]))
    places = (ROOT, PACKAGE, PACKAGE / "backends")
    missing = {name for name in named if not any(any(p.glob(name.rstrip("/"))) for p in places)}
    assert missing - OF_A_COMPARISON == set()


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as the site makes them."""
    text = FENCE.sub("", page.read_text())
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in found)
    kept = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in plain)
    return {re.sub(r"[-\s]+", "-", heading) for heading in kept}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (PAGES[page].parent / path).resolve() if path else PAGES[page]
        inside = there.is_relative_to(DOCS if page != "README.md" else ROOT)
        if not there.exists() or not inside or (anchor and anchor not in anchors_of(there)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_navigation_and_every_figure_on_a_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2].partition("\ntheme:")[0]
    listed = re.findall(r"[\w/-]+\.md", navigation)
    assert sorted(listed) == sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md"))
    others = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*") if p.is_file()} - set(listed)
    used = "".join(TEXTS.values()) + (ROOT / "mkdocs.yml").read_text()
    assert {name for name in others if name not in used} == set()


# -- the rooms, and the walks through them


def layers_of(container: str) -> list[list[str]]:
    """The layers that `lint-imports` checks, from the top; the rooms of one layer are a list."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    [mine] = [c for c in contracts if c["type"] == "layers" and c["containers"] == [container]]
    return [re.split(r" [|:] ", layer) for layer in mine["layers"]]


def test_the_diagram_shows_the_layers() -> None:
    drawn = (DOCS / "figures" / "rooms.svg").read_text()
    boxes = re.findall(
        r'y="(\d+)" font-size="1[56]" font-weight="600" fill="#\d+"[^>]*>(\w+)<', drawn
    )
    rows: dict[int, list[str]] = {}
    for y, name in boxes:
        rows.setdefault(int(y) // 50, []).append(name)
    layers = ([name for name in layer if name in ROOMS] for layer in layers_of("chameleon_tuner"))
    assert list(rows.values()) == list(layers)  # modules that are no rooms are not drawn
    assert sorted(name for row in rows.values() for name in row) == ROOMS


def source_of(name: str) -> str:
    """The text of the module that a name is in."""
    parts = name.split(".")
    paths = (PACKAGE.joinpath(*parts[:n]).with_suffix(".py") for n in range(len(parts), 0, -1))
    return next(path for path in paths if path.is_file()).read_text()


def height(name: str) -> tuple[int, int]:
    """How high the module of a name is: its room, and within the TVM backend its place there."""
    parts = name.split(".")
    rooms, backend = layers_of("chameleon_tuner"), layers_of("chameleon_tuner.backends.tvm")
    [room] = [-n for n, layer in enumerate(rooms) if parts[0] in layer]
    inside = [
        -n
        for n, layer in enumerate(backend)
        if parts[:2] == ["backends", "tvm"] and parts[2] in layer
    ]
    return room, inside[0] if inside else 0


HOPS = re.findall(
    r"^\| `([\w.]+)` \| `([\w.]+)`(?:<br>through `([\w.]+)`)? \|$",
    TEXTS["how-it-works.md"],
    re.MULTILINE,
)
"""Who calls, who is called, and the interface through which; empty for a direct call."""


@pytest.mark.parametrize("hop", HOPS, ids=lambda hop: f"{hop[0]} -> {hop[1]}")
def test_no_hop_of_the_walks_goes_up(hop: tuple[str, str, str]) -> None:
    caller, callee, interface = hop
    assert definition(caller) is not None
    assert definition(callee) is not None
    assert re.search(rf"\b{callee.rpartition('.')[2]}\(", source_of(caller))
    if not interface:
        assert height(callee) <= height(caller)
    else:
        assert definition(interface) is not None
        assert height(interface) <= height(caller)
        assert height(interface) <= height(callee)
        assert interface.rpartition(".")[2] == callee.rpartition(".")[2]


def test_there_are_two_walks() -> None:
    assert len(HOPS) > 50
    lines = TEXTS["how-it-works.md"].split("| from | to |\n")
    rows = [[line for line in part.splitlines() if line.startswith("| `")] for part in lines[1:]]
    assert sum(map(len, rows)) == len(HOPS)
