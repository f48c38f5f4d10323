"""A method: which tokens a network keeps, in front of or behind a block's attention. ATIS is one, every rival another.

A rival is one file with a subclass of ``Method``, and one line in ``scoring.registry``. Only ``score``, ``begin`` and
``bill`` must be written; what else there is has a default. Shape suffixes: L layers, B examples, N tokens, X what is
looked at, G head groups, H heads, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.hardware import Hardware
from atis_jax.energy.ledger import Ledger
from atis_jax.numerics import pytree, static
from atis_jax.pruning.stream import PARTS, Attended, Stream
from atis_jax.scoring.bill import Bill
from atis_jax.scoring.types import Context, Decision
from atis_jax.typing import Key
from atis_jax.validation import SettingError, check_choice, check_settings, choose, setting

SITES = ("before_attention", "before_mlp", "after_feed")
"""Where in a block a method decides: on the tokens as they come, or knowing this block's attention."""
MERGES = {"prune": False, "merge": True}
"""Whether tokens go into others; else out."""
ON_OUTPUT = {"softmax": False, "output": True}
"""Whether a soft decision multiplies what the block makes of a token; else it weighs the token as a key."""


@dataclasses.dataclass(frozen=True)
class PlainSpec:
    """The section of a method that has nothing to choose but itself."""

    kind: str = setting("", doc="which scorer decides")

    def __post_init__(self):
        check_settings(self, "scorer")


@pytree
class Survey:
    """What a trained dense network shows of a few examples, for a method to start from.

    Attributes:
        seen: (L, B, N, X) what the method looks at in front of every layer.
        counted: (B, N) tokens that are a method's to judge.
        attended: of every layer, leaves (L, B, ...), in the parts of ``Method.surveys``.
    """

    seen: Float[Array, "L B N X"]
    counted: Bool[Array, "B N"]
    attended: Attended


@pytree
class Trail:
    """What a pruned pass left behind, for a method's own loss.

    Attributes:
        alive: (L, B, N, G) after each layer's decision.
        before: (L, B, N, G) tokens that reach each layer's decision.
        voltage: (L, B, N, G) scores.
        probability: (L, B, N, G) keep probabilities.
        counted: (B, N) tokens that are a method's to judge.
        target: (L,) wanted kept fraction now; ``final``: at the end.
        scored: (L,) 1 for layers with a scorer, 0 for others.
        kept: (L,) kept fraction, with a gradient.
        energy_ratio: energy over the dense network's, with a gradient.
        teacher: attention of the dense network, leaves (L, B, ...), in the parts of ``Method.teaches``.
        tokens: (B, N, D) in front of the head, and the dense network's ``teacher_tokens``, if ``compares_tokens``.
        tracked: whether the thresholds follow the kept fraction by themselves. Static.
    """

    alive: Bool[Array, "L B N G"]
    before: Bool[Array, "L B N G"]
    voltage: Float[Array, "L B N G"]
    probability: Float[Array, "L B N G"]
    counted: Bool[Array, "B N"]
    target: Float[Array, "L"]
    final: Float[Array, "L"]
    scored: Float[Array, "L"]
    kept: Float[Array, "L"]
    energy_ratio: Float[Array, ""]
    teacher: Attended
    tokens: Float[Array, "B N D"] | None = None
    teacher_tokens: Float[Array, "B N D"] | None = None
    tracked: bool = static(default=False)


@dataclasses.dataclass(frozen=True)
class Place:
    """What a run puts a method into: its other sections, as far as they are a method's business.

    Attributes:
        network: section ``model``; every one has ``depth``, ``width`` and ``heads``.
        pruning: section ``pruning``; ``scored(depth)`` are the layers in which the method decides.
        hardware: section ``hardware``, as the config gives it; ``Method.hardware`` is what it stands for.
        energy: section ``energy``.
        codesign: section ``codesign``.
    """

    network: Any
    pruning: Any
    hardware: Any
    energy: Any
    codesign: Any


class Method:
    """Which tokens stay.

    Class attributes, all with a default:
        Spec: dataclass of its section ``scorer`` in a config; has a field ``kind``.
        needs: parts of ``Attended`` that ``score`` or ``remember`` read.
        surveys: parts of ``Attended`` that ``begin`` reads.
        site: where in the block it decides, one of ``SITES``.
        reduces: "prune" takes tokens out, "merge" puts each into another (``Decision.into``); one head group then.
        gates: "softmax": the decision weighs a token as a key. "output": while soft it multiplies what the whole block
            makes of a token, wherever in it the decision was taken, and no attention sees it; once hard it shuts the
            token out of the softmax, multiplies nothing, and has no gradient (LTP's two stages).
        cascade: whether a token pruned once stays pruned.
        proportional: whether a key's weight grows with the tokens merged into it.
        relaxes: whether decisions are soft while training; else always hard.
        tracked: whether its design has a ``threshold`` that can follow the kept fraction.
        noise_stream: the random stream of its noise (``rng.STREAMS``).
        chance: whether it needs a key even where read noise is off.
        reads_once: whether it looks at a token in the first layer in which it decides alone: what ``Decision.along``
            is there, the later layers find in ``context.along``, which is None before.
        trains_with: kernel that takes the softmax's place while it trains; None: no other.

    Attributes:
        spec: its section.
        hardware: preset that its chips are sampled from.
        target: (L,) wanted share of incoming tokens kept, or None.
    """

    Spec: ClassVar[type] = PlainSpec
    needs: frozenset[str] = frozenset()
    surveys: frozenset[str] = frozenset()
    site: str = "before_attention"
    reduces: str = "prune"
    gates: str = "softmax"
    cascade: bool = True
    proportional: bool = False
    relaxes: bool = True
    tracked: bool = False
    noise_stream: str = "read_noise"
    chance: bool = False
    reads_once: bool = False
    trains_with: str | None = None

    def __init__(self, spec: Any, hardware: Hardware, target: Float[Array, "L"] | None = None):
        self.spec, self.hardware, self.target = spec, hardware, target
        choose(dict.fromkeys(SITES), self.site, "method.site")
        choose(ON_OUTPUT, self.gates, "method.gates")
        for part in (*self.needs, *self.surveys):
            check_choice(part, PARTS, "method.needs")
        if self.merges and self.groups != 1:
            raise SettingError(f"method.reduces = {self.reduces!r} with {self.groups} head groups; give it one")

    @classmethod
    def built_on(cls, spec: Any, hardware: Hardware) -> Hardware:
        """A preset without the parts that a method of this section does without."""
        return hardware

    def check(self, place: Place) -> None:
        """Whether it can be the scorer of a run with these other sections; asked before anything starts.

        Raises:
            SettingError: it cannot; names field, value and remedy.
        """

    def check_design(self, costs: Bill, design: Any, state: Any) -> None:
        """Refuse to train from a design that cannot be charged; traced ones pass.

        Raises:
            SettingError: names the field, its value and the remedy.
        """

    def check_raw(self, values: int) -> None:
        """Whether it can look at tokens made of ``values`` raw numbers each; asked where ``raw`` is True.

        Raises:
            SettingError: it cannot; names field, value and remedy.
        """

    @property
    def groups(self) -> int:
        """G, head groups that are decided for apart."""
        return 1

    @property
    def merges(self) -> bool:
        """Whether tokens go into others."""
        return choose(MERGES, self.reduces, "method.reduces")

    @property
    def raw(self) -> bool:
        """Whether it looks at what tokens are made of (``Stream.along["raw"]``)."""
        return False

    def score(
        self,
        design: Any,
        chip: Chip | None,
        environment: Environment | None,
        tokens: Float[Array, "n X"],
        context: Context,
        key: Key | None,
    ) -> tuple[Decision, Any]:
        """Decide on one sequence at one layer; ``vmap`` it over examples, chips, temperatures. Pure.

        Args:
            design: what is trained, of this layer.
            chip: what fabrication gave, of this layer; None for a method without one.
            environment: temperature and supply.
            tokens: what ``sees`` gave.
            context: what else may be looked at.
            key: read noise; None switches it off.

        Returns:
            The decision, and the memory afterwards.
        """
        raise NotImplementedError

    def begin(self, key: Key, survey: Survey, kept: Float[Array, "L"]) -> tuple[Any, Any]:
        """Design and memory that training starts from, leaves (L, ...).

        Args:
            key: of what is drawn.
            survey: what the dense network shows.
            kept: (L,) wanted fractions.
        """
        raise NotImplementedError

    def bill(self, costs: Bill, kept: Float[Array, "L"], design: Any, state: Any) -> Ledger:
        """What an example costs with this method at kept fractions ``kept``: never nothing by default."""
        raise NotImplementedError

    def sees(self, stream: Stream) -> tuple[Float[Array, "B N X"], Bool[Array, "B N G"]]:
        """What it looks at, and which of the tokens reach it."""
        assert stream.alive is not None
        return stream.x, stream.alive

    def along(self, stream: Stream) -> Any:
        """What travels along with each token from the first layer on, leaves (B, N, ...): a running sum, an order.

        ``score`` finds it in ``context.along``, and says in ``Decision.along`` what it is afterwards. None: nothing.
        """
        return None

    def labels(self, design: Any) -> Any:
        """Which optimiser moves each leaf: a tree of "scorer", "knob", "threshold", "frozen", or one for all."""
        return "scorer"

    def sample_chip(self, key: Key, lot: Key | None = None) -> Chip | None:
        """One layer's chip, of a lot (see ``circuits.chip.sample_chip``); None for a method that is no circuit."""
        return None

    def wired(self, chip: Chip | None) -> Chip | None:
        """The chips of all layers, leaves (L, ...), with what they have in common made equal."""
        return chip

    def perfect_chip(self) -> Chip | None:
        """The same without any error."""
        return None

    @property
    def chooses_hardware(self) -> bool:
        """Whether its design has knobs of hardware, which an optimiser of their own moves."""
        return False

    @property
    def fabricated(self) -> bool:
        """Whether it is a circuit, of which no two chips are alike."""
        return False

    def remember(self, state: Any, attended: Attended) -> Any:
        """Its memory after a block whose attention was ``attended`` (in the parts of ``needs``)."""
        return state

    def realised(self, kept: Float[Array, "L"], tokens: int) -> Float[Array, "L"]:
        """What the wanted fractions come to for a sequence of ``tokens``, where it cannot keep just those."""
        del tokens
        return kept

    def scheduled(self, design: Any, kept: Float[Array, "L"]) -> Any:
        """The design at a step at which ``kept`` is wanted."""
        return design

    def apart(self, design: Any) -> Any | None:
        """The design with the gradient stopped that ``voltage`` must not send to parts of it; None: nowhere."""
        return None

    def tied(self, gradient: Any) -> Any:
        """The design's gradient with what is shared between layers made equal."""
        return gradient

    def teaches(self, weights: Any) -> frozenset[str]:
        """Parts of the dense network's ``Attended`` that ``loss`` reads."""
        return frozenset()

    @property
    def compares_tokens(self) -> bool:
        """Whether ``loss`` reads the tokens in front of the head, its own and the dense network's."""
        return False

    def loss(self, trail: Trail, weights: Any) -> dict[str, Float[Array, ""]]:
        """Its own terms, by name ``loss_...``, added to the task's.

        Args:
            trail: what the pass left behind.
            weights: the run's section ``loss``; a method's own weights belong into its own section.
        """
        return {}

    def metrics(self, design: Any) -> Mapping[str, Array]:
        """Numbers of its own for the records of training."""
        return {}


def scored(
    method: Method, design: Any, chip: Chip | None, environment: Environment | None, tokens, context: Context, key
) -> tuple[Decision, Any]:
    """``method.score`` on a batch.

    ``tokens``, ``key`` and the leaves of ``context`` have an axis of examples, but for its memory, smoothing and layer;
    design, chip and environment are one for the batch.
    """
    axes = Context(
        alive=0,  # type: ignore[arg-type]
        position=0,  # type: ignore[arg-type]
        counted=0,  # type: ignore[arg-type]
        full=0,  # type: ignore[arg-type]
        state=None,
        smoothing=None,  # type: ignore[arg-type]
        attended=None if context.attended is None else 0,  # type: ignore[arg-type]
        size=None if context.size is None else 0,  # type: ignore[arg-type]
        layer=None,  # type: ignore[arg-type]
        present=None if context.present is None else 0,  # type: ignore[arg-type]
        along=None if context.along is None else 0,
        gate=None if context.gate is None else 0,  # type: ignore[arg-type]
    )
    run = jax.vmap(method.score, in_axes=(None, None, None, 0, axes, None if key is None else 0))
    return run(design, chip, environment, tokens, context, key)


def mean_over_examples(batched: Array, before: Array) -> Array:
    """A batch of memories back to one: mean, or majority for booleans."""
    if before.dtype == bool:
        return jnp.mean(batched.astype(jnp.float32), axis=0) > 0.5
    return jnp.mean(batched, axis=0)
