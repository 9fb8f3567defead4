"""
The Dagster floor: resources, assets, checks, jobs and schedules, one module per Dagster concept.

Nothing below this floor knows Dagster, and no rule of ours stands on it. Import the concrete
submodule you need; `build.build_defs` puts everything together.
"""
