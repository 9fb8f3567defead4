"""
The door for Dagster: the code location that `workspace.yaml` and `[tool.dagster]` name.

Loading it reads the environment and builds objects; it opens no socket and reads no secret.
"""

from crypto_pipeline.defs.build import build_defs
from crypto_pipeline.secrets.memory import keep_to_this_process
from crypto_pipeline.settings import Settings

# The sources do so, too; but the login to the store stands in the environment from the start.
keep_to_this_process()
defs = build_defs(Settings.from_environment())
