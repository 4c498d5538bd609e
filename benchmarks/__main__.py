"""Run benchmark suites: ``python -m benchmarks [--list] [--only SUITE or part of a name]``."""

from __future__ import annotations

import argparse

from benchmarks import compile as compile_time
from benchmarks import dispatch, eager, harness, training

SUITES = {"eager": eager, "training": training, "dispatch": dispatch, "compile": compile_time}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the suites and what they time")
    parser.add_argument(
        "--only", default="", help="a suite, or part of the names of the cases to run"
    )
    parser.add_argument("--rounds", type=int, default=harness.Options.rounds)
    parser.add_argument("--sample", type=float, default=harness.Options.sample)
    args = parser.parse_args()
    if args.list:
        for name, suite in SUITES.items():
            print(f"{name:10s} {(suite.__doc__ or '').splitlines()[0]}")
        return
    one_suite = args.only in SUITES
    options = harness.Options(args.rounds, args.sample, "" if one_suite else args.only)
    print(harness.about(), end="\n\n")
    for name in [args.only] if one_suite else SUITES:
        SUITES[name].run(options)


if __name__ == "__main__":
    main()
