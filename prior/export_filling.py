"""Write the filling network from the state that prior/train_filling.py left.

    python prior/export_filling.py STATE.pt -o src/fieldpack/filling/photographs-1.filling

What is written is the average of the last steps' weights, at eight bits each. Prints the checksum
for fieldpack/filling/network.py.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch

from fieldpack.filling.network import WIDTHS, write_network
from prior.filling_network import FillingNetwork


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("state", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    state = torch.load(options.state, map_location="cpu")
    network = FillingNetwork()
    network.load_state_dict(state["average"])
    data = write_network(WIDTHS, network.flat_parameters().numpy())
    options.output.write_bytes(data)
    print(f"{state['step']} steps, {len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
