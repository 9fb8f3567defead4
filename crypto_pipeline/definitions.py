"""
The door for Dagster: the code location that `workspace.yaml` and `[tool.dagster]` name.

Loading it reads the environment and builds objects; it opens no socket and reads no secret.
"""

from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.settings import Settings

defs = build_defs(Settings.from_environment())
