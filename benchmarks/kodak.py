"""Rate and distortion on the Kodak pictures, by effort and lambda, against published curves.

    python benchmarks/kodak.py --data DIR [--efforts 5 9] [--pictures kodim01 kodim02]
    python benchmarks/kodak.py --data DIR --efforts 9 --prior none
    python benchmarks/kodak.py --data DIR --efforts 1 3 5 7 9 --avif
    python benchmarks/kodak.py --plot-only

DIR contains kodak/ and, for BD-rates, anchors/ with kodak_published_mean.csv (columns codec, bpp,
psnr) and kodak_published_per_image.csv (codec, lambda, image, bpp, psnr).

Every picture is written to a file by the command `fieldpack encode` and read back from it by
`fieldpack decode`; bits are those of the file, PSNR that of all 8-bit RGB samples of the picture
that comes back, seconds those of the whole commands. results/kodak.json is written after every
run, and a later call skips what it holds already. Without the prior, they go to
results/kodak-scratch.json. With --avif, AVIF is measured in the same call, through Pillow and in
this process, so that its seconds lack what a command needs to begin and end. With --workers,
several pictures are encoded at once: their bytes are the same, but seconds would say nothing and
are null.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from environment import RESULTS, add_data_option, describe, kodak_picture, read_results
from PIL import Image

import fieldpack
from fieldpack.codec.payload import read_pyramid, write_pyramid
from fieldpack.container import unpack
from fieldpack.files import write_atomically
from fieldpack.metrics import bd_rate, psnr

NAMES = {"auto": "kodak", "none": "kodak-scratch"}  # of the results, by --prior
PLOT = Path(__file__).parent.parent / "docs" / "kodak.png"
PICTURES = [f"kodim{i:02d}" for i in range(1, 25)]
LAMBDAS = (0.0001, 0.0003, 0.001, 0.004, 0.015)  # about 1.5 to 0.1 bits a pixel
FEWEST_LAMBDAS = 4
AVIF_QUALITIES = (20, 35, 50, 65, 80, 90)
AVIF_SETTINGS: dict[str, Any] = {"subsampling": "4:4:4", "speed": 4, "advanced": {"tune": "psnr"}}
MEAN_ANCHOR, PICTURE_ANCHOR = "vtm_444", "coolchic_5.0"

Run = dict[str, Any]
Key = tuple[str, int, float]  # picture, effort, lambda
Curve = list[list[float]]  # (bpp, PSNR) of each point


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_data_option(parser)
    parser.add_argument("--efforts", type=int, nargs="+", default=[5])
    parser.add_argument("--lambdas", type=float, nargs="+", default=list(LAMBDAS))
    parser.add_argument("--pictures", nargs="+", default=PICTURES, metavar="kodimNN")
    parser.add_argument("--threads", type=int, default=0, help="0 means one for each core")
    parser.add_argument(
        "--workers", type=int, default=1, help="so many encoders at once, none of them timed"
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="skip what the results hold already; --no-resume measures it again",
    )
    parser.add_argument("--prior", choices=NAMES, default="auto", help="as encode has it")
    parser.add_argument("--avif", action="store_true", help="measure AVIF, too, before the rest")
    parser.add_argument("--plot-only", action="store_true", help="only draw docs/kodak.png")
    options = parser.parse_args()
    name_of_results = NAMES["auto" if options.plot_only else options.prior]
    results = _earlier_results(name_of_results)
    if options.plot_only:
        if not results["runs"]:
            sys.exit(f"there is nothing to plot in {RESULTS / name_of_results}.json")
        plot(results)
        return
    originals = {name: kodak_picture(options.data, name) for name in options.pictures}
    results |= {"anchors": read_anchors(options.data / "anchors") or results["anchors"]}
    done = {_key(run) for run in results["runs"]} if options.resume else set()
    about = describe(("numpy", "pillow"))
    if options.avif:
        results["avif"] = measure_avif(originals, results["anchors"])
        save(name_of_results, results, about)
    waiting = [
        (name, effort, lambda_)
        for effort in options.efforts
        for name in originals
        for lambda_ in options.lambdas
        if (name, effort, lambda_) not in done
    ]
    threads = options.threads or about["cores"]
    for (name, effort, lambda_), measured in measure_all(
        waiting, originals, threads, options.prior, options.workers
    ):
        run = {
            "picture": name,
            "effort": effort,
            "lambda": lambda_,
            **measured,
            "threads": threads,
            "commit": about["commit"],
            "processor": about["processor"],
        }
        print_run(run)
        others = [other for other in results["runs"] if _key(other) != _key(run)]
        results["runs"] = sorted([*others, run], key=_key)
        save(name_of_results, results, about)
    save(name_of_results, results, about)
    print_summary(results["summary"])


def measure_all(
    waiting: list[Key], originals: dict[str, Path], threads: int, prior: str, workers: int
) -> Iterator[tuple[Key, Run]]:
    """Measure what is waiting, in order and timed by a single worker, else as they are done."""
    if workers == 1:
        for name, effort, lambda_ in waiting:
            run = measure(originals[name], effort, lambda_, threads, prior)
            yield (name, effort, lambda_), run
        return
    with ThreadPoolExecutor(workers) as executor:
        running = {
            executor.submit(measure, originals[name], effort, lambda_, threads, prior): (
                (name, effort, lambda_)
            )
            for name, effort, lambda_ in waiting
        }
        for future in as_completed(running):
            untimed = {"encode_seconds": None, "decode_seconds": None}
            yield running[future], future.result() | untimed


def measure(path: Path, effort: int, lambda_: float, threads: int, prior: str) -> Run:
    """Encode a picture to a file and decode that file, each with the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        file, decoded = Path(folder) / "picture.fpk", Path(folder) / "picture.png"
        encode_seconds = _command(
            "encode", path, "-o", file, "--threads", threads, "--effort", effort,
            "--lambda", lambda_, "--prior", prior,
        )  # fmt: skip
        decode_seconds = _command("decode", file, "-o", decoded, "--threads", threads)
        before, after = _samples(path), _samples(decoded)
        data = file.read_bytes()
    return {
        "bytes": len(data),
        "bpp": 8 * len(data) / (before.shape[0] * before.shape[1]),
        "psnr": psnr(before, after, 255),
        "encode_seconds": round(encode_seconds, 3),
        "decode_seconds": round(decode_seconds, 3),
        "parts": parts(data),
    }


def measure_avif(originals: dict[str, Path], anchors: dict[str, Any]) -> dict[str, Any]:
    """Return AVIF's mean bits, PSNR and seconds by quality, and its BD-rate in %."""
    means = []
    for quality in AVIF_QUALITIES:
        rows = []
        for path in originals.values():
            samples, out = _samples(path), io.BytesIO()
            start = time.perf_counter()
            Image.fromarray(samples).save(out, "AVIF", quality=quality, **AVIF_SETTINGS)
            encoded = time.perf_counter()
            with Image.open(out) as image:
                decoded = np.asarray(image.convert("RGB"))
            seconds = encoded - start, time.perf_counter() - encoded
            bpp = 8 * len(out.getvalue()) / (samples.shape[0] * samples.shape[1])
            rows.append((bpp, psnr(samples, decoded, 255), *seconds))
        keys = ("bpp", "psnr", "encode_seconds", "decode_seconds")
        row = dict(zip(keys, np.mean(rows, axis=0).tolist(), strict=True))
        means.append({"quality": quality, "pictures": len(rows), **row})
        print("AVIF", {key: round(value, 3) for key, value in means[-1].items()}, flush=True)
    measured: dict[str, Any] = {"settings": AVIF_SETTINGS, "means": means}
    if anchors and len(originals) == len(PICTURES):
        curve = [[row["bpp"], row["psnr"]] for row in means]
        measured["bd_rate_mean_curve"] = _bd_rate(curve, anchors["means"][MEAN_ANCHOR])
    return measured


def parts(data: bytes) -> dict[str, Any]:
    """Return the bytes of a file by part; those of single grids are ideal ones."""
    info = fieldpack.open(data).info
    if info["field"] != "pyramid":
        return {"container": info["bytes"], "networks": 0, "latents": 0, "grids": []}
    networks, latents = info["pyramid"]["network_bytes"], info["pyramid"]["latent_bytes"]
    size = info["height"], info["width"]
    payload = next(section.payload for section in unpack(data) if section.name == "P")
    pyramid = read_pyramid(payload, info["channels"], *size)
    assert pyramid.networks is not None
    _, bits = write_pyramid(pyramid.networks, pyramid.latents, *size)
    return {
        "container": info["bytes"] - networks - latents,
        "networks": networks,
        "latents": latents,
        "grids": [round(grid / 8, 1) for grid in bits],
    }


def read_anchors(folder: Path) -> dict[str, Any]:
    """Return the published curves: means by codec, and PICTURE_ANCHOR by picture."""
    means: dict[str, Curve] = defaultdict(list)
    pictures: dict[str, Curve] = defaultdict(list)
    by_lambda: dict[float, Curve] = defaultdict(list)
    try:
        with (folder / "kodak_published_mean.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["codec"] == MEAN_ANCHOR:
                    means[MEAN_ANCHOR].append([float(row["bpp"]), float(row["psnr"])])
        with (folder / "kodak_published_per_image.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["codec"] == PICTURE_ANCHOR:
                    point = [float(row["bpp"]), float(row["psnr"])]
                    pictures[row["image"]].append(point)
                    by_lambda[float(row["lambda"])].append(point)
    except OSError as error:
        print(f"no BD-rates: {error}", file=sys.stderr)
        return {}
    means[PICTURE_ANCHOR] = [np.mean(points, axis=0).tolist() for points in by_lambda.values()]
    return {"means": {name: sorted(curve) for name, curve in means.items()}, "pictures": pictures}


def summarise(
    runs: list[Run], anchors: dict[str, Any], avif: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return, for each effort, the means by lambda and the BD-rates in %."""
    summary = []
    for effort in sorted({run["effort"] for run in runs}):
        chosen = [run for run in runs if run["effort"] == effort]
        by_lambda: dict[float, list[Run]] = defaultdict(list)
        curves: dict[str, Curve] = defaultdict(list)
        for run in chosen:
            by_lambda[run["lambda"]].append(run)
            curves[run["picture"]].append([run["bpp"], run["psnr"]])
        means = [_means(lambda_, group) for lambda_, group in sorted(by_lambda.items())]
        complete = [[row["bpp"], row["psnr"]] for row in means if row["pictures"] == len(PICTURES)]
        row: dict[str, Any] = {
            "effort": effort,
            "commits": sorted({run["commit"] for run in chosen}),
            "means": means,
        }
        if anchors and len(complete) >= FEWEST_LAMBDAS:
            row["bd_rate_mean_curve"] = _bd_rate(complete, anchors["means"][MEAN_ANCHOR])
        if avif and len(complete) >= FEWEST_LAMBDAS:
            of_avif = [
                [m["bpp"], m["psnr"]] for m in avif["means"] if m["pictures"] == len(PICTURES)
            ]
            row["bd_rate_against_avif"] = _bd_rate(complete, of_avif) if of_avif else None
        if anchors:
            rates = {
                name: _bd_rate(curve, anchors["pictures"][name])
                for name, curve in sorted(curves.items())
                if len(curve) >= FEWEST_LAMBDAS
            }
            row["bd_rate_by_picture"] = rates
            known = [rate for rate in rates.values() if rate is not None]
            row["bd_rate_picture_mean"] = float(np.mean(known)) if known else None
        summary.append(row)
    return summary


def save(name: str, results: dict[str, Any], about: dict[str, Any]) -> None:
    """Write the results, whole or not at all."""
    results |= {
        **about,
        "summary": summarise(results["runs"], results["anchors"], results.get("avif")),
    }
    # The long lists last.
    ordered = {key: results[key] for key in results if key not in ("anchors", "runs")}
    ordered |= {"anchors": results["anchors"], "runs": results["runs"]}
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"{name}.json", (json.dumps(ordered, indent=1) + "\n").encode())


def plot(results: dict[str, Any]) -> None:
    """Draw the mean curves of all efforts that have all pictures, else of one set of pictures."""
    # Only plotting needs it.
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(7, 5), layout="constrained")
    labels = {MEAN_ANCHOR: "VTM 4:4:4", PICTURE_ANCHOR: "Cool-Chic 5.0"}
    counts = {row["pictures"] for effort in results["summary"] for row in effort["means"]}
    most = max(counts)
    if most == len(PICTURES) and results["anchors"]:
        for name, style in ((MEAN_ANCHOR, "k--"), (PICTURE_ANCHOR, "k:")):
            bpp, quality = zip(*results["anchors"]["means"][name], strict=True)
            axes.plot(bpp, quality, style, linewidth=1, label=labels[name])
        if avif := results.get("avif"):
            rows = sorted((row["bpp"], row["psnr"]) for row in avif["means"])
            label = f"AVIF ({avif['bd_rate_mean_curve']:+.1f} %)"
            axes.plot(*zip(*rows, strict=True), "k-.", linewidth=1, label=label)
    points_shown: Curve = []
    for effort in results["summary"]:
        points = [[p["bpp"], p["psnr"]] for p in effort["means"] if p["pictures"] == most]
        if not points:
            continue
        label = f"fieldpack, effort {effort['effort']}"
        if effort.get("bd_rate_mean_curve") is not None:
            label += f" ({effort['bd_rate_mean_curve']:+.1f} %)"
        axes.plot(*zip(*points, strict=True), "o-", label=label)
        points_shown += points
    # The anchors reach much further.
    bpp, quality = zip(*points_shown, strict=True)
    axes.set_xlim(0, 1.1 * max(bpp))
    axes.set_ylim(min(quality) - 1, max(quality) + 2)
    axes.set_xlabel("bits a pixel")
    axes.set_ylabel("PSNR, dB (RGB)")
    axes.set_title(f"Kodak, mean of {most} picture{'s' if most > 1 else ''}")
    axes.grid(alpha=0.3)
    axes.legend(title="BD-rate against VTM 4:4:4 in brackets" if most == len(PICTURES) else None)
    figure.savefig(PLOT, dpi=150)
    print(f"wrote {PLOT}")


def print_run(run: Run) -> None:
    part = run["parts"]
    encode, decode = _seconds(run["encode_seconds"], 1), _seconds(run["decode_seconds"], 2)
    print(
        f"{run['picture']}  effort {run['effort']}  lambda {run['lambda']:<7g} "
        f"{run['bytes']:7,} bytes  {run['bpp']:.4f} bpp  {run['psnr']:.3f} dB  "
        f"encode {encode} s  decode {decode} s  "
        f"(container {part['container']}, networks {part['networks']:,}, "
        f"latents {part['latents']:,})",
        flush=True,
    )


def print_summary(summary: list[dict[str, Any]]) -> None:
    print("\neffort   lambda  pictures     bpp    PSNR  encode s  decode s  networks   latents")
    for effort in summary:
        for row in effort["means"]:
            print(
                f"{effort['effort']:6} {row['lambda']:8g} {row['pictures']:9} {row['bpp']:7.4f} "
                f"{row['psnr']:7.3f} {_seconds(row['encode_seconds'], 1):>9} "
                f"{_seconds(row['decode_seconds'], 2):>9} "
                f"{row['networks']:9,.0f} {row['latents']:9,.0f}"
            )
    for effort in summary:
        if len(effort["commits"]) > 1:
            print(f"effort {effort['effort']}: of {len(effort['commits'])} commits; see the JSON")
        if "bd_rate_mean_curve" in effort:
            rate = _percent(effort["bd_rate_mean_curve"], 2)
            print(f"effort {effort['effort']}: BD-rate {rate} against VTM 4:4:4, mean curve")
        if "bd_rate_against_avif" in effort:
            rate = _percent(effort["bd_rate_against_avif"], 2)
            print(f"effort {effort['effort']}: BD-rate {rate} against AVIF, mean curve")
        if rates := effort.get("bd_rate_by_picture"):
            known = sum(rate is not None for rate in rates.values())
            print(
                f"effort {effort['effort']}: BD-rate {_percent(effort['bd_rate_picture_mean'], 2)} "
                f"against Cool-Chic 5.0, mean of {known} of {len(rates)} pictures:"
            )
            print("  " + "  ".join(f"{name[5:]} {_percent(r, 1)}" for name, r in rates.items()))


def _percent(rate: float | None, digits: int) -> str:
    return "not known" if rate is None else f"{rate:+.{digits}f} %"


def _seconds(seconds: float | None, digits: int) -> str:
    return "-" if seconds is None else f"{seconds:.{digits}f}"


def _means(lambda_: float, runs: list[Run]) -> dict[str, Any]:
    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    timed = [run for run in runs if run["encode_seconds"] is not None]
    return {
        "lambda": lambda_,
        "pictures": len(runs),
        **{key: mean([run[key] for run in runs]) for key in ("bytes", "bpp", "psnr")},
        "timed": len(timed),
        **{
            key: mean([run[key] for run in timed]) if timed else None
            for key in ("encode_seconds", "decode_seconds")
        },
        **{
            part: mean([run["parts"][part] for run in runs])
            for part in ("container", "networks", "latents")
        },
    }


def _bd_rate(curve: Curve, anchor: Curve) -> float | None:
    try:
        return bd_rate(*zip(*curve, strict=True), *zip(*anchor, strict=True))
    except ValueError:
        # The curves do not overlap, or two points have the same PSNR.
        return None


def _key(run: Run) -> Key:
    return run["picture"], run["effort"], run["lambda"]


def _earlier_results(name: str) -> dict[str, Any]:
    if (RESULTS / f"{name}.json").exists():
        return read_results(name)
    return {"anchors": {}, "runs": []}


def _command(*arguments: object) -> float:
    command = [sys.executable, "-m", "fieldpack", *(str(argument) for argument in arguments)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return time.perf_counter() - start


def _samples(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    main()
