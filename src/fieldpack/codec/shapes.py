"""How files write the sizes of a model (docs/format.md, "Section P")."""

from __future__ import annotations

from fieldpack.bytestream import ByteReader, ByteWriter
from fieldpack.codec.model import (
    ANCESTORS,
    MAX_CHANNELS,
    MAX_CONVOLUTIONS,
    MAX_GRIDS,
    MAX_HIDDEN_LAYERS,
    MAX_WIDTH,
    NEIGHBOURS,
    ModelShape,
)
from fieldpack.errors import FormatError


def write_shape(writer: ByteWriter, shape: ModelShape) -> None:
    """Append the sizes, but for the number of channels."""
    writer.byte(shape.grids)
    writer.byte(int(shape.is_filtered))
    writer.byte(shape.convolutions)
    writer.byte(shape.neighbours)
    writer.byte(shape.ancestors)
    for hidden in (shape.synthesis_hidden, shape.context_hidden):
        writer.byte(len(hidden))
        for size in hidden:
            writer.byte(size)
    sets = shape.set_of_grid
    shared = all(index == 0 for index in sets)
    writer.byte(0 if shared else 1)
    if not shared:
        for index in sets:
            writer.byte(index)


def read_shape(reader: ByteReader, channels: int, grids: int) -> ModelShape:
    """Read what follows the number of grids; raises FormatError where it makes no sense."""
    is_filtered, convolutions = reader.byte(), reader.byte()
    neighbours, ancestors = reader.byte(), reader.byte()
    hidden = []
    for _ in range(2):
        layers = reader.byte()
        if layers > MAX_HIDDEN_LAYERS:
            raise FormatError(f"the pyramid has a network of {layers} hidden layers")
        hidden.append(tuple(reader.byte() for _ in range(layers)))
    shared = reader.byte()
    sets = () if shared == 0 else tuple(reader.byte() for _ in range(grids))
    valid = (
        1 <= channels <= MAX_CHANNELS
        and 1 <= grids <= MAX_GRIDS
        and is_filtered <= 1
        and convolutions <= MAX_CONVOLUTIONS
        and 1 <= neighbours <= len(NEIGHBOURS)
        and ancestors <= len(ANCESTORS)
        and all(1 <= size <= MAX_WIDTH for sizes in hidden for size in sizes)
        and shared <= 1
        and all(index < grids for index in sets)
    )
    if not valid:
        raise FormatError("the pyramid has a model of unknown sizes")
    return ModelShape(
        channels,
        grids,
        hidden[0],
        convolutions,
        neighbours,
        hidden[1],
        sets,
        ancestors,
        bool(is_filtered),
    )
