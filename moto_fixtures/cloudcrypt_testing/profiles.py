"""Profiles whose key derivation costs nothing. ONLY FOR TESTS: never write a volume with them.

They differ from the real ones in the cost of Argon2id alone, so that property tests can open
thousands of headers.
"""

import attrs

from cloudcrypt.profiles import CLOUDCRYPT_V1, CONSTELLATION, Argon2idCost, Bounds, Profile

CHEAP_COST = Argon2idCost(time=1, memory=32, lanes=1)
"""Less than a millisecond. Only for tests!"""


def _cheap(profile: Profile) -> Profile:
    return attrs.evolve(
        profile,
        name=f"{profile.name} (cheap, only for tests)",
        write=CHEAP_COST,
        time=Bounds.exactly(CHEAP_COST.time),
        memory=Bounds.exactly(CHEAP_COST.memory),
        lanes=Bounds.exactly(CHEAP_COST.lanes),
        digest_iterations=Bounds.exactly(profile.write_digest_iterations),
    )


CHEAP = _cheap(CLOUDCRYPT_V1)
"""`CLOUDCRYPT_V1`, sealed, at no cost. Only for tests!"""

CHEAP_CONSTELLATION = _cheap(CONSTELLATION)
"""`CONSTELLATION`, unsealed, at no cost. Only for tests!"""
