"""Time of one full pass of the pyramid codec: each instruction set, each part, against PyTorch.

Every configuration runs in a process of its own, because an instruction set is chosen once a
process. Times are the minimum over the passes: other work on the machine only adds.

    python benchmarks/codec_step.py [--passes 30] [--threads 2]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe, write_results

from fieldpack._engine import instruction_set
from fieldpack.codec.fit import make_trainer
from fieldpack.codec.initialisation import initial_parameters
from fieldpack.codec.model import FloatArray, ModelShape

HEIGHT, WIDTH = 512, 768
INSTRUCTION_SETS = ("avx512", "avx2", "baseline")
SHAPES = {
    "design": ModelShape(synthesis_hidden=(16,), neighbours=12, context_hidden=(16, 16)),
    "wide": ModelShape(synthesis_hidden=(40,), neighbours=16, context_hidden=(16, 16)),
    "widest": ModelShape(synthesis_hidden=(48,), neighbours=24, context_hidden=(24, 24)),
}


def multiplications(shape: ModelShape) -> dict[str, float]:
    """Multiply-adds of one pass by part; forward, input gradient, weight gradient count once each.

    The halos of tiles and the hidden values computed twice are not counted: useful work only.
    """

    def dense(sizes: tuple[int, ...]) -> int:
        return 3 * sum(i * o for i, o in itertools.pairwise(sizes))

    pixels = HEIGHT * WIDTH
    latents = sum(-(-HEIGHT // 2**k) * -(-WIDTH // 2**k) for k in range(shape.grids))
    convolutions = 3 * 9 * shape.channels**2 * shape.convolutions
    # Each stage: 4 taps a coarse-width row and 4 a pixel; gradients of the input and of the taps.
    doubled = sum(
        (shape.grids - 1 - s) * (-(-HEIGHT // 2**s) * -(-WIDTH // 2**s))
        for s in range(shape.grids - 1)
    )
    return {
        "context": latents * dense(shape.context.sizes),
        "synthesis": pixels * (dense(shape.synthesis.sizes) + convolutions),
        "upsampling": 3 * 6 * doubled,
    }


def image() -> FloatArray:
    return np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)


def time_engine(name: str, threads: int, passes: int) -> dict[str, Any]:
    try:
        isa = instruction_set()
    except ValueError as error:
        return {"error": str(error)}
    shape = SHAPES[name]
    trainer = make_trainer(shape, image(), threads=threads)
    parameters = initial_parameters(shape, 0.001)
    gradient = np.zeros_like(parameters)
    best, parts = float("inf"), dict[str, float]()
    for step in range(passes):
        start = time.perf_counter()
        result = trainer.step(
            parameters, gradient, lambda_=0.001, step=step, learning_rate=[0.1] * shape.grids
        )
        best = min(best, time.perf_counter() - start)
        for part, seconds in result["seconds"].items():
            parts[part] = min(parts.get(part, float("inf")), seconds)
    work = multiplications(shape)
    return {
        "model": name,
        "isa": isa,
        "threads": threads,
        "milliseconds": best * 1e3,
        "parts_milliseconds": {k: v * 1e3 for k, v in parts.items()},
        "gflops": 2e-9 * sum(work.values()) / best,
        "parts_gflops": {k: 2e-9 * work[k] / parts[k] for k in ("context", "synthesis")},
    }


def time_torch(name: str, threads: int, passes: int) -> dict[str, Any]:
    # Only the child that measures PyTorch pays for its import.
    import torch  # noqa: PLC0415

    sys.path.insert(0, str(Path(__file__).parent.parent))
    from prior import reference  # noqa: PLC0415

    torch.set_num_threads(threads)
    shape = SHAPES[name]
    target = torch.tensor(image()).permute(2, 0, 1).contiguous()
    flat = torch.tensor(initial_parameters(shape, 0.001), requires_grad=True)
    latents = [
        torch.zeros(-(-HEIGHT // 2**k), -(-WIDTH // 2**k), requires_grad=True)
        for k in range(shape.grids)
    ]
    adam = torch.optim.Adam([*latents, flat], lr=0.01)
    best = float("inf")
    for _ in range(passes):
        start = time.perf_counter()
        adam.zero_grad()
        noisy = [
            reference.soft_round(
                reference.soft_round(y, 0.3) + 0.25 * (2 * torch.rand_like(y) - 1), 0.3
            )
            for y in latents
        ]
        loss, _, _ = reference.loss(noisy, target, None, flat, shape, lambda_=0.001)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        best = min(best, time.perf_counter() - start)
    return {"model": name, "isa": "torch " + torch.__version__, "threads": threads,
            "milliseconds": best * 1e3}  # fmt: skip


def in_child(arguments: list[str], isa: str = "") -> dict[str, Any] | None:
    """Return a row from a new process, or None if the machine lacks the instruction set."""
    environment = {**os.environ, "FIELDPACK_ISA": isa}
    done = subprocess.run(
        [sys.executable, __file__, *arguments], env=environment, check=True, stdout=subprocess.PIPE
    )
    row: dict[str, Any] = json.loads(done.stdout)
    if "error" in row:
        print(row["error"])
        return None
    print(
        f"{row['model']:8} {row['isa']:14} {row['threads']} threads "
        f"{row['milliseconds']:9.1f} ms {row.get('gflops', 0):7.1f} GFLOP/s",
        flush=True,
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=2, metavar=("KIND", "MODEL"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.child:
        kind, name = a.child
        run = time_torch if kind == "torch" else time_engine
        print(json.dumps(run(name, a.threads, a.passes)))
        return
    rows = []
    for isa in INSTRUCTION_SETS:
        for name, threads in itertools.product(SHAPES, (1, a.threads)):
            arguments = ["--child", "engine", name, "--threads", str(threads)]
            row = in_child([*arguments, "--passes", str(a.passes)], isa)
            if row is None:
                break
            rows.append(row)
    for name in ("design", "wide"):
        row = in_child(["--child", "torch", name, "--threads", str(a.threads), "--passes", "12"])
        assert row is not None
        engine = [r for r in rows if r["model"] == name and r["threads"] == a.threads]
        row["times_slower"] = row["milliseconds"] / min(r["milliseconds"] for r in engine)
        rows.append(row)
        print(f"{name}: {row['times_slower']:.0f} times faster than PyTorch")
    about = describe(("numpy", "torch"))
    report = {**about, "image": [HEIGHT, WIDTH, 3], "passes": a.passes, "rows": rows}
    print(f"wrote {write_results('codec_step', report)}")


if __name__ == "__main__":
    main()
