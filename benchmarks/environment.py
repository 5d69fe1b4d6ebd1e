"""What all benchmarks share: where the data is, what ran on what, where results go."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from fieldpack.cores import usable_cores

RESULTS = Path(__file__).parent / "results"


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add `--data DIR`, by default the environment variable FIELDPACK_DATA."""
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("FIELDPACK_DATA"),
        metavar="DIR",
        help="folder that contains kodak/ with the Kodak pictures (default: $FIELDPACK_DATA)",
    )


def kodak_picture(data: Path | None, name: str) -> Path:
    """Return the path of a Kodak picture such as "kodim15", or exit with what is missing."""
    if data is None:
        sys.exit("say where the pictures are: --data DIR or FIELDPACK_DATA=DIR, with DIR/kodak/")
    path = Path(data) / "kodak" / f"{name}.png"
    if not path.is_file():
        sys.exit(f"there is no {path}: DIR of --data DIR must contain kodak/{name}.png")
    return path


def describe(packages: tuple[str, ...]) -> dict[str, Any]:
    """Return the machine, the versions of Python and `packages`, and the commit."""
    return {
        "commit": _commit(),
        "processor": _processor(),
        "cores": usable_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def write_results(name: str, results: dict[str, Any]) -> Path:
    """Write `benchmarks/results/<name>.json` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n")
    return path


def read_results(name: str) -> dict[str, Any]:
    """Read `benchmarks/results/<name>.json`."""
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return results


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    """The last commit; "-dirty" if anything but the results differs from it."""
    root = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout

    try:
        commit = git("describe", "--always", "--abbrev=12").strip()
        # A benchmark that goes on after an earlier part of it has written its results.
        results = f":(exclude){RESULTS.relative_to(root).as_posix()}"
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", results)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit
