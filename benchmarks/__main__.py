"""Run benchmark suites: ``python -m benchmarks [--list] [--suite NAME ...] [--only TEXT]``."""

from __future__ import annotations

import argparse

from benchmarks import dispatch, eager, harness, training

SUITES = {"eager": eager, "training": training, "dispatch": dispatch}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="name the suites and what they time")
    parser.add_argument("--suite", action="append", choices=SUITES, help="a suite; all if absent")
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--rounds", type=int, default=harness.Options.rounds)
    parser.add_argument("--sample", type=float, default=harness.Options.sample)
    args = parser.parse_args()
    if args.list:
        for name, suite in SUITES.items():
            print(f"{name:10s} {(suite.__doc__ or '').splitlines()[0]}")
        return
    options = harness.Options(rounds=args.rounds, sample=args.sample, only=args.only)
    print(harness.about(), end="\n\n")
    for name in args.suite or SUITES:
        SUITES[name].run(options)


if __name__ == "__main__":
    main()
