"""The version of siltstone, which manifests and error messages name."""

__version__ = "0.1.0"
