"""The exceptions that fieldpack raises for causes outside its own code."""


class FieldpackError(Exception):
    """Base of every error that names a bad input, file or request; the message is one line."""


class FormatError(FieldpackError):
    """A .fpk file is truncated, damaged, hostile, or of a version this release does not read."""


class SignalError(FieldpackError):
    """A picture, array, sample file or mask cannot be read, written or represented."""


class RequestError(FieldpackError):
    """An argument is out of range or does not go with the others."""


class GoalMissedWarning(UserWarning):
    """A file is not of the size or quality asked for, because none can be."""
