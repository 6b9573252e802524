"""One random generator per (run seed, sample, purpose), the same on every machine and in every order of work."""

from hashlib import blake2b

import numpy as np


def generator(seed: int, sample: int, purpose: str) -> np.random.Generator:
    """A Philox generator keyed by the three arguments and nothing else.

    The 128-bit key is a BLAKE2b digest of `seed:sample:purpose`, so that streams of different keys are independent,
    negative seeds are allowed, and no draw depends on what was drawn before for another sample.

    Parameters
    ----------
    seed
        The run's seed.
    sample
        The sample's number in the run.
    purpose
        The name of an activation type, or any other text for a draw that belongs to no type.

    Returns
    -------
    Generator
        A new one, at the beginning of its stream.

    Examples
    --------
    >>> first, again = generator(0, 3, "random"), generator(0, 3, "random")
    >>> bool((first.standard_normal(4) == again.standard_normal(4)).all())
    True
    """
    digest = blake2b(f"{seed}:{sample}:{purpose}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
