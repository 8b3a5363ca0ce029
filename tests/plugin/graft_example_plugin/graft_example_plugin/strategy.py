"""A strategy of graft search with an option of its own: points of a Halton sequence, which leave no gaps."""

from graft.config import Settings, setting

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


class HaltonConfig(Settings):
    """Options of ``Halton``."""

    halton_skip: int = setting(0, "number of points at the beginning to skip", ge=0)


class Halton:
    """Spreads the trials over the space."""

    Config = HaltonConfig
    name = "halton"
    help = "evenly spread points (Halton sequence)"

    def __init__(self, settings):
        self.settings = settings

    def propose(self, space, number, seed, past, greater_is_better):
        place = number + self.settings.halton_skip
        return {d.name: d.at(radical_inverse(place, prime)) for d, prime in zip(space.dimensions, PRIMES, strict=False)}


def radical_inverse(number, base):
    """The digits of ``number`` in ``base`` mirrored behind the point."""
    value, scale = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        scale /= base
        value += digit * scale
    return value
