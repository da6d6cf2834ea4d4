"""A fuzzer of whole job files that knows their structure.

Run as a program it checks cases one after the other, each under a limit of memory and of time, as a service
checks a submission: `python job_file_fuzzer.py FIRST CASES`. A case is accepted or refused with a message;
any other end is told with the case's number, which makes the same case again.
"""

from __future__ import annotations

import copy
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

MEMORY_BYTES = 2 << 30
SECONDS = 10
"""Of processor time, so that a busy machine is no defect."""
WAITING = 600
"""Seconds after which a case waits for something that never comes."""

BASE: dict[str, Any] = {
    "name": "fuzz",
    "space": {
        "name": "small",
        "vocabulary": 256,
        "context": 128,
        "width": [32, 64],
        "depth": [1, 2, 4],
        "layer": {
            "mixer": ["softmax", "window:16", "sparse:16,1", "linear", "none"],
            "heads": [2, 4],
            "channel": ["mlp"],
            "ratio": [1, 2],
            "conv": [0, 4],
            "kv_heads": [0, 2],
        },
    },
    "task": {"name": "recall", "evaluation_tokens": 2048, "evaluation_context": 128},
    "targets": [
        {"device": "local-cpu", "runtime": "onnxruntime", "dtype": "fp32", "tokens": 128},
        {"device": "phone", "runtime": "torch", "phase": "decode", "tokens": 64},
    ],
    "objectives": ["quality", "latency_ms", "parameters"],
    "bounds": {"parameters": 1e6, "latency_ms": 5.0},
    "budget": {
        "profile": {"measurements": 8, "minimum": 4, "holdout": 4, "tolerance": 0.1, "predictor": "additive"},
        "train": {"steps": 10, "batch": 2, "learning_rate": 0.01, "seed": 1, "processes": 2},
        "search": {"evaluations": 8, "batch": 4, "strategy": "default", "fidelities": [0.5, 1]},
        "verify": {"rounds": 1, "tolerance": 0.1, "evaluations": 4},
        "finalists": {"count": 2, "start": "scratch", "presets": 1, "steps": 5, "batch": 1},
    },
    "until": "finalists",
    "seed": 3,
}

SCALARS: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        16,
        255,
        4096,
        2**20,
        2**31,
        2**53,
        2**63,
        2**64,
        10**19,
        -(10**30),
    ),
    *(0.0, -0.0, 0.5, 1e-300, 1e300, 1e308, -1e9, float("inf"), float("-inf"), float("nan"), 1.5, 1e9),
    *("", " ", "softmax", "window:0", "window:1000000000", "window:10000000000000000000", "window:-1"),
    *("sparse:1000000000,1", "sparse:16", "taylor", "latest", "../..", "/etc/passwd", "/dev/zero", "~root"),
    *(
        "\x00",
        "\ud800",
        "🙂" * 50,
        "a" * 5000,
        "%s%n",
        "${HOME}",
        ":x:",
        "[red]",
        "1e3",
        "0x10",
        "NaN",
        "null",
    ),
    *("quality", "latency_ms", "latency_ms@phone", "parameters", "hybrid-lm", "text", "recall", "auto"),
    *([], {}, [[]], {"a": {}}, [1, 1], ["softmax", "softmax"], [None], [[1]], list(range(300)), [True]),
)


def scalar(rng: random.Random) -> Any:
    """One of its own: what later mutations put into a shared one would be in every later case."""
    return copy.deepcopy(rng.choice(SCALARS))


def places_of(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document, the whole of it first."""
    inner = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [path, *(place for key, value in inner for place in places_of(value, (*path, key)))]


def mutated(document: Any, rng: random.Random) -> Any:
    """The document with one thing changed."""
    place = rng.choice(places_of(document))
    if not place:
        return scalar(rng) if rng.random() < 0.02 else document
    *above, key = place
    within = document
    for step in above:
        within = within[step]
    value = within[key]
    match rng.randrange(7):
        case 0:
            del within[key]
        case 1 if isinstance(within, dict):
            within[rng.choice(["extra", "", "näme", "name", "__class__", "a.b", "0"])] = scalar(rng)
        case 2 if isinstance(value, list) and value:
            value.extend(value * rng.choice([1, 2, 40]))
        case 3 if isinstance(value, int | float) and not isinstance(value, bool):
            within[key] = value * rng.choice([-1, 0, 2, 3, 1000, 10**6, 10**12, 0.5, 1e-9])
        case 4 if isinstance(value, dict | list):
            within[key] = [value] if rng.random() < 0.5 else {"inner": value}
        case 5:
            other = rng.choice(places_of(document)[1:])
            copied = document
            for step in other:
                copied = copied[step]
            within[key] = copy.deepcopy(copied) if rng.random() < 0.9 else str(copied)
        case _:
            within[key] = scalar(rng)
    return document


def case(number: int) -> Any:
    """A job file: plain data, or a text that may be YAML."""
    rng = random.Random(number)
    document: Any = copy.deepcopy(BASE)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        if not isinstance(document, dict):
            break
        try:
            document = mutated(document, rng)
        except (yaml.YAMLError, ValueError):
            continue
    if rng.random() > 0.2:
        return document
    try:
        text = yaml.safe_dump(document)
    except (yaml.YAMLError, ValueError):
        return document
    for _ in range(rng.choice([0, 1, 2, 8])):
        at = rng.randrange(len(text) + 1)
        put = rng.choice(
            [
                "\t",
                "&a ",
                "*a",
                "- ",
                "{",
                "}",
                "[",
                ": ",
                "\n",
                "'",
                '"',
                "!!python/object:os.system x",
                "#",
                "\x07",
                "<<: *a\n",
                "---\n",
                "9" * 5000,
                "? ",
            ]
        )
        text = text[:at] + put + text[at + rng.choice([0, 0, 1, 30]) :]
    return text


def check(document: Any, folder: Path) -> str:
    """``"accepted"``, or the message of the refusal; anything else that is raised is a defect."""
    from nas.analysis.attainability import check_counted_bounds
    from nas.errors import NasError
    from nas.planning.limits import Limits
    from nas.planning.plan import resolve
    from nas.planning.sizes import check_sizes
    from nas.service.server.admission import admit_spec
    from nas.spec import load_job_spec

    source = document
    if not isinstance(document, dict):
        source = folder / "job.yaml"
        source.write_text(str(document), encoding="utf-8", errors="surrogatepass")
    try:
        plan = resolve(admit_spec(load_job_spec(source), folder), folder)
        check_sizes(plan, Limits(memory_bytes=MEMORY_BYTES))
        check_counted_bounds(plan)
    except NasError as error:
        return str(error) or f"an empty message of {type(error).__name__}"
    return "accepted"


def run(first: int, cases: int, tell: Callable[[str], None]) -> dict[str, int]:
    """Check cases; each that ends otherwise than it may is told. How many were accepted and refused."""
    counts = {"accepted": 0, "refused": 0, "defects": 0}

    def too_late(number: int, _: object) -> None:
        kind = "of processor time" if number == signal.SIGPROF else "of waiting"
        raise TimeoutError(f"over {SECONDS if number == signal.SIGPROF else WAITING} s {kind}")

    signal.signal(signal.SIGPROF, too_late)
    signal.signal(signal.SIGALRM, too_late)
    with tempfile.TemporaryDirectory() as folder:
        # What is imported counts for no case: an import that is broken off leaves half a module behind.
        if (said := check(BASE, Path(folder))) != "accepted":
            raise AssertionError(f"the case that others are made of is refused: {said}")
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
        for number in range(first, first + cases):
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(WAITING)
            try:
                said = check(case(number), Path(folder))
            except BaseException as error:  # noqa: BLE001 -- whatever it is, it is what is looked for
                counts["defects"] += 1
                last = traceback.extract_tb(error.__traceback__)[-3:]
                places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(last))
                tell(f"case {number}: {type(error).__name__}: {error!s:.500} at {places}")
                continue
            finally:
                signal.alarm(0)
                signal.setitimer(signal.ITIMER_PROF, 0)
            counts["accepted" if said == "accepted" else "refused"] += 1
            if "Traceback" in said:
                counts["defects"] += 1
                tell(f"case {number}: a traceback in {said:.500}")
    return counts


if __name__ == "__main__":
    found = run(int(sys.argv[1]), int(sys.argv[2]), print)
    print(found)
    sys.exit(1 if found["defects"] else 0)
