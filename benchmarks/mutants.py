"""Mutation testing of the core rooms: each small fault against the tests that cover its line.

usage: python -m benchmarks.mutants --record     (once a commit: which test runs which line)
       python -m benchmarks.mutants [--jobs 2] [--limit N] [--budget SECONDS]     (goes on where it stopped)
       python -m benchmarks.mutants --survivors

300 faults are drawn by a fixed seed from all that `benchmarks.mutations` finds in ROOMS; exits 1 when fewer than 85 %
of those that were tried are noticed. Results are appended to `benchmarks/results/mutants.jsonl`, a line each, with the
commit; what the same text of the module gave before is not tried again.

Why not mutmut or cosmic-ray. mutmut 3.8 leaves out functions with a decorator (our properties and caches) and what runs
at import: here 230 constants, which are limits and measured figures. cosmic-ray writes each fault into the checkout and
starts the test command anew: no selection by line, and seconds of imports a fault. Here a process that has imported the
libraries forks for each fault, the fork imports the project with it and runs the fastest file of tests first.

A fault in a program that a test starts is not seen: only tests that run the line in their own process are asked.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

from benchmarks.mutations import Mutant, all_mutants

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "recommender/memory", "recommender/time", "recommender/plan", "recommender/rules",
    "trainer/run", "trainer/process", "trainer/preflight",
)  # fmt: skip
MEASURED = ("recommender", "trainer")
SEED, DRAWN, LIMIT = 13, 300, 0.85
RECORD = ROOT / "build" / "mutants" / "coverage.json.gz"
RESULTS = ROOT / "benchmarks" / "results" / "mutants.jsonl"
TESTS = ["tests/unit", "-m", "not torch and not model and not slow"]
BUDGET = 90.0
"""Seconds of recorded tests that one fault is worth; those that cover it beyond are not run."""
LIBRARIES = (
    "_pytest.assertion.rewrite", "hypothesis", "jinja2", "numpy", "psutil", "pyarrow.parquet", "pydantic", "pytest",
    "pytest_asyncio", "rich.console", "textual.app", "textual.pilot", "textual.widgets", "typer", "yaml",
)  # fmt: skip
"""Imported once for all forks. None of them reads the environment that the tests change."""


class Recorder:
    """A plugin of pytest that names the running test to coverage and times it."""

    def __init__(self) -> None:
        from coverage import Coverage

        sources = [str(ROOT / room) for room in MEASURED]
        self.coverage = Coverage(data_file=None, source=sources, config_file=False)
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin a test."""
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        """End a test."""
        self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note how long a test took, and whether it fails without any fault."""
        self.seconds[report.nodeid] += report.duration
        if report.outcome != "passed":
            self.failed.add(report.nodeid)


def record(tests: Sequence[str]) -> None:
    """Run the tests once and keep which of them ran which line."""
    import pytest

    recorder = Recorder()
    recorder.coverage.start()
    pytest.main([*tests, "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"], plugins=[recorder])
    recorder.coverage.stop()
    data = recorder.coverage.get_data()
    names = sorted(name for name in recorder.seconds if name not in recorder.failed)
    number = {name: index for index, name in enumerate(names)}
    lines = {
        str(Path(file).relative_to(ROOT)): {
            line: sorted(number[one] for one in contexts if one in number)
            for line, contexts in data.contexts_by_lineno(file).items()
        }
        for file in data.measured_files()
    }
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    known = {"commit": commit(), "tests": names, "seconds": [recorder.seconds[name] for name in names], "lines": lines}
    part = RECORD.with_suffix(".part")
    with gzip.open(part, "wt", encoding="utf-8") as stream:
        json.dump(known, stream)
    part.replace(RECORD)
    print(f"{len(names)} tests recorded, {len(recorder.failed)} left out: they fail or are skipped as it is")


def commit() -> str:
    """Return the checkout's commit, with a + when it has been changed since."""
    asked = ["git", "describe", "--always", "--abbrev=9", "--dirty=+", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


class Covering:
    """The tests that run a mutant's line."""

    def __init__(self, path: Path = RECORD) -> None:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            known = json.load(stream)
        self.commit: str = known["commit"]
        self.tests: list[str] = known["tests"]
        self._seconds: list[float] = known["seconds"]
        self._lines: dict[str, dict[int, list[int]]] = {
            file: {int(line): tests for line, tests in lines.items()} for file, lines in known["lines"].items()
        }

    def of(self, mutant: Mutant, budget: float) -> list[str]:
        """Return the tests of a mutant, file by file within so many seconds: its room first, the fastest first."""
        places = (
            self._using(mutant.names) if mutant.names else [(mutant.path, range(mutant.span[0], mutant.span[1] + 1))]
        )
        found = {test for path, lines in places for line in lines for test in self._lines.get(path, {}).get(line, ())}
        files: dict[str, list[int]] = defaultdict(list)
        for test in sorted(found):
            files[self.tests[test].partition("::")[0]].append(test)
        top, room = mutant.path.split("/")[:2]
        own = f"tests/unit/{room if top == 'recommender' else top}/"
        chosen, spent = list[str](), 0.0
        for _, tests in sorted(
            files.items(),
            key=lambda file: (not file[0].startswith(own), sum(self._seconds[test] for test in file[1])),
        ):
            for test in sorted(tests, key=lambda test: self._seconds[test]):
                if spent < budget:
                    chosen.append(self.tests[test])
                    spent += self._seconds[test]
        return chosen

    def seconds(self, tests: Iterable[str]) -> float:
        """Return how long tests took when they were recorded."""
        number = {test: index for index, test in enumerate(self.tests)}
        return sum(self._seconds[number[test]] for test in tests)

    def _using(self, names: Iterable[str]) -> list[tuple[str, list[int]]]:
        """Return the lines that name what is made at import."""
        word = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
        texts = {
            path: (ROOT / path).read_text(encoding="utf-8").splitlines()
            for path in self._lines
            if (ROOT / path).exists()
        }
        return [(path, [n for n, line in enumerate(text, 1) if word.search(line)]) for path, text in texts.items()]


class Loader(SourceFileLoader):
    """Loads a module from other source than its file's."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002
        """Compile the source; nothing is taken from or put into the cache of bytecode."""
        return compile(self._source, self.path, "exec", dont_inherit=True)


class Finder:
    """Finds the module that a mutant is of."""

    def __init__(self, mutant: Mutant) -> None:
        path = ROOT / mutant.path
        self._name = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._loader = Loader(self._name, str(path), mutant.applied(path.read_bytes()))

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """Find this one module alone."""
        return spec_from_file_location(name, self._loader.path, loader=self._loader) if name == self._name else None


class Only:
    """A plugin of pytest that keeps the given tests, in the given order, and the first that fails."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}
        self.failed = ""
        self.ran = 0

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep these tests alone."""
        items[:] = sorted((one for one in items if one.nodeid in self._place), key=lambda one: self._place[one.nodeid])

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note the first failure."""
        self.ran += report.when == "call"
        if report.failed and not self.failed:
            self.failed = report.nodeid


@dataclass
class Running:
    """A fork that tries a mutant."""

    mutant: Mutant
    key: str
    tests: int
    began: float
    patience: float
    folder: Path

    def result(self, status: int) -> dict[str, Any]:
        """Return what came out, as it is kept."""
        path = self.folder / "result.json"
        told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        code = told.get("code")
        outcome = "killed" if code in (1, 2) else "survived" if code == 0 else "killed by time or death"
        if code not in (None, 0, 1, 2):
            outcome = f"error: pytest ended with {code}"
        place = {
            "path": self.mutant.path,
            "line": self.mutant.line,
            "kind": self.mutant.kind,
            "diff": self.mutant.diff(ROOT),
        }
        ran = {"tests": self.tests, "ran": told.get("ran"), "by": told.get("by", ""), "status": status}
        return {"key": self.key, "outcome": outcome, **place, **ran, "seconds": round(time.monotonic() - self.began, 1)}


def attempt(mutant: Mutant | None, tests: Sequence[str], folder: Path, seconds: float) -> None:
    """In a fork: run the tests with the mutant in its module's place, and keep what came out."""
    os.setsid()
    silent = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(silent, descriptor)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 10))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(folder / "hypothesis")
    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    sys.dont_write_bytecode = True
    import pytest

    only = Only(tests)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", f"--rootdir={ROOT}"]
    code = int(pytest.main([*files, *options, f"--basetemp={folder / 'tests'}"], plugins=[only]))
    told = {"code": code, "by": only.failed, "ran": only.ran}
    (folder / "result.json").write_text(json.dumps(told), encoding="utf-8")


def start(mutant: Mutant, key: str, tests: Sequence[str], seconds: float) -> tuple[int, Running]:
    """Fork a process that tries a mutant; return its id."""
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    cpu = 30 + 4 * seconds
    pid = os.fork()
    if pid == 0:
        try:
            attempt(mutant, tests, folder, cpu)
        finally:
            os._exit(0)
    return pid, Running(mutant, key, len(tests), time.monotonic(), 300 + 20 * cpu, folder)


def key_of(mutant: Mutant, sources: dict[str, str]) -> str:
    """Return what names a mutant as long as its module's text stays."""
    if mutant.path not in sources:
        sources[mutant.path] = sha256((ROOT / mutant.path).read_bytes()).hexdigest()
    told = f"{sources[mutant.path]} {mutant.path} {mutant.start} {mutant.end} {mutant.text}"
    return sha256(told.encode()).hexdigest()[:16]


def drawn() -> dict[str, Mutant]:
    """Return the mutants of this checkout that were drawn, by key, in the order that they are tried in."""
    every, sources = list(all_mutants(ROOMS, ROOT)), dict[str, str]()
    return {key_of(one, sources): one for one in random.Random(SEED).sample(every, DRAWN)}


def results(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Return what is known, by key; what was told last counts."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {line["key"]: line for line in map(json.loads, lines)}


def work(todo: Sequence[tuple[str, Mutant]], jobs: int, budget: float) -> None:
    """Try mutants, so many at a time, and append what comes out."""
    covering = Covering()
    for name in LIBRARIES:
        import_module(name)
    running: dict[int, Running] = {}
    waiting = list(reversed(todo))
    while waiting or running:
        while waiting and len(running) < jobs:
            key, mutant = waiting.pop()
            if tests := covering.of(mutant, budget):
                pid, one = start(mutant, key, tests, covering.seconds(tests))
                running[pid] = one
            else:
                keep({"key": key, "outcome": "not covered", "path": mutant.path, "line": mutant.line,
                      "kind": mutant.kind, "diff": mutant.diff(ROOT)})  # fmt: skip
        time.sleep(0.02)
        for pid, one in list(running.items()):
            if time.monotonic() - one.began > one.patience:
                os.killpg(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                keep(one.result(status))
                end_group(pid)
                shutil.rmtree(one.folder, ignore_errors=True)
                del running[pid]


def end_group(pid: int) -> None:
    """End what a fork has left running."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def keep(result: dict[str, Any]) -> None:
    """Append a result, and print it."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"commit": commit(), **result}) + "\n")
    print(f"{result['outcome']:24} {result['path']}:{result['line']}  {result.get('by') or result['kind']}", flush=True)


def report(draw: dict[str, Mutant], *, survivors: bool) -> int:
    """Print how many were noticed, and those that were not."""
    known = results()
    tried = [known[key] for key in draw if key in known]
    counts = Counter(one["outcome"] for one in tried)
    noticed = sum(count for outcome, count in counts.items() if outcome.startswith("killed"))
    if survivors:
        for one in tried:
            if not one["outcome"].startswith("killed"):
                print(f"\n{one['path']}:{one['line']}  {one['outcome']}, {one['kind']}, {one.get('tests', 0)} tests")
                print(one["diff"])
    print(f"\n{len(tried)} of {len(draw)} tried: {dict(counts)}")
    share = noticed / len(tried) if tried else 0.0
    print(f"noticed {noticed} of {len(tried)}, {share:.0%} (limit {LIMIT:.0%})")
    return int(share < LIMIT)


def main() -> int:
    """Record, try or report.

    Returns:
        0 when enough of the faults that were tried are noticed, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="run the tests once and keep which runs which line")
    parser.add_argument("--survivors", action="store_true", help="list those that were not noticed; try none")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=DRAWN, help="try so many more, then stop")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds of tests a fault")
    parser.add_argument("--again", action="store_true", help="try again those that were not noticed")
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.record:
        record(TESTS)
        return 0
    draw = drawn()
    if not options.survivors:
        known = results()
        done = {key for key, one in known.items() if one["outcome"].startswith("killed") or not options.again}
        work([one for one in draw.items() if one[0] not in done][: options.limit], options.jobs, options.budget)
    return report(draw, survivors=options.survivors)


if __name__ == "__main__":
    sys.exit(main())
