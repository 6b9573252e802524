"""`python -m tests.faults`: kill, interrupt and damage what PlateauLens does, and say what held."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import zygote

if TYPE_CHECKING:
    from tests.faults.trials import Trial
    from tests.faults.workplace import Workplace

# before anything is imported that looks at it
os.environ.update(zygote.ALIKE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials and print the table; the status is 1 when one did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="commands killed in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every moment and choice (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="that share the trials out (default: all cores)"
    )
    parser.add_argument("--only", help="comma-separated parts of the names of trials")
    parser.add_argument("--out", type=Path, help="a document that gets the table between its marks")
    options = parser.parse_args(arguments)
    if min(options.trials, options.processes) < 1:
        parser.error("--trials and --processes must be positive")
    began = time.monotonic()
    zygote.preload()
    from tests.faults import table
    from tests.faults.trials import TRIALS
    from tests.faults.workplace import Workplace

    trials = table.chosen(options.only)
    if not trials:
        parser.error(f"--only: no trial has {options.only!r} in its name")
    turns = [
        (number, turn) for number, trial in enumerate(trials) for turn in range(table.times(trial, options.trials))
    ]
    with tempfile.TemporaryDirectory(prefix="plateaulens-faults-") as folder:
        work = Workplace(Path(folder))
        try:
            work.prepare()

            def share(runner: int) -> None:
                work.runner = runner
                for index, (number, turn) in enumerate(turns):
                    if (0 if trials[number].in_turn else index % options.processes) == runner:
                        held = holds(work, trials[number], (options.seed, TRIALS.index(trials[number]), turn))
                        with (Path(folder) / f"held-{runner}").open("a") as file:
                            file.write(f"{number} {held:d}\n")

            runners = [
                zygote.fork(partial(share, runner), Path(folder) / f"runner-{runner}.log")
                for runner in range(options.processes)
            ]
            for runner in runners:
                while not runner.ended():
                    time.sleep(1)
                print(runner.said(), end="", file=sys.stderr, flush=True)
            done = [line for file in Path(folder).glob("held-*") for line in file.read_text().splitlines()]
        finally:
            work.close()
    counts = Counter(done)
    rows = [
        table.Row(trial, counts[f"{number} 0"] + counts[f"{number} 1"], counts[f"{number} 1"])
        for number, trial in enumerate(trials)
    ]
    made = f"{table.summary(rows, time.monotonic() - began, options.seed)}\n\n{table.markdown(rows)}"
    print(f"\n{made}")
    if options.out is not None:
        table.write(options.out, made)
    return int(sum(row.held for row in rows) < len(turns))


def holds(work: "Workplace", trial: "Trial", draws: tuple[int, ...]) -> bool:
    """Make a trial once; whether it held. Why it did not is said on standard error."""
    import numpy as np

    try:
        trial.run(work, np.random.default_rng(draws))
    except Exception as error:  # noqa: BLE001 (whatever it is, this one did not hold)
        why = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
        print(f"{trial.name}, {draws}: {why}", file=sys.stderr, flush=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
