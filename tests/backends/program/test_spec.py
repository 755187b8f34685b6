"""A specification is read, and what is wrong with one is told in a line."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chameleon_tuner.backends.program.knobs import space_of
from chameleon_tuner.backends.program.parsing import parse
from chameleon_tuner.backends.program.project import ProgramProject
from chameleon_tuner.backends.program.reading import read_spec
from chameleon_tuner.core.errors import ProgramError
from chameleon_tuner.space import Category, Choice, configuration_at, values_at

WHOLE: dict[str, Any] = {
    "name": "sorting",
    "compile": "cc {defines} {flags} sort.c -o {build}/sort",
    "run": "{build}/sort {threads}",
    "stdin": "numbers",
    "inputs": ["*.h"],
    "constraints": ["tile <= 2 * threads"],
    "parameters": {
        "threads": [1, 2, 4],
        "tile": [2, 8],
        "flags": ["-O2", "-O3 -g"],
        "z": [True, False],
    },
    "default": {"threads": 2},
    "time": {"pattern": "([0-9.]+) ms", "unit": "ms"},
    "check": {"output": "{build}/result", "tolerance": 1e-3, "ignore": ["^#.*"]},
    "limits": {"compile": "2m", "run": "3s", "memory": "2G"},
    "environment": {"OMP_NUM_THREADS": "{threads}", "LEVEL": 3},
}


def test_everything_is_read() -> None:
    spec = parse(WHOLE, Path("/here"))
    assert spec.name == "sorting"
    assert spec.default == {"threads": 2, "tile": 2, "flags": "-O2", "z": True}
    assert (spec.limits.compile_secs, spec.limits.run_secs, spec.limits.memory) == (120, 3, "2G")
    assert spec.environment["LEVEL"].text == "3"
    assert spec.check.tolerance == 1e-3
    assert not spec.time.by_clock


def test_parameters_are_knobs() -> None:
    space = space_of(parse(WHOLE, Path("/here")))
    assert [type(knob) for knob in space.sketches[0].knobs] == [Choice, Choice, Category, Category]
    assert space.count == (1 + 1 + 2) * 4  # with 4 threads both tiles are legal
    chosen = {"threads": 4, "tile": 8, "flags": "-O3 -g", "z": False}
    assert values_at(space, configuration_at(space, chosen)) == chosen


def test_a_minimal_one() -> None:
    spec = parse({"run": "./x {a}", "parameters": {"a": [1, 2]}}, Path("/here"), "x")
    assert (spec.name, spec.compile, spec.default) == ("x", None, {"a": 1})
    assert spec.time.by_clock
    assert spec.check.wanted


def changed(path: str, value: Any) -> dict[str, Any]:
    """The specification with another value, or without one."""
    data = copy.deepcopy(WHOLE)
    *places, last = path.split(".")
    at = data
    for place in places:
        at = at[place]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return data


FAULTS = [
    ("run", None, "there is no run command"),
    ("run", 3, "run: write a text in quotation marks"),
    ("run", "  ", "run: write a text"),
    ("run", "{build}/sort {thread}", "run: there is no parameter 'thread'; did you mean 'threads'"),
    ("compile", "cc sort.c {defines}", "compile: .* write -o {build}/program"),
    ("compile", "cc 'sort.c {build}", "compile: No closing quotation"),
    ("compil", "x", "unknown key 'compil'; did you mean 'compile'"),
    ("parameters", {}, "there are no parameters"),
    ("parameters", [1], "parameters: this is a section"),
    ("parameters.tile", 3, "parameters.tile: write a list"),
    ("parameters.tile", [], "parameters.tile: write a list"),
    ("parameters.tile", [1, "a"], "parameters.tile: values are all numbers"),
    ("parameters.tile", [1, True], "parameters.tile: values are all numbers"),
    ("parameters.tile", [2, 2], "parameters.tile: a value stands there twice"),
    ("parameters.tile", [2, float("nan")], "nan is not a finite number"),
    ("parameters.flags", ["-DX='a"], "parameters.flags: No closing quotation"),
    ("parameters.build", [1], "parameters.build: this name has a meaning of its own"),
    ("parameters.a-b", [1], "use letters, digits and underscores"),
    ("default.tile", 3, "default.tile: 3 is not among its values"),
    ("default.til", 2, "default.til: there is no such parameter; did you mean 'tile'"),
    ("time.unit", "min", "time.unit: 'min' is not a unit"),
    ("time.pattern", "[0-9+ ms", "time.pattern: .* is no regular expression"),
    ("time.pattern", "[0-9]+ ms", "time.pattern: it needs one group"),
    ("time.json", "a.b", "time: give a pattern or a field of JSON, not both"),
    ("time.patern", "x", "unknown key 'time.patern'; did you mean 'pattern'"),
    ("time.of", "result", r"time.of: 'result': write stdout, stderr, or .*{build}/result"),
    ("check.output", "/etc/passwd", "check.output: .*{build}/passwd"),
    ("check.tolerance", "1e-3", "check.tolerance: write a number"),
    ("check.tolerance", -1, "check.tolerance: write a number"),
    ("check.dtype", "float33", "check.dtype: 'float33' is no type"),
    ("check.ignore", ["("], "check.ignore: .* is no regular expression"),
    ("check.command", "cat x", "check: the command's output is compared"),
    ("limits.run", "soon", "limits.run: 'soon' is not a duration"),
    ("environment.X", [1], "environment.X: write a text"),
    ("inputs", "*.h", "inputs: write a list of texts"),
    ("constraints", ["tile <= "], "cannot be read"),
    ("constraints", ["tile <= thread"], "thread"),
    ("constraints", ["__import__('os')"], "constraint"),
    ("constraints", ["tile > 2"], r"the default configuration .* breaks a constraint"),
    ("constraints", ["tile > 9"], "no combination of tile meets all"),
]


@pytest.mark.parametrize(("path", "value", "says"), FAULTS)
def test_what_is_wrong_is_told_in_a_line(path: str, value: Any, says: str) -> None:
    with pytest.raises(ProgramError, match=says) as caught:
        space_of(parse(changed(path, value), Path("/here")))
    assert "\n" not in str(caught.value)


def test_a_parameter_without_effect_is_a_fault() -> None:
    data = {"run": "./x {a}", "parameters": {"a": [1], "b": [1, 2]}}
    with pytest.raises(ProgramError, match=r"parameters\.b has no effect"):
        parse(data, Path("/here"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    ),
    st.sampled_from([*WHOLE, *(f"{s}.{k}" for s in ("time", "check", "limits") for k in WHOLE[s])]),
)
def test_whatever_stands_there_is_read_or_refused(value: Any, path: str) -> None:
    with contextlib.suppress(ProgramError):
        space_of(parse(changed(path, value), Path("/here")))


# -- files


def written(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text)
    return path


MINIMAL = 'run = "cat {a} data"\n[parameters]\na = ["-u", "-E"]\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("run = ", "is not TOML"),
        ('run = "a"\nrun = "b"', "is not TOML"),
        (MINIMAL.replace("cat", "no-such-program"), "'no-such-program' is no program here"),
        (MINIMAL.replace("cat", "./spec.toml"), "'./spec.toml' is no program here"),
        ('stdin = "no"\n' + MINIMAL, "stdin: no: no such file"),
        (MINIMAL + '[check]\nreference = "no"', "check.reference: no: no such file"),
        ('inputs = ["*.h"]\n' + MINIMAL, r"inputs: \*.h: no such file"),
        ('inputs = ["/etc/*"]\n' + MINIMAL, "inputs: .*write a path in the folder"),
    ],
)
def test_a_file_with_a_fault(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ProgramError, match=says) as caught:
        read_spec(written(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "spec.toml"))


@pytest.mark.parametrize("name", ["no/such.toml", "."])
def test_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProgramError, match="give the path of a specification"):
        read_spec(tmp_path / name)


def test_a_file_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_bytes(b"\x80\x81")
    with pytest.raises(ProgramError, match="is not TOML"):
        read_spec(path)


# -- identity


def digest(folder: Path, text: str) -> str:
    return ProgramProject(read_spec(written(folder, text))).digest


def test_the_identity_follows_from_the_specification_and_its_files(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    (tmp_path / "more").write_text("1")
    text = 'inputs = ["m*"]\n' + MINIMAL
    before = digest(tmp_path, text)
    assert digest(tmp_path, text + "# a comment\n") == before
    assert digest(tmp_path, text + '[limits]\nrun = "3s"\n') != before
    for name in ("data", "more"):
        (tmp_path / name).write_text("2")
        assert digest(tmp_path, text) != before
        (tmp_path / name).write_text("1")
    assert digest(tmp_path, text) == before
    (tmp_path / "unnamed").write_text("2")
    assert digest(tmp_path, text) == before


def test_the_identity_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "data").write_text("1")
    first, second = (digest(folder, MINIMAL) for folder in folders)
    assert first == second


def test_the_order_of_parameters_is_part_of_the_identity(tmp_path: Path) -> None:
    texts = [
        'run = "echo {a} {b}"\n[parameters]\n' + values
        for values in ("a = [1, 2]\nb = [3, 4]\n", "b = [3, 4]\na = [1, 2]\n")
    ]
    assert digest(tmp_path, texts[0]) != digest(tmp_path, texts[1])


def test_the_plain_form_keeps_the_order(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, 'run = "echo {b} {a}"\n[parameters]\nb = [1]\na = [2, 3]\n'))
    again = parse(json.loads(json.dumps(spec.plain)), spec.folder)
    assert list(again.parameters) == ["b", "a"]
