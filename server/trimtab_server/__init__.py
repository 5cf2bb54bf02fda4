"""trimtab: the learning sidecar for trading engines."""

__version__ = "0.1.0"
