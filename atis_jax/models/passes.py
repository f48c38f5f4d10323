"""What a pass through the layers is made of: network, kernel, method, what its scorers need, and what a layer records.

Shape suffixes: B examples, N tokens, G head groups, L layers. Design, chip and memory carry a leading axis L.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.models.backbone import Model
from atis_jax.models.kernels import Kernel, Softmax
from atis_jax.numerics import pytree, static
from atis_jax.scoring.method import Method
from atis_jax.typing import Key, PyTree

EVERY_LAYER = range(2**31)
"""The scored layers of a network that has a scorer in front of all of them, however many they are."""
SOFTMAX = Softmax()

Batch = Mapping[str, Any]


@pytree
class ScorerInputs:
    """Everything a network's scorers need besides tokens; leaves carry a leading axis of layers.

    Attributes:
        design: what is optimised.
        chip: what fabrication gave, or None for scorers without one. A second axis, after that of the layers, deals
            the examples to several chips: the first B / chips of them to the first, and so on.
        environment: temperature and supply, shared by all layers; one entry a chip if there are several.
        state: the scorers' memory.
        attention: what fabrication gave the kernel, where it is a circuit; axes as of ``chip``.
    """

    design: Any
    chip: Chip | None
    environment: Environment | None
    state: Any
    attention: Any = None


@pytree
class Relaxation:
    """How decisions are softened while training; the default is the hard comparator.

    Attributes:
        smoothing: width of the soft comparator relative to the score's half span.
        hardness: 0 gates with the soft comparator, 1 with the hard decision (straight-through gradient).
        fixed_rate: take the gradient as if the thresholds held the kept fraction (``at_fixed_rate``).
        detach_network: stop the gradient that the scorer would send into the tokens it looks at.
    """

    smoothing: Float[Array, ""] | float = 0.0
    hardness: Float[Array, ""] | float = 1.0
    fixed_rate: bool = static(default=False)
    detach_network: bool = static(default=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Pass:
    """What one pass is made of, apart from parameters, examples and what the scorers need.

    Attributes:
        model: the network.
        kernel: how attention is computed.
        method: which tokens stay; None: all.
        scored: layers in which it decides; the others keep every token that reaches them.
        relaxation: softened decisions while training.
        needs: parts of every layer's ``Attended`` to give back.
        dropout: turns dropout on.
        frozen: first blocks that no gradient goes into or through, nor into what is in front of them; a scorer there
            has those of its own decisions' voltages and probabilities alone.
    """

    model: Model
    kernel: Kernel = SOFTMAX
    method: Method | None = None
    scored: range = EVERY_LAYER
    relaxation: Relaxation = dataclasses.field(default_factory=Relaxation)
    needs: tuple[str, ...] = ()
    dropout: Key | None = None
    frozen: int = 0


class Layer(NamedTuple):
    """One layer's share of everything: its number, parameters, what its scorer needs, what its kernel is fitted to."""

    number: Any
    block: PyTree
    scorer: ScorerInputs | None
    fitted: Any = None


class Record(NamedTuple):
    """What one layer decided, at the tokens' original positions."""

    alive: Any
    voltage: Any
    probability: Any
    overflow: Any
    state: Any
