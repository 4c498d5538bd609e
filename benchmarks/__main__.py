"""Compare functrace with other libraries.

``python -m benchmarks --vs jax,torch,autograd,numba,numpy --only GROUP[,GROUP] --json FILE``
times groups of cases against those of the peers that are installed; ``--write`` makes
``benchmarks/README.md`` from a JSON file of results.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from benchmarks import libraries, page, report
from benchmarks.groups import NAMES
from benchmarks.runner import Options, Row, run_group


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--list", action="store_true", help="name the groups")
    add("--only", default="", help="groups to run, separated by commas (default: all)")
    add("--match", default="", help="run the cases whose name contains this")
    add("--vs", default=",".join(Options.peers), help="peers, separated by commas")
    add("--json", default="", help="keep the results in this file, beside those it has")
    add("--write", action="store_true", help="write benchmarks/README.md from the --json file")
    add("--quick", action="store_true", help="few short samples: for a coarse look")
    add("--rounds", type=int, default=0, help="samples a contender")
    add("--sample", type=float, default=0.0, help="seconds a sample")
    add("--cpus", type=int, default=None, help="let each child run on this many CPUs")
    return parser.parse_args()


def options_of(args: argparse.Namespace) -> Options:
    peers = tuple(name for name in args.vs.split(",") if name)
    for name in peers:
        if name not in libraries.LIBRARIES:
            sys.exit(f"no contender {name!r}: choose from {', '.join(libraries.LIBRARIES)}")
        if not libraries.installed(name):
            print(f"({name} is not installed in this interpreter: left out)")
    rounds, sample = (5, 0.005) if args.quick else (Options.rounds, Options.sample)
    return Options(
        peers=peers,
        rounds=args.rounds or rounds,
        sample=args.sample or sample,
        match=args.match,
    )


def run(groups: list[str], options: Options, path: str) -> bool:
    """Run, print and keep the groups; whether every result was right."""
    right, facts = True, report.about()
    for group in groups:
        module = importlib.import_module(f"benchmarks.groups.{group}")
        print(f"{group}: {module.TITLE}", flush=True)
        rows: list[Row] = []
        for row in run_group(group, options):
            rows.append(row)
            if path:
                report.save(path, {group: rows}, facts)
        if rows:
            print("\n" + report.plain(rows, module.TITLE, module.GOALS), end="\n\n", flush=True)
        right = right and not any(row.failures for row in rows)
    return right


def main() -> None:
    args = parse()
    if args.list:
        for name in NAMES:
            module = importlib.import_module(f"benchmarks.groups.{name}")
            print(f"{name:12s} {(module.__doc__ or '').splitlines()[0]}")
        return
    groups = [name for name in args.only.split(",") if name] or list(NAMES)
    if unknown := [name for name in groups if name not in NAMES]:
        sys.exit(f"no group {', '.join(unknown)}: choose from {', '.join(NAMES)}")
    if args.write and args.json and not args.only:
        page.write(args.json)
        return
    if args.cpus and hasattr(os, "sched_setaffinity"):  # the children inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cpus])
    print(report.about_text(report.about()), end="\n\n")
    right = run(groups, options_of(args), args.json)
    if args.write and args.json:
        page.write(args.json)
    if not right:
        sys.exit("some contenders failed, or gave wrong results: see above")


if __name__ == "__main__":
    main()
