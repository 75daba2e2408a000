"""Settings that all tests share."""

import os

from hypothesis import HealthCheck, settings

# Examples take as long as the machine is busy, so there is no deadline. In CI the examples are
# the same in every run: a failure there is the change's, and `make test` at home looks further.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")
