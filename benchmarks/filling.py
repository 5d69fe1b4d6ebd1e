"""How well missing pixels are rebuilt, against interpolation, inpainting and coordinate networks.

    python benchmarks/filling.py --data DIR --protocol lettering|random|masks|denoise
        [--fonts DIR] [--pictures NAME ...] [--methods NAME ...] [--shares 0.1 0.25 0.5]
        [--efforts 5] [--crop 256]

lettering: the test of interpolation.py (known at [::2, ::2], measured at [1::2, 1::2]) on text that
is drawn in the fonts of `--fonts` (*.ttf), with smooth edges: in other fonts than those that the
filling network was trained with, it shows what that is worth elsewhere.
random: Kodak pictures, of which a share of the pixels is kept at random (the generator's seed is
the picture's number); measured at the others. `siren` and `fourier` are networks trained on the
known pixels for `--steps` steps.
masks: Kodak pictures under text, under scratches and with holes of 64 x 64; measured there.
denoise: Kodak pictures with normal noise of a standard deviation of 5, 15 and 25 levels, rounded to
8 bits; measured everywhere. `fill` is told the deviation, `auto` estimates it.

Every number is the PSNR of 8-bit RGB samples, PSNR averaged over pictures. `fill` is
`fieldpack.fill` with known pixels kept; seconds are those of the call on `--threads` threads.
Results go to results/filling_<protocol>.json after every picture, and a later call skips what it
holds.
"""

from __future__ import annotations

import argparse
import string
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from environment import RESULTS, add_data_option, describe, kodak_picture, read_results
from environment import write_results as write
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import fieldpack
from fieldpack.metrics import psnr

KODAK = [f"kodim{i:02d}" for i in range(1, 25)]
LETTERINGS = [f"lettering/{i:02d}" for i in range(16)]
NETWORKS = ("siren", "fourier")
MASKS = ("text", "scratches", "holes")
SIGMAS = (5.0, 15.0, 25.0)

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Method = Callable[[Pixels, Mask, str], NDArray[Any]]
Run = dict[str, Any]
Case = tuple[str, str, Pixels, Pixels, Mask]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument(
        "--protocol",
        choices=["lettering", "random", "masks", "denoise"],
        required=True,
    )
    parser.add_argument("--fonts", type=Path, help="folder of fonts for lettering")
    parser.add_argument("--pictures", nargs="+")
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.25, 0.5])
    parser.add_argument("--efforts", nargs="+", type=int, default=[5])
    parser.add_argument("--crop", type=int, help="pixels a side of the middle that is used")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2000, help="of training a network")
    parser.add_argument("--batch", type=int, default=10000, help="pixels a step of it")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="to train it on")
    parser.add_argument("--save-pictures", type=Path, help="folder for results as PNG")
    options = parser.parse_args()
    name = f"filling_{options.protocol}"
    runs: list[Run] = []
    if (RESULTS / f"{name}.json").exists():
        runs = read_results(name)["runs"]
    about = describe(("numpy", "scipy", "scikit-image", "opencv-python-headless"))
    methods = {
        key: method
        for key, method in registry(options).items()
        if options.methods is None or key.split("-")[0] in options.methods
    }
    for picture, case, image, given, mask in cases(options):
        for key, method in methods.items():
            run: Run = {"picture": picture, "crop": options.crop, "case": case, "method": key}
            if any(all(old[k] == v for k, v in run.items()) for old in runs):
                continue
            started = time.perf_counter()
            result = method(given, mask, case)
            seconds = time.perf_counter() - started
            where = ~mask if not mask.all() else mask
            if options.protocol == "lettering":
                where = np.zeros_like(mask)
                where[1::2, 1::2] = True
            drawn = np.rint(np.clip(result, 0, 255)).astype(np.uint8)
            run |= {
                "psnr": psnr(drawn[where], image[where], 255),
                "seconds": seconds,
                "threads": options.threads,
                "commit": about["commit"],
            }
            if key in NETWORKS:
                run |= {k: getattr(options, k) for k in ("steps", "batch", "device")}
            runs.append(run)
            print(f"{picture} {case} {key}: {run['psnr']:.2f} dB, {seconds:.1f} s", flush=True)
            if options.save_pictures:
                options.save_pictures.mkdir(parents=True, exist_ok=True)
                file = f"{picture.replace('/', '-')}_{case}_{key}.png"
                Image.fromarray(drawn).save(options.save_pictures / file)
        write(name, {"about": about, "summary": summary(runs), "runs": runs})
    print_summary(runs)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Each picture in each case: their names, the picture, what is given of it, what is known."""

    def damaged(name: str, case: str, image: Pixels, mask: Mask) -> Case:
        return name, case, image, np.where(mask[:, :, np.newaxis], image, 0).astype(np.uint8), mask

    if options.protocol == "lettering":
        for name in options.pictures or LETTERINGS:
            image = draw_lettering(int(name[-2:]), options.fonts)
            mask = np.zeros(image.shape[:2], np.bool_)
            mask[::2, ::2] = True
            yield damaged(name, name.split("/")[0], image, mask)
        return
    for name in options.pictures or KODAK:
        image = read(kodak_picture(options.data, name))
        if options.crop:
            top, left = ((side - options.crop) // 2 for side in image.shape[:2])
            image = image[top : top + options.crop, left : left + options.crop]
        height, width = image.shape[:2]
        seed = int(name[-2:])
        if options.protocol == "random":
            for share in options.shares:
                mask = np.random.default_rng(seed).random((height, width)) < share
                yield damaged(name, f"{share:g}", image, mask)
        elif options.protocol == "masks":
            for kind in MASKS:
                yield damaged(name, kind, image, draw_mask(kind, height, width, seed))
        else:
            for sigma in SIGMAS:
                noisy = image + np.random.default_rng(seed).normal(0, sigma, image.shape)
                given = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
                yield name, f"{sigma:g}", image, given, np.ones((height, width), np.bool_)


def draw_lettering(seed: int, folder: Path | None) -> Pixels:
    """Fifteen words of random letters on white or a colour, (512, 512, 3)."""
    fonts = sorted(folder.rglob("*.ttf")) if folder else []
    if not fonts:
        sys.exit("say where fonts (*.ttf) are: --fonts DIR")
    random = np.random.default_rng(seed)
    letters = list(string.ascii_letters)
    colours = [tuple(colour) for colour in random.integers(0, 256, (16, 3)).tolist()]
    image = Image.new("RGB", (512, 512), (255, 255, 255) if seed % 2 else colours[15])
    pencil = ImageDraw.Draw(image)
    for colour in colours[:15]:
        word = "".join(random.choice(letters, int(random.integers(3, 12))))
        size = int(np.exp(random.uniform(np.log(10), np.log(90))))
        font = ImageFont.truetype(fonts[random.integers(len(fonts))], size)
        place = (int(random.integers(-60, 480)), int(random.integers(-20, 480)))
        pencil.text(place, word, colour, font=font)
    return np.asarray(image)


def draw_mask(kind: str, height: int, width: int, seed: int) -> Mask:
    """A mask of the protocol `masks`, true where the picture is known."""
    random = np.random.default_rng(seed)
    image = Image.new("1", (width, height), 1)
    pencil = ImageDraw.Draw(image)
    if kind == "text":
        font = ImageFont.load_default(24)
        line = "The quick brown fox jumps over the lazy dog, and again, and again. " * 3
        for y in range(0, height, 36):
            pencil.text((-int(random.integers(200)), y), line, 0, font=font)
    elif kind == "scratches":
        for _ in range(30):
            points = random.integers(0, (width, height), (3, 2)).tolist()
            pencil.line([tuple(p) for p in points], 0, int(random.integers(1, 6)))
    else:
        for _ in range(4):
            x, y = (int(v) for v in random.integers(8, (width - 72, height - 72)))
            pencil.rectangle((x, y, x + 63, y + 63), 0)
    return np.asarray(image)


def registry(options: argparse.Namespace) -> dict[str, Method]:
    """Return the protocol's methods by name, fieldpack's own first."""
    denoising = options.protocol == "denoise"
    methods: dict[str, Method] = {}
    for effort in options.efforts:
        suffix = "" if effort == 5 else f"-{effort}"
        methods["fill" + suffix] = fill(effort, options.threads, denoising, auto=False)
        if denoising:
            methods["auto" + suffix] = fill(effort, options.threads, denoising, auto=True)
    if denoising:
        return methods | {"noisy": lambda given, mask, case: given, "nlm": nonlocal_means}
    if options.protocol == "lettering":
        return methods | {"nearest": spline(0), "bilinear": spline(1), "cubic": spline(3)}
    if options.protocol == "random":
        methods |= {"linear": scattered("linear"), "cubic": scattered("cubic")}
        methods |= {name: network(name, options) for name in NETWORKS}
    else:
        methods |= {"telea": opencv("INPAINT_TELEA"), "navierstokes": opencv("INPAINT_NS")}
    return methods | {"biharmonic": biharmonic}


def fill(effort: int, threads: int, denoising: bool, auto: bool) -> Method:
    """fieldpack.fill."""

    def draw(given: Pixels, mask: Mask, case: str) -> NDArray[Any]:
        noise: float | Literal["auto"] | None = None
        if denoising:
            noise = "auto" if auto else float(case)
        return fieldpack.fill(given, mask, denoise=noise, effort=effort, threads=threads)

    return draw


def spline(order: int) -> Method:
    """Interpolation of the grid [::2, ::2] by splines."""

    def draw(known: Pixels, mask: Mask, case: str) -> NDArray[Any]:
        from scipy.ndimage import map_coordinates  # noqa: PLC0415

        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]] / 2
        planes = [
            map_coordinates(plane.astype(float), [y, x], order=order, mode="mirror")
            for plane in known[::2, ::2].transpose(2, 0, 1)
        ]
        return np.stack(planes, axis=-1)

    return draw


def scattered(kind: str) -> Method:
    """scipy.interpolate.griddata; beyond the samples' hull, the nearest."""

    def draw(known: Pixels, mask: Mask, case: str) -> NDArray[Any]:
        from scipy.interpolate import griddata  # noqa: PLC0415

        places, values = np.argwhere(mask), known[mask].astype(float)
        missing = np.argwhere(~mask)
        guess = griddata(places, values, missing, kind)
        outside = np.isnan(guess[:, 0])
        if outside.any():
            guess[outside] = griddata(places, values, missing[outside], "nearest")
        out = known.astype(float)
        out[~mask] = guess
        return out

    return draw


def network(name: str, options: argparse.Namespace) -> Method:
    """A coordinate network trained on the known pixels, with the settings that suit them."""

    def draw(known: Pixels, mask: Mask, case: str) -> NDArray[Any]:
        import torch  # noqa: PLC0415

        from fieldpack import networks  # noqa: PLC0415

        size = mask.shape[::-1]

        def coordinates(which: Mask) -> NDArray[np.float64]:
            places = np.argwhere(which)[:, ::-1]
            return np.asarray((2 * places + 1) / np.array(size) - 1)

        samples = networks.ScatteredSamples(coordinates(mask), known[mask] / 255)
        choice = networks.suited(name, samples, size)
        module = choice.build(size, samples.channels, seed=0)
        networks.train(
            module,
            samples,
            choice.recipe,
            steps=options.steps,
            batch=options.batch,
            device=options.device,
        )
        missing = torch.from_numpy(coordinates(~mask)).to(options.device)
        with torch.no_grad():
            parts = [module(*part.unbind(1)).cpu() for part in torch.split(missing, 1 << 15)]
        out = known.astype(float)
        out[~mask] = 255 * torch.cat(parts).numpy()
        return out

    return draw


def opencv(flag: str) -> Method:
    """cv2.inpaint with a radius of 3 pixels."""

    def draw(known: Pixels, mask: Mask, case: str) -> NDArray[Any]:
        import cv2  # noqa: PLC0415

        return np.asarray(cv2.inpaint(known, (~mask).astype(np.uint8), 3, getattr(cv2, flag)))

    return draw


def biharmonic(known: Pixels, mask: Mask, case: str) -> NDArray[Any]:
    """skimage.restoration.inpaint_biharmonic."""
    from skimage.restoration import inpaint_biharmonic  # noqa: PLC0415

    return 255 * np.asarray(inpaint_biharmonic(known, ~mask, channel_axis=-1))


def nonlocal_means(given: Pixels, mask: Mask, case: str) -> NDArray[Any]:
    """skimage.restoration.denoise_nl_means, told the deviation, as its documentation advises."""
    from skimage.restoration import denoise_nl_means  # noqa: PLC0415

    sigma = float(case) / 255
    options = {"patch_size": 5, "patch_distance": 6, "h": 0.6 * sigma, "sigma": sigma}
    return 255 * np.asarray(denoise_nl_means(given / 255, channel_axis=-1, **options))


def read(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def summary(runs: list[Run]) -> list[dict[str, Any]]:
    """Means over pictures, by crop, case and method."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run["crop"] or 0, run["case"])):
        groups.setdefault((run["crop"], run["case"], run["method"]), []).append(run)
    return [
        {
            "crop": crop,
            "case": case,
            "method": method,
            "pictures": len(own),
            "psnr": float(np.mean([run["psnr"] for run in own])),
            "seconds": float(np.mean([run["seconds"] for run in own])),
        }
        for (crop, case, method), own in groups.items()
    ]


def print_summary(runs: list[Run]) -> None:
    for line in summary(runs):
        crop = line["crop"] or "whole"
        print(
            f"{crop:>5} {line['case']:10s} {line['method']:12s} {line['psnr']:6.2f} dB "
            f"{line['seconds']:6.1f} s  ({line['pictures']} pictures)"
        )


if __name__ == "__main__":
    main()
