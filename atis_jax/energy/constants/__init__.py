"""Every figure the ledger charges, with its provenance; ``ALL`` is what the docs list and the tests go through.

Nothing here is scaled from one technology node to another (``presets.at_node`` does that, by a stated rule). A
constant that an estimate hangs on and nobody measured carries the range it should be swept over.
"""

from atis_jax.energy.constants import analog, arithmetic, attention, converters, memory, paper, published, pulse, sensor
from atis_jax.energy.constants.provenance import Constant

MODULES = (paper, arithmetic, memory, converters, analog, pulse, sensor, attention, published)
ALL = tuple(value for module in MODULES for value in vars(module).values() if isinstance(value, Constant))
