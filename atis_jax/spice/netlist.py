"""Lines of a netlist: cells with what biases and drives them. The benches and the exported scorer are made of these."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from atis_jax.cells.library import COMMON_MODE_V, COMPARATOR, OP_AMP, OTA, op_amp_current_a

EDGE = 0.02
"""Rise and fall of a token's input voltages in time, of the token's time."""
_WORDS_A_LINE = 12


def differential(name: str, node: str) -> str:
    """Nodes ``pNAME`` and ``nNAME`` around the common mode, half of ``node`` each way."""
    return f"Ep{name} p{name} cm {node} 0 0.5\nEn{name} n{name} cm {node} 0 -0.5\n"


def ota_line(name: str, signed_current_a: float, out: str, inputs: str | None = None, rail: str = "vdd") -> str:
    """An OTA with its bias source; inputs p and n of ``inputs`` (its own name if None), swapped for a negative sign."""
    inputs = name if inputs is None else inputs
    plus, minus = ("p", "n") if signed_current_a >= 0 else ("n", "p")
    source = f"Ib{name} {rail} b{name} {abs(signed_current_a):.9e}\n"
    return f"{source}XO{name} {plus}{inputs} {minus}{inputs} {out} b{name} {rail} {OTA.name}\n"


@dataclasses.dataclass(frozen=True)
class Amplifier:
    """Sizes of a TIA: what its bench and the exported netlist both need.

    Attributes:
        feedback_ohm: R_f.
        total_current_a: sum of the array's bias currents, A; the op-amp's output must drive it.
        bandwidth_hz: of R_f with its capacitor, Hz.
    """

    feedback_ohm: float
    total_current_a: float
    bandwidth_hz: float

    @property
    def op_amp_current_a(self) -> float:
        """Of each stage, A."""
        return float(op_amp_current_a(self.total_current_a))

    def lines(self, node: str, out: str, name: str = "", rail: str = "vdd") -> str:
        """The amplifier between the summing ``node`` and ``out``."""
        farad = 1.0 / (2.0 * np.pi * self.feedback_ohm * self.bandwidth_hz)
        return (
            f"Iop{name} {rail} bop{name} {self.op_amp_current_a:.6e}\n"
            f"XA{name} cm {node} {out} bop{name} {rail} {OP_AMP.name}\n"
            f"Rf{name} {node} {out} {self.feedback_ohm:.9e}\nCf{name} {node} {out} {farad:.6e}\n"
        )


def comparator_line(
    threshold_v: float,
    bias_a: float,
    score: str,
    keep: str,
    name: str = "",
    *,
    inverted: bool = True,
    rail: str = "vdd",
) -> str:
    """A comparator that says keep where V_cm - V(score) is above ``threshold_v``; V(score) - V_cm if not inverted."""
    reference_v = COMMON_MODE_V - threshold_v if inverted else COMMON_MODE_V + threshold_v
    inputs = f"ref{name} {score}" if inverted else f"{score} ref{name}"
    return (
        f"Vref{name} ref{name} 0 {reference_v:.9e}\nIc{name} {rail} bc{name} {bias_a:.6e}\n"
        f"XC{name} {inputs} {keep} bc{name} {rail} {COMPARATOR.name}\n"
    )


def token_sources(voltages_v: Float[np.ndarray, "t n"], first: int = 0) -> str:
    """Sources ``d0`` to ``dN-1`` that give row t of ``voltages_v`` at V(tok) = t, and their differential pairs.

    One number of a token a source: ``tok`` is swept over whole numbers. One row becomes a constant.
    """
    text = ""
    for column in range(voltages_v.shape[1]):
        name = f"{column}"
        if len(voltages_v) == 1:
            text += f"Bd{name} d{name} 0 V={voltages_v[0, column]:.9e}\n"
        else:
            pairs = ",".join(f"{first + t},{value:.9e}" for t, value in enumerate(voltages_v[:, column].tolist()))
            text += f"Bd{name} d{name} 0 V=pwl(v(tok),{pairs})\n"
        text += differential(name, f"d{name}")
    return text


def token_ends(time_s: np.ndarray, tokens: int, token_s: float) -> np.ndarray:
    """Indices of a transient's last points before the inputs move on, when a clocked receiver would take the bits."""
    return np.searchsorted(time_s, (np.arange(tokens) + 1 - 0.5 * EDGE) * token_s) - 1


def token_waveforms(voltages_v: np.ndarray, token_s: float) -> str:
    """Piecewise-linear sources that hold each token for ``token_s``."""
    text = ""
    for column in range(voltages_v.shape[1]):
        points = []
        for token, value in enumerate(voltages_v[:, column].tolist()):
            start = token * token_s if token == 0 else (token + EDGE) * token_s
            points.append(f"{start:.6e} {value:.9e} {(token + 1) * token_s:.6e} {value:.9e}")
        text += continued(f"Vd{column} d{column} 0 PWL(", points) + ")\n"
        text += f"Ep{column} p{column} cm d{column} 0 0.5\nEn{column} n{column} cm d{column} 0 -0.5\n"
    return text


def continued(start: str, words: list[str]) -> str:
    """A long line in ngspice's continuation lines."""
    parts = [" ".join(words[i : i + _WORDS_A_LINE]) for i in range(0, len(words), _WORDS_A_LINE)]
    return "\n".join([start, *(f"+ {part}" for part in parts)])
