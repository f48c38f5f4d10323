"""What a scorer is built from, as plain numbers and names."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.chip import ArrayGeometry
from atis_jax.energy.shapes import ARRANGEMENTS, IN_TURNS, PROJECTIONS, READS, READS_ONCE, SOURCES
from atis_jax.scoring.atis.regression import STARTS
from atis_jax.validation import SettingError, check_settings, choose, setting

PROTOTYPES = ("static", "ema", "extracted")
KINDS = ("analog", "digital")


@dataclasses.dataclass(frozen=True)
class ScorerSpec:
    """Structure of the scorer in front of every layer (ATIS paper, sections 3.2, 3.4, 5.1, 5.2)."""

    kind: str = setting("analog", choices=KINDS, doc="which scorer decides")
    source: str = setting(
        "tokens",
        choices=SOURCES,
        doc="what it looks at: a layer's normalised tokens, or a patch's pixels on the sensor, before any converter",
    )
    reads: str = setting(
        "every_layer",
        choices=READS,
        doc="an array in front of every scored layer, or one in front of the first: its score meets each layer's own "
        "threshold",
    )
    inputs: int = setting(32, low=1, high=4096, doc="N, inputs of the OTA array after projection")
    projection: str = setting("learned", choices=PROJECTIONS, doc="how d_model is brought down to N (paper 5.1)")
    prototype: str = setting("static", choices=PROTOTYPES, doc="where the query prototype comes from (paper 3.2)")
    start: str = setting(
        "random",
        choices=STARTS,
        doc="where a static prototype starts: drawn, or where ridge regression puts it that predicts the log of the "
        "attention a token gets in the dense network, from all or from CLS; onward: in this layer and all behind it",
    )
    ema_rate: float = setting(0.01, low=0.0, high=1.0, doc="share of the new query in the EMA prototype, per batch")
    arrangement: str = setting("consensus", choices=ARRANGEMENTS, doc="one score, or one per head group (paper 5.2)")
    groups: int = setting(1, low=1, high=64, doc="G, head groups; 1 for consensus")
    hysteresis: bool = setting(False, doc="comparator keeps its state from token to token (else reset each token)")
    adaptive_rate_v: float = setting(
        0.0, low=0.0, high=1.0, doc="eta of theta <- theta + eta (activity - target), volts a token; 0 is off"
    )
    activity_rate: float = setting(0.02, low=1e-6, high=1.0, doc="alpha of the activity's low-pass, per token")
    differential: bool = setting(False, doc="two half arrays of opposite weights, half their difference (paper 5.3)")
    input_gates: bool = setting(
        False,
        doc="co-design may switch array inputs off: their converters, OTAs and rows of the projection are not built",
    )
    trainable_bits: bool = setting(
        False, doc="co-design chooses each layer's converter bits, from 1 to those of the hardware"
    )
    trainable_full_scale: bool = setting(
        False, doc="co-design chooses each layer's converter full scale, 20 to 300 mV, from the hardware's on"
    )
    shared: bool = setting(
        False,
        doc="projection, prototype, largest current, gates, bits and full scale are the same in every layer; input "
        "gain, feedback and threshold stay each layer's own",
    )

    def __post_init__(self):
        check_settings(self, "scorer")
        if self.source == "pixels":
            self._check_pixels()
        if self.arrangement == "consensus" and self.groups != 1:
            raise SettingError(
                f"scorer.groups = {self.groups} with scorer.arrangement = 'consensus'; consensus has one score: "
                "set groups = 1, or arrangement = 'grouped' or 'multiplexed'"
            )
        if self.differential and self.arrangement == "multiplexed":
            raise SettingError(
                "scorer.differential = True with scorer.arrangement = 'multiplexed'; the two halves are read at the "
                "same time, which one array in turns cannot do: set arrangement = 'grouped', or differential = False"
            )

        if self.start != "random" and self.prototype != "static":
            raise SettingError(
                f"scorer.start = {self.start!r} with scorer.prototype = {self.prototype!r}; a moving or extracted "
                "prototype is the network's own query, and starts nowhere else: set start = 'random', or prototype = "
                "'static'"
            )

        if self.shared and self.prototype == "ema":
            raise SettingError(
                "scorer.shared = True with scorer.prototype = 'ema'; a moving prototype follows the queries of its own "
                "layer and cannot be the same in all: set prototype = 'static' or 'extracted', or shared = False"
            )

        if self.reads_once:
            self._check_reads_once()

    @property
    def reads_once(self) -> bool:
        """Whether a token is scored once, in front of the first scored layer."""
        return choose(READS_ONCE, self.reads, "scorer.reads")

    @property
    def geometry(self) -> ArrayGeometry:
        """Size of the analog array; a multiplexed one shares its devices between the prototypes.

        A differential one has two rows a score, those of weights w before those of -w.
        """
        return ArrayGeometry(
            inputs=self.inputs,
            prototypes=self.halves * self.groups,
            shared=choose(IN_TURNS, self.arrangement, "scorer.arrangement"),
        )

    @property
    def trains_hardware(self) -> bool:
        """Whether the design chooses anything of the hardware (``scoring.atis.knobs``)."""
        return self.input_gates or self.trainable_bits or self.trainable_full_scale

    @property
    def halves(self) -> int:
        """Arrays that make one score: 2 for a differential scorer, else 1."""
        return 2 if self.differential else 1

    @property
    def sequential(self) -> bool:
        """Whether a decision depends on the tokens before it."""
        return self.hysteresis or self.adaptive_rate_v > 0

    def _check_reads_once(self) -> None:
        """What needs an array of each layer's own, or a comparator that follows the tokens that reach it."""
        for refused, value, why, remedy in (
            (
                self.prototype == "ema",
                "prototype = 'ema'",
                "a moving prototype follows the queries of a layer of its own",
                "prototype = 'static' or 'extracted'",
            ),
            (self.shared, "shared = True", "there is one array, and no other to share it with", "shared = False"),
            (
                self.hysteresis,
                "hysteresis = True",
                "later layers' bits are taken with the first's, in the order of tokens that never reach those layers",
                "hysteresis = False",
            ),
            (
                self.adaptive_rate_v > 0,
                f"adaptive_rate_v = {self.adaptive_rate_v}",
                "later layers' bits are taken with the first's, before it is known which tokens reach those layers",
                "adaptive_rate_v = 0",
            ),
        ):
            if refused:
                raise SettingError(
                    f"scorer.{value} with scorer.reads = 'first_layer': {why}; set {remedy}, or reads = 'every_layer'"
                )

    def _check_pixels(self) -> None:
        """What would need a converter, arithmetic, a query or a second layer in front of the sensor's converters."""
        if self.projection != "selection":
            raise SettingError(
                f"scorer.projection = {self.projection!r} with scorer.source = 'pixels': a matrix in front of the "
                "array is digital arithmetic, for which the pixels would have to be converted first; set projection = "
                "'selection', and inputs to the number of pixel values of a patch"
            )
        if self.prototype != "static":
            raise SettingError(
                f"scorer.prototype = {self.prototype!r} with scorer.source = 'pixels': a query is a vector in the "
                "space of the tokens, of which nothing in front of the converters knows; set prototype = 'static'"
            )
        for name in ("trainable_bits", "trainable_full_scale"):
            if getattr(self, name):
                raise SettingError(
                    f"scorer.{name} = True with scorer.source = 'pixels': the pixels are voltages already, there is no "
                    f"converter in front of the array to choose; set {name} = False"
                )
        if self.shared:
            raise SettingError(
                "scorer.shared = True with scorer.source = 'pixels': there are pixels in front of one layer alone, and "
                "nothing to share its array with; set shared = False"
            )
