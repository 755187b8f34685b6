"""Take a corpus of foreign networks through Chameleon and print a table.

    python benchmarks/corpus list                  the networks, by family
    python benchmarks/corpus export [NAMES]        write the ONNX files, once
    python benchmarks/corpus run [NAMES]           tune each, time it beside onnxruntime
    python benchmarks/corpus table results.jsonl   what came of it, as Markdown
    python benchmarks/corpus compile [NAMES]       each through torch.compile(backend="chameleon")

NAMES are of networks or of families. An interrupted export or run goes on where it was. Weights are
random; nothing is downloaded but five wheels with trained files. Needs the extras `corpus` and
`verify`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import compiling
import exporting
from table import table
from tuning import rows, run

FOLDER = Path(__file__).parents[2] / "corpus"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(
        "corpus", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    commands.add_parser("list").set_defaults(command=_list)
    for name, function in COMMANDS.items():
        command = commands.add_parser(name)
        command.set_defaults(command=function)
        command.add_argument("names", nargs="*")
        command.add_argument("--folder", type=Path, default=FOLDER)
        if function is _run:
            command.add_argument("--budget", default="60s", help="of each network")
            command.add_argument("--out", type=Path, help="default: results.jsonl in the folder")
    compiled = commands.add_parser("compile")
    compiled.set_defaults(command=_compile)
    compiled.add_argument("names", nargs="*")
    compiled.add_argument("--trials", type=int, default=32, help="of each graph")
    shown = commands.add_parser("table")
    shown.set_defaults(command=_table)
    shown.add_argument("results", type=Path)
    asked = parser.parse_args()
    return int(asked.command(asked) or 0)


def _list(_: argparse.Namespace) -> None:
    networks = exporting.networks().values()
    for network in sorted(networks, key=lambda network: (network.family, network.name)):
        print(f"{network.family}: {network.name} ({network.origin})")


def _export(asked: argparse.Namespace) -> int:
    return 1 if exporting.export(asked.folder, asked.names) else 0


def _run(asked: argparse.Namespace) -> None:
    out = asked.out or asked.folder / "results.jsonl"
    run(asked.folder, asked.names, asked.budget, out)


def _compile(asked: argparse.Namespace) -> int:
    return compiling.compile_all(asked.names or list(compiling.TWENTY), asked.trials)


def _table(asked: argparse.Namespace) -> None:
    print("\n".join(table(rows(asked.results))))


COMMANDS = {"export": _export, "run": _run}
"""The commands that take names of networks."""

if __name__ == "__main__":
    sys.exit(main())
