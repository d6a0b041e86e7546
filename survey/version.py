"""The version of the package, which products carry."""

__version__ = "0.1.0"
