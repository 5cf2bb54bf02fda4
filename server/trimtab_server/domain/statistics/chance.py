"""Chance for the parts of a report: the same for a part, whatever it is a part of."""

from zlib import crc32

import numpy as np


def part_rng(rng: np.random.Generator, part: str) -> np.random.Generator:
    """A generator for the part of this name, made from the seed of `rng` and the name alone: what
    other parts drew does not move it, and nothing is drawn from `rng`."""
    seed = rng.bit_generator.seed_seq
    assert isinstance(seed, np.random.SeedSequence)
    own = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, crc32(part.encode())))
    return np.random.default_rng(own)
