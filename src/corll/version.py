"""The package's version, which is that of its client."""

from corll_client.version import __version__ as __version__
