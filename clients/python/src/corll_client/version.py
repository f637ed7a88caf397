"""The version of corll and of its clients."""

__version__ = "0.2.0"
