"""How far a number measured on a few chips and examples can be trusted: intervals, paired tests, yields, causes."""

from atis_jax.statistics.attribution import Attribution, Correlation, correlation, linear_attribution
from atis_jax.statistics.effective_bits import EffectiveBits, effective_bits
from atis_jax.statistics.intervals import (
    Interval,
    MeanEstimate,
    clopper_pearson_interval,
    mean_estimate,
    wilson_interval,
)
from atis_jax.statistics.language import Language, language
from atis_jax.statistics.paired import (
    PairedDifference,
    accuracy_resolution,
    discordant_counts,
    paired_difference,
    paired_standard_error,
)
from atis_jax.statistics.yields import YieldEstimate, yield_estimate

__all__ = [
    "Attribution",
    "Correlation",
    "EffectiveBits",
    "Interval",
    "Language",
    "MeanEstimate",
    "PairedDifference",
    "YieldEstimate",
    "accuracy_resolution",
    "clopper_pearson_interval",
    "correlation",
    "discordant_counts",
    "effective_bits",
    "language",
    "linear_attribution",
    "mean_estimate",
    "paired_difference",
    "paired_standard_error",
    "wilson_interval",
    "yield_estimate",
]
