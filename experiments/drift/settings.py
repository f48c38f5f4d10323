"""The settings of the drift experiment."""

from __future__ import annotations

import dataclasses

from atis_jax.circuits.thermal import MODEL_HIGH_C, MODEL_LOW_C
from atis_jax.validation import SettingError, check_settings, setting

SHIFTS = ("brightness", "contrast", "noise")
"""What can happen to the images part-way; the step response is that to the first."""
HOLD = 5.0
"""A loop has settled when it stays within the band for so many time constants of the activity filter."""


@dataclasses.dataclass(frozen=True)
class DriftSettings:
    """A trained design on a sequence of images while temperature or images change."""

    experiment: str = setting("drift", choices=("drift",), doc="name of the experiment")
    seed: int = setting(0, low=0, high=2**31 - 1, doc="root of every random stream: chips, order, noise")
    checkpoint: str = setting("runs/quickstart", path=True, doc="folder of the finished co-design run to measure")
    chips: int = setting(3, low=1, high=1000, doc="chips sampled; all see the same images in the same order")
    images: int | None = setting(None, low=20, doc="length of the sequence; None: every test image once")
    windows: int = setting(20, low=4, high=1000, doc="windows that the sequence is cut into for the table and figures")
    change_from: float = setting(0.3, low=0.1, high=0.8, doc="share of the sequence after which something changes")
    change_until: float = setting(0.8, low=0.2, high=0.95, doc="share at which the temperature ramp has arrived")
    temperature_c: tuple[float, ...] = setting((0.0, 85.0), low=MODEL_LOW_C, high=MODEL_HIGH_C, doc="ends of the ramp")
    rest_temperature_c: float = setting(
        27.0, low=MODEL_LOW_C, high=MODEL_HIGH_C, doc="temperature where it does not change"
    )
    shifts: tuple[str, ...] = setting(
        SHIFTS, choices=SHIFTS, least=1, distinct=True, doc="changes of the images, each a sequence of its own"
    )
    contrast: float = setting(0.75, low=0.0, high=10.0, doc="factor on the distance to the mean grey")
    brightness: float = setting(0.05, low=-1.0, high=1.0, doc="added to every pixel; pixels are 0 to 1")
    noise: float = setting(0.1, low=0.0, high=1.0, doc="standard deviation of the noise added to every pixel")
    adaptive_rate_v: float = setting(
        1e-4, low=0.0, high=1.0, exclusive_low=True, doc="eta of the adaptive arms, volts a token"
    )
    activity_rate: float = setting(1e-3, low=1e-6, high=1.0, doc="alpha of the activity's low-pass, per token")
    hysteresis_fraction: float = setting(
        0.05, low=0.0, high=1.0, doc="dead band of the hysteresis arms over the comparator's span"
    )
    ema_rate: float = setting(0.02, low=0.0, high=1.0, exclusive_low=True, doc="share of a new query in the EMA")
    loop_rates_v: tuple[float, ...] = setting(
        (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
        low=0.0,
        exclusive_low=True,
        high=1.0,
        least=1,
        distinct=True,
        doc="eta compared in the step response",
    )
    band_fractions: tuple[float, ...] = setting(
        (0.0, 0.01, 0.02, 0.05, 0.1, 0.2),
        low=0.0,
        high=1.0,
        least=1,
        distinct=True,
        doc="dead bands compared at the first layer",
    )

    @property
    def hold_tokens(self) -> int:
        """Tokens for which a threshold must stay within its band to have settled."""
        return max(1, round(HOLD / self.activity_rate))

    def __post_init__(self):
        check_settings(self, "config")
        if len(self.temperature_c) != 2:
            raise SettingError(
                f"config.temperature_c = {self.temperature_c} must be two temperatures: where the ramp starts and ends"
            )
        if not self.change_from < self.change_until:
            raise SettingError(
                f"config.change_from = {self.change_from} must be below config.change_until = {self.change_until}"
            )
        if self.images is not None and self.images < self.windows:
            raise SettingError(
                f"config.images = {self.images} is below config.windows = {self.windows}; raise the one or lower "
                "the other"
            )
