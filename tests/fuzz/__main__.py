"""`scripts/fuzz --count 10000 --kind png`: try many files, each kind in a process that may crash or hang."""

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from fuzz.kinds import KINDS
from fuzz.trial import serve

START_SECONDS, MAX_SILENCE_SECONDS = 180.0, 60.0


def fuzz(name: str, folder: Path, first: int, last: int) -> int:
    """Try all files of a kind; prints and counts what is wrong. Their files are kept in the folder."""
    findings = 0
    while first < last:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=serve, args=(name, folder, first, last, theirs))
        process.start()
        theirs.close()
        wait = START_SECONDS
        try:
            while first < last:
                if not ours.poll(wait):
                    raise TimeoutError
                (first, fault), wait = ours.recv(), MAX_SILENCE_SECONDS
                if fault:
                    findings += 1
                    print(f"{name} {first}: {fault}", flush=True)
        except (EOFError, TimeoutError) as stopped:
            process.kill()
            process.join()
            what = "no answer" if isinstance(stopped, TimeoutError) else f"exit code {process.exitcode}"
            findings += 1
            print(f"{name} {first}: {what}", flush=True)
            first += 1
        process.join()
    return findings


def main() -> int:
    """Fuzz the kinds that are asked for."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--kind", action="append", choices=KINDS, help="one of the kinds; all by default")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--count", type=int, default=1000, help="number of files of each kind")
    parser.add_argument("--keep", type=Path, help="folder for the files at fault; a temporary one by default")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="impasto-fuzz-"))
    folder.mkdir(exist_ok=True, parents=True)
    findings = 0
    for name in options.kind or KINDS:
        started = time.perf_counter()
        found = fuzz(name, folder, options.first, options.first + options.count)
        seconds = time.perf_counter() - started
        print(f"{name}: {options.count} files, {found} at fault, {seconds:.0f} s", flush=True)
        findings += found
    print(f"{findings} at fault, kept in {folder}" if findings else "none at fault")
    return int(findings > 0)


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    sys.exit(main())
