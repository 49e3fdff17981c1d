"""The configuration."""

from siltstone.config.load import load_config
from siltstone.config.model import Config

__all__ = ["Config", "load_config"]
