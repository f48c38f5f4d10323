"""The composition: DAC, OTA array, summing node, TIA.

``realise`` runs once a (layer, chip, environment), ``read`` once a token. All of ``read`` is in volts at the
TIA's output: weights are R_f I_b, so that no product is near float32's limits.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from atis_jax.circuits.array import output_conductance_s, shot_noise_a2
from atis_jax.circuits.chip import Chip, Environment
from atis_jax.circuits.comparator import reference_v
from atis_jax.circuits.dac import bit_weights, dac_voltage_v, sampling_noise_v2, top_code
from atis_jax.circuits.floating_gate import program_current_a
from atis_jax.circuits.hardware import Hardware
from atis_jax.circuits.ota import OtaSpec, effective_kappa, transfer, transfer_and_slope
from atis_jax.circuits.systematic import at_supply
from atis_jax.circuits.thermal import bias_scale, kappa_at, specific_current_at
from atis_jax.circuits.tia import has_amplifier, loaded_gain, noise_bandwidth_hz, soft_rails, thermal_noise_v2
from atis_jax.numerics import pytree, static
from atis_jax.typing import Real
from atis_jax.units import thermal_voltage_v


@pytree
class Program:
    """What the design asks the chip to hold.

    Attributes:
        signed_current_a: wanted bias currents of the OTAs that are built, sign = swapped inputs, A.
        feedback_ohm: R_f of each score's TIA, ohm.
        threshold_v: wanted comparator threshold, V.
        built: 1 for an input whose converter and OTAs are built, 0 for one that is left out; None for all. What is
            left out keeps its ``signed_current_a``, the current that it would have: that is what the gradient of
            building it is made of. Use ``drawn_current_a`` for the currents that flow.
    """

    signed_current_a: Float[Array, "g n"]
    feedback_ohm: Float[Array, "g"]
    threshold_v: Float[Array, "g"]
    built: Float[Array, "n"] | None = None

    @property
    def drawn_current_a(self) -> Float[Array, "g n"]:
        """Signed bias currents, zero where an input is left out, A."""
        return self.signed_current_a if self.built is None else self.signed_current_a * self.built


@pytree
class Realised:
    """What one chip makes of a program in an environment: all that ``read`` and the decision need.

    Attributes:
        law: of the OTAs. Static.
        rail_sharpness: of the TIA. Static.
        dac_weights: ``bit_weights`` of each converter, one column each.
        dac_top: their highest code.
        full_scale_v: of the converters, V.
        slope_per_v: kappa_eff / 2U_T, 1/V.
        input_offset: slope times V_os, with the sign that swapped inputs give it.
        inversion: I_b / I_s (``ekv``).
        additive: a of each OTA, fraction of I_b.
        weight_v: signed R_f I_b, with TIA gain, V.
        node_offset_v: from the additive currents and the op-amp's offset, V.
        node_noise_v2: shot and thermal noise at the output, V^2.
        dac_noise_v2: kT/C of each converter, V^2.
        swing_v: TIA rails, V.
        threshold_v: after the reference's resolution and the comparator's offset, V.
        comparator_noise_v: RMS V.
        hysteresis_v: full width of the dead band, V.
        bias_current_a: what each OTA really draws, unsigned, A.
    """

    law: str = static()
    rail_sharpness: int = static()
    dac_weights: Float[Array, "bits n"]
    dac_top: Real
    full_scale_v: Real
    slope_per_v: Float[Array, "g n"]
    input_offset: Float[Array, "g n"]
    inversion: Float[Array, "g n"]
    additive: Float[Array, "g n"]
    weight_v: Float[Array, "g n"]
    node_offset_v: Float[Array, "g"]
    node_noise_v2: Float[Array, "g"]
    dac_noise_v2: Float[Array, ""]
    swing_v: Real
    threshold_v: Float[Array, "g"]
    comparator_noise_v: Real
    hysteresis_v: Real
    bias_current_a: Float[Array, "g n"]


def realise(program: Program, hardware: Hardware, chip: Chip, environment: Environment) -> Realised:
    """Put ``program`` on ``chip`` at ``environment``.

    Differentiable in all four, straight through the rounding of currents and threshold. The gradient to
    ``program.built`` is that of a factor on the currents of a column of OTAs, also where it is zero.

    Args:
        program: wanted currents, feedback and thresholds.
        hardware: the design.
        chip: its fabrication errors, of the same (G, N).
        environment: temperature and supply.

    Raises:
        ValueError: the program's shape is not the chip's, or the chip's converters have other bits than the hardware.
    """
    shape, made = jnp.shape(program.signed_current_a), jnp.shape(chip.offset_v)
    if shape != made:
        raise ValueError(
            f"program.signed_current_a has shape {shape} but the chip has (prototypes, inputs) = {made}; "
            "sample the chip with the geometry of the program"
        )
    bits, elements = hardware.dac.bits or 0, jnp.shape(chip.dac_element_error)[-1]
    if bits != elements:
        raise ValueError(
            f"hardware {hardware.name!r} has dac.bits = {hardware.dac.bits} but the chip's converters have {elements} "
            "bits; sample the chip with this hardware"
        )
    ota, tia, thermal = hardware.ota, hardware.tia, hardware.thermal
    temperature_k = environment.temperature_k

    wanted_a = program_current_a(program.signed_current_a, hardware.floating_gate)
    sign = jnp.where(wanted_a < 0, -1.0, 1.0).astype(wanted_a.dtype)
    programmed_a = jnp.abs(wanted_a) * jnp.exp(chip.log_current_error + chip.log_program_error)
    systematic = ota.systematic
    change_k = temperature_k - thermal.nominal_temperature_k
    changes = change_k, environment.supply_v - hardware.supply_v
    if systematic is not None:
        asked = _decades(programmed_a, ota)
        programmed_a = programmed_a * jnp.exp(
            at_supply(systematic.log_current, systematic.log_current_per_v, asked, *changes)
        )
    kappa_design = ota.kappa * jnp.exp(chip.log_kappa_error)
    built_a = programmed_a * bias_scale(programmed_a, kappa_design, thermal, temperature_k)
    # What is left out multiplies by zero here, and so takes part in no sum: signal, offset, conductance, noise.
    bias_a = built_a if program.built is None else built_a * program.built

    decades = _decades(built_a, ota)
    kappa = kappa_at(kappa_design, ota.kappa_per_k, temperature_k, thermal.nominal_temperature_k)
    kappa = kappa + ota.kappa_per_decade * decades
    offset_v, additive = chip.offset_v + chip.offset_drift_v_per_k * change_k, chip.additive
    if systematic is not None:
        kappa = kappa + at_supply(systematic.kappa, systematic.kappa_per_v, decades, *changes)
        offset_v = offset_v + at_supply(systematic.offset_v, systematic.offset_v_per_v, decades, *changes)
        additive = additive + at_supply(systematic.additive, systematic.additive_per_v, decades, *changes)
    kappa = effective_kappa(ota.law, kappa, ota.attenuation)
    slope_per_v = kappa / (2.0 * thermal_voltage_v(temperature_k))
    specific_ratio = specific_current_at(thermal, temperature_k) / thermal.specific_current_a

    feedback_ohm = program.feedback_ohm * jnp.exp(chip.tia_log_gain_error)
    conductance_s = jnp.sum(output_conductance_s(bias_a, ota.early_voltage_v), axis=-1)
    gain = loaded_gain(feedback_ohm, conductance_s, tia.open_loop_gain, tia.readout)
    amplifier_v = jnp.zeros_like(gain)
    if has_amplifier(tia.readout):
        offset_of_amplifier_v = chip.tia_offset_v + chip.tia_offset_drift_v_per_k * change_k
        amplifier_v = offset_of_amplifier_v * (1.0 + feedback_ohm * conductance_s) * gain
    volts = (feedback_ohm * gain)[:, None] * bias_a
    bandwidth_hz = noise_bandwidth_hz(tia.bandwidth_hz)
    dac_weights, slope_per_v, input_offset, inversion, weight_v = _computed_once(
        jax.vmap(bit_weights, (0, None), 1)(chip.dac_element_error, hardware.dac.used_bits),
        slope_per_v,
        sign * slope_per_v * offset_v,
        jnp.maximum(built_a / (ota.specific_current_a * specific_ratio), 1e-12),
        sign * volts,
    )
    shot_v2 = feedback_ohm**2 * jnp.sum(shot_noise_a2(bias_a, bandwidth_hz), axis=-1)
    return Realised(
        law=ota.law,
        rail_sharpness=tia.rail_sharpness,
        dac_weights=dac_weights,
        dac_top=top_code(hardware.dac),
        full_scale_v=hardware.dac.full_scale_v,
        slope_per_v=slope_per_v,
        input_offset=input_offset,
        inversion=inversion,
        additive=additive,
        weight_v=weight_v,
        node_offset_v=jnp.sum(volts * additive, axis=-1) + amplifier_v,
        node_noise_v2=tia.shot_noise_factor * shot_v2 + thermal_noise_v2(feedback_ohm, temperature_k, tia.bandwidth_hz),
        dac_noise_v2=sampling_noise_v2(hardware.dac, temperature_k),
        swing_v=_rails_v(tia.swing_v, environment.supply_v / hardware.supply_v),
        threshold_v=reference_v(program.threshold_v, hardware.comparator)
        + (chip.comparator_offset_v + chip.comparator_offset_drift_v_per_k * change_k),
        comparator_noise_v=hardware.comparator.noise_v,
        hysteresis_v=hardware.comparator.hysteresis_fraction * hardware.comparator.reference_span_v,
        bias_current_a=bias_a,
    )


def _decades(current_a: Float[Array, "g n"], ota: OtaSpec) -> Float[Array, "g n"]:
    """log10(I / I_0); zero for an OTA that is off, which then has a finite kappa to multiply a zero."""
    return jnp.log10(jnp.where(current_a > 0, current_a, ota.kappa_current_a) / ota.kappa_current_a)


def read(
    realised: Realised, inputs: Float[Array, "n"], node_noise: Float[Array, "g"] | None = None
) -> Float[Array, "g"]:
    """Voltage at the TIA for one token: V_g = rails(sum_j R_f I_gj f(x_gj) + offset + noise).

    Args:
        realised: from ``realise``.
        inputs: what is fed to the converters, +-1 full scale.
        node_noise: one standard normal for each score, or None for a noiseless read. It stands for shot and
            thermal noise and, to first order, for the kT/C of every converter: independent Gaussians through
            the local slopes R_f gm_j add up to one Gaussian at the node (``read_exact`` is the path without
            that step; 0.36 mV against the OTA's 72 mV scale leaves about 2.5e-5 of the variance). Scores that
            share converters share their kT/C too; with one normal each that correlation is left out.

    Returns:
        V, one for each score. Gradients: straight through the converters, exact elsewhere.

    Speed: 4096 tokens x 64 inputs with noise and gradients to inputs and program take about 0.8 ms on one core
    of an AMD EPYC server; law ``ekv`` 17 ms. Many chips on a CPU: ``numerics.keep_freed_memory``, or
    ``jax.lax.map`` over chips in place of ``vmap``, whose temporaries are 67 MB each for 64 chips.
    """
    voltage_v = converted_v(realised, inputs)
    # A Python loop over the few scores, not vmap: XLA's CPU back end runs the batched dots that vmap makes
    # about twice as slowly, and sums inside a fused loop are scalar code.
    total_v = [
        _score_v(realised, score, voltage_v, None if node_noise is None else node_noise[score])
        for score in range(realised.weight_v.shape[0])
    ]
    return soft_rails(jnp.stack(total_v) + realised.node_offset_v, realised.swing_v, realised.rail_sharpness)


def converted_v(realised: Realised, inputs: Float[Array, "n"]) -> Float[Array, "n"]:
    """What the converters put on the array's inputs, differential, without noise, V."""
    return jax.vmap(dac_voltage_v, (0, 1, None, None))(
        inputs, realised.dac_weights, realised.full_scale_v, realised.dac_top
    )


def _score_v(
    realised: Realised, score: int, voltage_v: Float[Array, "n"], node_noise: Float[Array, ""] | None
) -> Float[Array, ""]:
    """One row of the array on its node, noise included, before offset and rails, V."""
    weight_v, slope_per_v = realised.weight_v[score], realised.slope_per_v[score]
    inversion = realised.inversion[score]
    x = slope_per_v * voltage_v - realised.input_offset[score]
    if node_noise is None:
        return _dot(transfer(realised.law, x, inversion), weight_v)
    transferred, slope = transfer_and_slope(realised.law, x, inversion)
    referred_v2 = realised.dac_noise_v2 * _dot(slope * slope, jnp.square(weight_v * slope_per_v))
    noise_v = _root(realised.node_noise_v2[score] + referred_v2)
    return _dot(transferred, weight_v) + noise_v * node_noise


def read_exact(
    realised: Realised,
    inputs: Float[Array, "n"],
    node_noise: Float[Array, "g"],
    dac_noise: Float[Array, "n"],
) -> Float[Array, "g"]:
    """``read`` with the kT/C noise of each converter added where it arises: the reference for ``node_noise``.

    Args:
        realised: from ``realise``.
        inputs: +-1 full scale.
        node_noise: standard normals for shot and thermal noise.
        dac_noise: standard normals, one for each converter (shared by the scores that it feeds).
    """
    voltage_v = converted_v(realised, inputs) + _root(realised.dac_noise_v2) * dac_noise
    x = realised.slope_per_v * voltage_v - realised.input_offset
    total_v = jnp.sum(realised.weight_v * transfer(realised.law, x, realised.inversion), axis=-1)
    total_v = total_v + realised.node_offset_v + _root(realised.node_noise_v2) * node_noise
    return soft_rails(total_v, realised.swing_v, realised.rail_sharpness)


def _dot(value: Float[Array, "n"], weight: Float[Array, "n"]) -> Float[Array, ""]:
    """Full float32 on every back end; value first, the order that becomes a plain matrix-vector product."""
    return jnp.dot(value, weight, precision=jax.lax.Precision.HIGHEST)


def _rails_v(swing_v: Real, supply_ratio: Real) -> Float[Array, ""]:
    """Swing in proportion to the supply; no rails stay no rails, with a zero gradient to the supply."""
    none = jnp.isinf(swing_v)
    return jnp.where(none, jnp.inf, jnp.where(none, 1.0, swing_v) * supply_ratio)


def _computed_once(*matrices: Float[Array, "_ n"]) -> list[Float[Array, "_ n"]]:
    """The same matrices behind a product with the identity, which XLA does not fuse across.

    Without it the CPU back end pulls their arithmetic (exp, log, division) into the loop over tokens and
    repeats it for each: 1.5 times the time of ``read`` with its gradient.
    """
    rows = jnp.concatenate(matrices)
    rows = jnp.dot(jnp.eye(len(rows), dtype=rows.dtype), rows, precision=jax.lax.Precision.HIGHEST)
    ends = np.cumsum([len(matrix) for matrix in matrices])[:-1].tolist()
    return jnp.split(rows, ends)


def _root(variance: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """Square root with a zero gradient at zero, where a noiseless design sits."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)


def ota_curves_a(realised: Realised, voltage_v: Float[Array, "m"]) -> Float[Array, "g n m"]:
    """Transfer curves of every OTA of the chip as programmed, A: I_b (+-f(x) + a), signs as programmed."""
    x = realised.slope_per_v[..., None] * voltage_v - realised.input_offset[..., None]
    current_a = realised.bias_current_a[..., None]
    signed = jnp.sign(realised.weight_v)[..., None]
    return current_a * (
        signed * transfer(realised.law, x, realised.inversion[..., None]) + realised.additive[..., None]
    )
