"""Pack the training pictures into one file, for a machine that has no more than that file.

    PYTHONPATH=. python prior/pack.py --data DIR -o PICTURES.bin

DIR holds train/, as for train.py. Pictures are cut to 1024 x 1024 and stored as lossless WebP, each
behind a byte, 1 for pictures kept aside, and its length in four.
"""

from __future__ import annotations

import argparse
import io
import struct
from pathlib import Path

from PIL import Image

from prior.train import kept_files, training_files

LARGEST, SMALLEST = 1024, 256  # pixels along a side
KEPT = 10  # pictures of the validation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    folder = options.data / "train"
    kept = kept_files(folder)
    with options.output.open("wb") as out:
        for flag, files in (
            (1, kept[:: max(len(kept) // KEPT, 1)][:KEPT]),
            (0, training_files(folder)),
        ):
            for path in files:
                with Image.open(path) as image:
                    picture = image.convert("RGB")
                if min(picture.size) < SMALLEST:
                    continue
                picture = picture.crop((0, 0, *(min(side, LARGEST) for side in picture.size)))
                data = io.BytesIO()
                picture.save(data, "webp", lossless=True)
                out.write(struct.pack("<BI", flag, data.tell()) + data.getvalue())


if __name__ == "__main__":
    main()
