"""What is needed to run anything: the configuration, and where tasks run."""

from siltstone.config.load import load_config
from siltstone.config.model import Config
from siltstone.engine.local import LocalEngine
from siltstone.engine.spark import SparkEngine

__all__ = ["Config", "LocalEngine", "SparkEngine", "load_config"]
