"""Signals: arrays with what is needed to write them back as they came."""

from fieldpack.signals.arrays import picture_from
from fieldpack.signals.reading import read_picture
from fieldpack.signals.signal import Colour, Picture
from fieldpack.signals.writing import write_picture

__all__ = ["Colour", "Picture", "picture_from", "read_picture", "write_picture"]
