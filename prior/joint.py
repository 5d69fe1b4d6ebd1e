"""Train a prior: the networks of all lambdas, and the analysis network that begins every fit.

    PYTHONPATH=. python prior/joint.py --pictures PICTURES.bin --start STATE.npz [STATE.npz ...] \
        --out joint/state.npz --seconds 550

PICTURES.bin is what pack.py makes; the states are those that train.py left, by lambda. The networks
of each lambda are written beside the state as such states too.

Three stages, each a share of the time:

1. Joint: analysis, synthesis and context models on random crops, at the latents that the analysis
   proposes (as in Balle et al., "End-to-end optimized image compression", 2017).
2. Fits: the latents of many crops are refined together, as an encoder does it, and the networks
   of that lambda move with them, so that they suit refined latents.
3. Analysis alone, for the networks as they are now.

Runs on a GPU or, far slower, on a CPU. The state is written after every stage; a later call
with the same file begins with what it holds.

The analysis network itself is not shipped: a fit that begins with it ends some 2 % better after 80
passes where lambda is .001, and worse where it is large; what it is for is that the networks see
many more pictures.
"""

from __future__ import annotations

import argparse
import io
import math
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fieldpack.codec.initialisation import colour_axes, first_gains
from fieldpack.codec.optimiser import context_optimiser, drawing_optimiser
from fieldpack.codec.schedule import Schedule
from prior.analysis import KNOTS, Analysis, linear_analysis
from prior.batched import losses, neighbour_matrix, quantise
from prior.train import SHAPES, grown

SHAPE = SHAPES["small"]
CROP = 256
STAGES = (0.5, 0.4, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--start", type=Path, nargs="+", required=True, help="states by lambda")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--fits", type=int, default=48, help="crops of one round of fits")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    Trainer(options).run()


class Trainer:
    """What all stages share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.device = options, torch.device(options.device)
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        self.random = np.random.default_rng(0)
        states = [np.load(path) for path in options.start]
        self.lambdas = [float(state["lambda_"]) for state in states]
        starts = [grown(state["parameters"], SHAPES[str(state["size"])], SHAPE) for state in states]
        flat = np.stack(starts)
        self.networks = torch.nn.Parameter(torch.tensor(flat, device=self.device))
        self.analysis = Analysis(SHAPE).to(self.device)
        if options.out.exists():
            self.load()
        self.where = neighbour_matrix(SHAPE, self.device)
        self.axes = torch.tensor(colour_axes(3), dtype=torch.float32, device=self.device)
        self.pictures, self.kept = read_pictures(options.pictures)
        if self.device.type == "cuda":
            self.pictures = [p.to(self.device) for p in self.pictures]
        self.begin = time.time()
        print(f"{len(self.pictures)} pictures, {len(self.kept)} kept aside", flush=True)

    def run(self) -> None:
        stages = (self.joint, self.fits, lambda until: self.joint(until, alone=True))
        self.validate("at first")
        self.begin, share = time.time(), 0.0
        for number, (stage, part) in enumerate(zip(stages, STAGES, strict=True), 1):
            share += part
            stage(self.begin + share * self.options.seconds)
            self.save()
            self.validate(f"after stage {number}")

    # Data

    def crops(self, count: int, size: int = CROP) -> Tensor:
        """Random parts [count, 3, size, size] of pictures, mirrored and turned, in [0, 1]."""
        out = []
        for _ in range(count):
            picture = self.pictures[int(self.random.integers(len(self.pictures)))]
            h, w = picture.shape[1:]
            top = int(self.random.integers(h - size + 1))
            left = int(self.random.integers(w - size + 1))
            part = picture[:, top : top + size, left : left + size]
            if self.random.integers(2):
                part = part.flip(2)
            if self.random.integers(2):
                part = part.transpose(1, 2)
            out.append(part)
        return torch.stack(out).to(self.device).float() / 255

    def lambda_near(self, index: int) -> float:
        """A lambda that the set `index` is the nearest to; the set's own half of the time."""
        own = math.log(self.lambdas[index])
        if self.random.integers(2):
            return math.exp(own)
        logs = [math.log(KNOTS[0]), *(math.log(v) for v in self.lambdas), math.log(KNOTS[-1])]
        low, high = (logs[index] + own) / 2, (own + logs[index + 2]) / 2
        if index == 0:
            low = logs[0]
        if index == len(self.lambdas) - 1:
            high = logs[-1]
        return math.exp(self.random.uniform(low, high))

    def gains(self, index: int) -> Tensor:
        return torch.tensor(
            first_gains(SHAPE, self.lambdas[index]), dtype=torch.float32, device=self.device
        )

    def between(self, lambda_: float) -> Tensor:
        """Weights of the knots at a lambda."""
        knots = np.log(KNOTS)
        rows = [np.interp(math.log(lambda_), knots, row) for row in np.eye(len(knots))]
        return torch.tensor(rows, dtype=torch.float32, device=self.device)

    # Stages

    def joint(self, until: float, alone: bool = False) -> None:
        """Stages 1 and 3: analysis and, unless `alone`, the networks."""
        start = time.time()
        images = torch.zeros(self.options.batch, 3, CROP, CROP, device=self.device)
        index = torch.zeros(len(self.lambdas), device=self.device)
        gains = torch.ones(SHAPE.grids, device=self.device)
        between = torch.zeros(len(KNOTS), device=self.device)
        scalars = torch.ones(3, device=self.device)  # lambda, temperature, noise
        loss = torch.zeros((), device=self.device)
        weights = list(self.analysis.parameters())
        peak, base = (6e-4, 1e-4) if alone else (2e-3, 6e-4)
        graph_ready = self.device.type == "cuda"

        def rate_tensor(value: float) -> Tensor | float:
            return torch.tensor(value, device=self.device) if graph_ready else value

        groups = [{"params": weights, "lr": rate_tensor(peak)}]
        if not alone:
            groups.append({"params": [self.networks], "lr": rate_tensor(base)})
        adam = torch.optim.Adam(groups, betas=(0.9, 0.98), capturable=graph_ready)

        def step() -> None:
            flat = index @ self.networks
            if alone:
                flat = flat.detach()
            with torch.no_grad():
                linear = linear_analysis(images, SHAPE, self.axes, gains)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=graph_ready):
                _, quantised = self.analysis(
                    images, linear, between, lambda y: quantise(y.float(), scalars[1], scalars[2])
                )
            parts = losses(quantised, images, flat, SHAPE, self.where, scalars[0])[0]
            mean = torch.log(parts).mean()
            adam.zero_grad(set_to_none=True)
            mean.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0, foreach=True)
            adam.step()
            loss.copy_(mean.detach())

        def feed(done: float) -> int:
            which = int(self.random.integers(len(self.lambdas)))
            images.copy_(self.crops(self.options.batch))
            index.zero_()
            index[which] = 1
            gains.copy_(self.gains(which))
            lambda_ = self.lambda_near(which)
            between.copy_(self.between(lambda_))
            late = 1.0 if alone else done
            temperature = 1.0 * (0.3 / 1.0) ** late
            scalars.copy_(torch.tensor([lambda_, temperature, 0.5 - 0.15 * late]))
            rate = min(1.0, (done + 0.002) / 0.03) * 0.5 * (1 + math.cos(math.pi * done)) + 0.005
            for group, top in zip(adam.param_groups, (peak, base), strict=False):
                if graph_ready:
                    group["lr"].fill_(top * rate)
                else:
                    group["lr"] = top * rate
            return which

        run = step
        if graph_ready:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    feed(0.0)
                    step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            run = graph.replay
        means = [[] for _ in self.lambdas]  # type: list[list[float]]
        steps, told = 0, time.time()
        while time.time() < until:
            done = (time.time() - start) / max(until - start, 1e-9)
            which = feed(min(done, 1.0))
            run()
            steps += 1
            if steps % 20 == 0:
                means[which].append(float(loss))
            if time.time() - told > 20:
                told = time.time()
                shown = " ".join(f"{np.mean(m[-40:]) if m else 0:.4f}" for m in means)
                print(f"  {told - self.begin:.0f} s: {steps} steps, log loss {shown}", flush=True)
        print(f"  {steps} steps in {time.time() - start:.0f} s", flush=True)

    def fits(self, until: float, passes: int = 50) -> None:
        """Stage 2: the latents of many crops, and networks with them, one lambda after another."""
        begin = time.time()
        betas = (0.95, 0.95)
        optimisers = [
            (drawing_optimiser(SHAPE, betas), context_optimiser(SHAPE, betas, SHAPE.set_of_grid))
            for _ in self.lambdas
        ]
        rounds, last = 0, [0.0] * len(self.lambdas)
        while time.time() < until:
            done = (time.time() - begin) / (until - begin)
            which = rounds % len(self.lambdas)
            last[which] = self.fit_round(which, optimisers[which], passes, 1 - 0.9 * done, until)
            rounds += 1
            if which == len(self.lambdas) - 1:
                shown = " ".join(f"{value:.4f}" for value in last)
                print(f"  {time.time() - self.begin:.0f} s: round {rounds}, {shown}", flush=True)

    def fit_round(
        self, which: int, optimisers: Sequence, passes: int, cooling: float, until: float
    ) -> float:
        lambda_ = self.lambdas[which]
        images = self.crops(self.options.fits)
        with torch.no_grad():
            linear = linear_analysis(images, SHAPE, self.axes, self.gains(which))
            latents, _ = self.analysis(images, linear, self.between(lambda_), torch.round)
        latents = [y.detach().clone().requires_grad_() for y in latents]
        moments = [(torch.zeros_like(y), torch.zeros_like(y)) for y in latents]
        schedule = replace(Schedule.with_prior(passes, lambda_), hard_fraction=0.0)
        shares = schedule.shares(SHAPE.grids)
        b1, b2 = schedule.latent_betas
        shared = [0.0] * SHAPE.grids
        flat = self.networks.data[which].clone().requires_grad_()
        loss = 0.0
        for step in range(passes):
            if time.time() > until:
                break
            now = schedule.at(step)
            temperature = torch.tensor(now.temperature, device=self.device)
            noise = torch.tensor(now.noise, device=self.device)
            quantised = [quantise(y, temperature, noise) for y in latents]
            parts = losses(quantised, images, flat, SHAPE, self.where, lambda_)[0]
            # Each crop's latents follow its own loss, the networks the logarithm.
            weights = 1 / parts.detach()
            gradients = torch.autograd.grad((parts * weights).sum(), [*latents, flat])
            t = step + 1
            c1, c2 = 1 - b1**t, 1 - b2**t
            with torch.no_grad():
                for k, y in enumerate(latents):
                    g = gradients[k] / weights[:, None, None, None]
                    mean, square = moments[k]
                    mean.mul_(b1).add_(g, alpha=1 - b1)
                    square.mul_(b2).addcmul_(g, g, value=1 - b2)
                    whole = square.mean((1, 2, 3), keepdim=True) / c2
                    own = square / c2
                    mixed = own
                    if step > 0:
                        mixed = own * (1 - schedule.sharing) + shared[k] * schedule.sharing
                    shared[k] = whole
                    move = (mean / c1 / (mixed.sqrt() + 1e-12)).clamp(-10, 10)
                    y.sub_(move, alpha=now.latent_rate * shares[k])
            loss = float(parts.detach().log().mean())
            warm = min(1.0, step / 15)
            parameters = flat.detach().cpu().numpy().copy()
            gradient = gradients[-1].cpu().numpy()
            drawing, context = optimisers
            rate = 0.004 * cooling * warm
            drawing.step(parameters, gradient, 0.3 * rate)
            context.step(parameters, gradient, rate)
            with torch.no_grad():
                flat.copy_(torch.from_numpy(parameters))
        self.networks.data[which] = flat.detach()
        return loss

    # Results

    @torch.no_grad()
    def validate(self, when: str) -> None:
        """Print the loss of rounded proposals on pictures that were kept aside."""
        for which, lambda_ in enumerate(self.lambdas):
            rows = []
            for picture in self.kept:
                h, w = (n // 64 * 64 for n in picture.shape[1:])
                image = picture[None, :, :h, :w].to(self.device).float() / 255
                linear = linear_analysis(image, SHAPE, self.axes, self.gains(which))
                _, quantised = self.analysis(image, linear, self.between(lambda_), torch.round)
                flat = self.networks[which]
                rows.append(
                    [float(v) for v in losses(quantised, image, flat, SHAPE, self.where, lambda_)]
                )
            loss, distortion, bpp = np.mean(rows, axis=0)
            print(
                f"{when}: lambda {lambda_:g}: loss {1000 * loss:.4f}, "
                f"{-10 * math.log10(distortion):.2f} dB, {bpp:.4f} bpp, "
                f"log loss {np.mean(np.log([row[0] for row in rows])):.4f}",
                flush=True,
            )

    def load(self) -> None:
        """Go on from what an earlier call wrote."""
        with np.load(self.options.out) as state:
            # Only the shipped state is of networks without ancestors and filters.
            shape = SHAPES["plain" if "size" not in state else str(state["size"])]
            networks = [grown(flat, shape, SHAPE) for flat in state["networks"]]
            self.networks.data.copy_(torch.from_numpy(np.stack(networks)))
            mark = "analysis."
            weights = {k: torch.from_numpy(state[k]) for k in state if k.startswith(mark)}
        self.analysis.load_state_dict({k.removeprefix(mark): v for k, v in weights.items()})

    def save(self) -> None:
        """Write everything that was learned."""
        weights = {f"analysis.{k}": v.cpu().numpy() for k, v in self.analysis.state_dict().items()}
        np.savez(
            self.options.out,
            lambdas=np.array(self.lambdas),
            networks=self.networks.detach().cpu().numpy(),
            size="small",
            **weights,
        )
        for lambda_, networks in zip(self.lambdas, self.networks.detach().cpu(), strict=True):
            np.savez(
                self.options.out.with_name(f"{lambda_:g}.npz"),
                parameters=networks.numpy(),
                lambda_=lambda_,
                size="small",
                is_flat=False,
                finest=0,
                rounds=0,
                loss=math.nan,
            )


def read_pictures(path: Path) -> tuple[list[Tensor], list[Tensor]]:
    """The pictures [3, H, W] uint8 for training and those kept aside, packed by pack.py."""
    pictures: tuple[list[Tensor], list[Tensor]] = ([], [])
    data = path.read_bytes()
    at = 0
    while at < len(data):
        kept, size = struct.unpack_from("<BI", data, at)
        at += 5
        with Image.open(io.BytesIO(data[at : at + size])) as image:
            array = np.array(image.convert("RGB"))
        at += size
        pictures[kept].append(torch.from_numpy(array).permute(2, 0, 1).contiguous())
    if not pictures[0]:
        sys.exit(f"{path} holds no pictures")
    return pictures


if __name__ == "__main__":
    main()
