"""What `fieldpack info` prints: what is inside a file and where its bytes go."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_info(name: str, details: dict[str, Any]) -> None:
    """Print `Field.info` of the file `name` for people."""
    console = Console(highlight=False)
    size = details["bytes"]
    if details["kind"] == "picture":
        console.print(
            f"{name}: {details['width']} x {details['height']} pixels, "
            f"{details['colour'].replace('_', ' and ')}, {details['bit_depth']} bits a sample, "
            f"{size:,} bytes, {details['bpp']:.3f} bits a pixel",
            markup=False,
        )
    else:
        shape = " x ".join(str(n) for n in details["shape"])
        console.print(f"{name}: samples of shape {shape}, {size:,} bytes", markup=False)
    if details["field"] == "network":
        _print_network(console, details)
    elif details["field"] == "pyramid":
        _print_pyramid(console, details)


def _print_pyramid(console: Console, details: dict[str, Any]) -> None:
    pyramid = details["pyramid"]
    console.print(
        f"pyramid: {pyramid['latent_bytes']:,} bytes of latents, "
        f"{pyramid['network_bytes']:,} bytes "
        f"of networks ({pyramid['weights']:,} weights"
        + (f", differences from prior {pyramid['prior']})" if pyramid["prior"] else ")")
    )
    table = Table("grid", "not zero", "largest", box=None)
    for grid in pyramid["grids"]:
        height, width = grid["shape"]
        table.add_row(f"{width} x {height}", f"{grid['nonzero']:,}", str(grid["largest"]))
    console.print(table)


def _print_network(console: Console, details: dict[str, Any]) -> None:
    size = details["bytes"]
    network = details["network"]
    console.print(
        f"network: {network['weights']:,} weights of {network['bits_per_weight']:.2f} bits, "
        f"{network['operations']} operations, "
        f"{network['multiplications_per_point']:,} multiplications a point"
    )
    table = Table("operation", "shape", "step", "bytes", box=None)
    for tensor in network["tensors"]:
        table.add_row(
            tensor["operation"],
            " x ".join(str(n) for n in tensor["shape"]),
            f"{tensor['step']:.3g}",
            f"{tensor['bytes']:,.0f}",
        )
    sections = sum(section["bytes"] for section in details["sections"])
    tensors = sum(tensor["bytes"] for tensor in network["tensors"])
    table.add_row("everything else", "", "", f"{size - tensors:,.0f}")
    table.add_row("(of it the container)", "", "", f"{size - sections:,.0f}")
    console.print(table)
