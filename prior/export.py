"""Write a prior from the states that prior/train.py left.

    python prior/export.py STATE.npz [STATE.npz ...] -o src/fieldpack/codec/photographs-1.prior

Weights are rounded to float16: the file is half as large, and what a decoder adds differences to is
the same number everywhere. Prints the checksum for fieldpack/codec/prior.py.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from fieldpack.bytestream import ByteWriter
from fieldpack.codec.prior import SIGNATURE
from fieldpack.codec.shapes import write_shape
from prior.train import FOR_FEW_PIXELS, SHAPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("states", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    writer = ByteWriter()
    writer.raw(SIGNATURE)
    writer.byte(len(options.states))
    for path in options.states:
        with np.load(path) as state:
            shape = SHAPES[str(state["size"])]
            writer.float32(float(state["lambda_"]))
            writer.byte(int(state["is_flat"]))
            writer.byte(int(state["finest"]))
            writer.byte(int(str(state["size"]) == FOR_FEW_PIXELS))
            writer.byte(shape.channels)
            write_shape(writer, shape)
            writer.raw(state["parameters"].astype("<f2").tobytes())
            loss = 1000 * float(state["loss"])
            print(f"{path}: lambda {float(state['lambda_']):g}, training loss {loss:.4f}")
    data = writer.getvalue()
    options.output.write_bytes(data)
    print(f"{len(data):,} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
