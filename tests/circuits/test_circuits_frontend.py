"""The front end against float64 NumPy in amperes, the digital dot product, moments and gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from atis_jax.circuits import (
    ArrayGeometry,
    Environment,
    Program,
    dac_levels_v,
    get_preset,
    nominal_chip,
    nominal_environment,
    ota_curves_a,
    read,
    read_exact,
    realise,
    sample_chip,
    with_fields,
)
from atis_jax.circuits.systematic import Systematic

eager_realise = realise
realise, sample_chip = jax.jit(realise), jax.jit(sample_chip)  # hundreds of small compilations otherwise

# Between them: every rounding on and off, infinite and finite fields, constant, PTAT and fixed-charge bias.
DIFFERENT_PRESETS = ("ideal", "nominal", "pessimistic")


def _program(inputs=12, prototypes=2, seed=0):
    rng = np.random.default_rng(seed)
    signed = rng.normal(0, 3e-8, (prototypes, inputs)).clip(-9e-8, 9e-8)
    feedback = 0.3 / np.abs(signed).sum(1)
    return Program(jnp.asarray(signed), jnp.asarray(feedback), jnp.asarray(rng.normal(0, 0.02, prototypes)))


def _tokens(count, inputs, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(0, 0.4, (count, inputs)))


read_one = jax.jit(read)
read_many = jax.jit(jax.vmap(read, (None, 0)))
read_noisy = jax.jit(jax.vmap(read, (None, 0, 0)))


def _ideal_case(dtype):
    hardware = get_preset("ideal")
    program = jax.tree.map(lambda leaf: leaf.astype(dtype), _program(64, 3))
    tokens = _tokens(200, 64).astype(dtype)
    chip = sample_chip(jax.random.key(0), hardware, ArrayGeometry(64, 3))
    signed, feedback = (np.asarray(a, np.float64) for a in (program.signed_current_a, program.feedback_ohm))
    thermal_v = 1.380649e-23 * 300.15 / 1.602176634e-19
    expected = np.asarray(tokens, np.float64) @ signed.T * feedback * 0.7 * 0.1 / (2 * thermal_v)
    scale = np.abs(np.asarray(tokens, np.float64)) @ np.abs(signed).T * feedback * 0.7 * 0.1 / (2 * thermal_v)
    return hardware, program, chip, tokens, expected, scale


def test_ideal_is_the_digital_dot_product_in_float32():
    """Error within 1e-6 of the sum of absolute products: float32 rounding of 64 products, no more."""
    hardware, program, chip, tokens, expected, scale = _ideal_case(jnp.float32)
    ours = read_many(realise(program, hardware, chip, nominal_environment(hardware)), tokens)
    assert ours.dtype == jnp.float32
    assert float(np.max(np.abs(ours - expected) / scale)) < 1e-6


def test_ideal_is_the_digital_dot_product_in_float64_at_any_temperature(x64):
    hardware, program, chip, tokens, expected, _ = _ideal_case(jnp.float64)
    for temperature_k in (300.15, 350.0):
        ours = read_many(realise(program, hardware, chip, Environment(temperature_k, 1.0)), tokens)
        np.testing.assert_allclose(ours, expected, rtol=1e-11, atol=1e-15)


def _by_hand(program, hardware, chip, temperature_k, tokens):
    """The chain in amperes and plain loops, float64: tanh, constant bias, no noise."""
    ota, tia = hardware.ota, hardware.tia
    thermal_v = 8.617333262145e-5 * temperature_k
    change = temperature_k - 300.15
    gate = hardware.floating_gate
    grid = gate.min_current_a * (gate.max_current_a / gate.min_current_a) ** (np.arange(255) / 254)
    bits = hardware.dac.bits
    out = np.zeros((len(tokens), len(program.feedback_ohm)))
    for g, feedback in enumerate(np.asarray(program.feedback_ohm)):
        feedback = feedback * np.exp(float(chip.tia_log_gain_error[g]))
        node_a, load_s = np.zeros(len(tokens)), 0.0
        for j, wanted in enumerate(np.asarray(program.signed_current_a[g])):
            programmed = grid[np.abs(np.log(abs(wanted)) - np.log(grid)).argmin()]
            error = float(chip.log_current_error[g, j] + chip.log_program_error[g, j])
            bias = programmed * np.exp(error) * (1 + hardware.thermal.current_per_k * change)
            kappa = ota.kappa * np.exp(float(chip.log_kappa_error[g, j])) + ota.kappa_per_k * change
            kappa += ota.kappa_per_decade * (np.log(bias) - np.log(ota.kappa_current_a)) / np.log(10)
            elements = 2.0 ** np.arange(bits) + np.asarray(chip.dac_element_error[j])
            for n, token in enumerate(np.asarray(tokens)):
                code = int(np.clip(np.floor((token[j] + 1) / 2 * (2**bits - 1) + 0.5), 0, 2**bits - 1))
                on = sum(e for b, e in enumerate(elements) if code // 2**b % 2)
                voltage = hardware.dac.full_scale_v * (2 * on / elements.sum() - 1)
                seen = np.sign(wanted) * voltage - float(chip.offset_v[g, j])
                node_a[n] += bias * (np.tanh(kappa * seen / (2 * thermal_v)) + float(chip.additive[g, j]))
            load_s += bias / 2 / ota.early_voltage_v
        # Node x, score y: x (1/R + G) + y/R = I and A x - y = -A offset
        matrix = np.array([[1 / feedback + load_s, 1 / feedback], [tia.open_loop_gain, -1.0]])
        for n, current in enumerate(node_a):
            source = -tia.open_loop_gain * float(chip.tia_offset_v[g])
            out[n, g] = np.linalg.solve(matrix, [current, source])[1]
    return out / (1 + (out / tia.swing_v) ** 4) ** 0.25


@pytest.mark.slow
@pytest.mark.parametrize("temperature_k", [300.15, 320.0])
def test_nominal_chip_by_hand(x64, temperature_k):
    hardware = with_fields(get_preset("nominal"), {"ota.log_current_sigma": 0.07, "tia.open_loop_gain": 50.0})
    program, tokens = _program(6, 2), _tokens(9, 6)
    chip = sample_chip(jax.random.key(2), hardware, ArrayGeometry(6, 2))
    realised = realise(program, hardware, chip, Environment(temperature_k, 1.8))
    expected = _by_hand(program, hardware, chip, temperature_k, tokens)
    np.testing.assert_allclose(read_many(realised, tokens), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIFFERENT_PRESETS)
def test_float32_agrees_with_float64(name):
    """Same program, chip and inputs (at code centres, away from rounding): within 2 uV of a 0.5 V swing."""
    hardware, bits = get_preset(name), get_preset(name).dac.bits or 6
    codes = np.random.default_rng(5).integers(0, 2**bits, (50, 12))
    tokens = 2 * codes / (2**bits - 1) - 1
    chip = jax.tree.map(np.asarray, sample_chip(jax.random.key(1), hardware, ArrayGeometry(12, 2)))
    program, outputs = jax.tree.map(np.asarray, _program()), []
    for dtype in (np.float32, np.float64):
        with jax.enable_x64(dtype is np.float64):
            cast = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, dtype), tree)  # noqa: B023, E731
            environment = Environment(310.0, hardware.supply_v)
            realised = realise(cast(program), hardware, cast(chip), environment)
            assert realised.weight_v.dtype == dtype
            outputs.append(np.asarray(read_many(realised, cast(tokens)), np.float64))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["tanh", "ekv"])
def test_jit_eager_and_vmap_over_chips_agree(law):
    """Within 2 uV of a 0.5 V swing (float32; order of summation and fused multiply-adds differ)."""
    hardware = with_fields(get_preset("nominal"), {"ota.law": law})
    tokens, noise = _tokens(5, 6).astype(jnp.float32), jax.random.normal(jax.random.key(4), (5, 1))
    keys = jax.random.split(jax.random.key(3), 3)

    def score(key):
        chip = sample_chip(key, hardware, ArrayGeometry(6))
        realised = eager_realise(_program(6, 1), hardware, chip, nominal_environment(hardware))
        return jax.vmap(read, (None, 0, 0))(realised, tokens, noise)

    together, one_by_one = jax.jit(jax.vmap(score))(keys), jax.jit(score)
    compiled = jnp.stack([one_by_one(key) for key in keys])
    np.testing.assert_allclose(together, compiled, atol=2e-6)
    if law == "tanh":  # one law: the rest of the path is the same, and eager is slow to start
        np.testing.assert_allclose(score(keys[0]), compiled[0], atol=2e-6)
    assert float(jnp.std(together, axis=0).max()) > 1e-3  # the chips do differ


def _noisy_case(prototypes=1):
    hardware = with_fields(get_preset("nominal"), {"tia.swing_v": 50.0, "dac.unit_capacitance_f": 0.1e-15})
    chip = sample_chip(jax.random.key(6), hardware, ArrayGeometry(12, prototypes))
    return hardware, realise(_program(12, prototypes), hardware, chip, nominal_environment(hardware))


@pytest.mark.slow
def test_node_noise_has_the_moments_of_noise_at_each_converter():
    """40,000 reads a path, kT/C ten times nominal power so that it dominates.

    Standard deviations: relative error 1/sqrt(80,000) each, bound 4 sqrt(2) of them = 2 %. Means: 4 sqrt(2/n)
    of the standard deviation. The second-order term of the local slope is (0.8 mV / 72 mV)^2, 1e-4.
    """
    _, realised = _noisy_case()
    token, count = _tokens(1, 12)[0].astype(jnp.float32), 40_000
    one, two, three = jax.random.split(jax.random.key(8), 3)
    simple = jax.jit(jax.vmap(read, (None, None, 0)))(realised, token, jax.random.normal(one, (count, 1)))
    exact = jax.jit(jax.vmap(read_exact, (None, None, 0, 0)))(
        realised, token, jax.random.normal(two, (count, 1)), jax.random.normal(three, (count, 12))
    )
    simple, exact = np.asarray(simple, np.float64), np.asarray(exact, np.float64)
    assert simple.std() / exact.std() == pytest.approx(1, abs=0.02)
    assert abs(simple.mean() - exact.mean()) < 4 * np.sqrt(2 / count) * exact.std()
    white = float(realised.node_noise_v2[0]) ** 0.5
    assert exact.std() > 1.2 * white  # the converters' part is there to be seen


def test_noise_is_the_closed_form_of_its_parts(x64):
    """sigma^2 = R^2 F 4qI B + 4kTR B + 2kT/C sum (R gm_j)^2, gm by finite differences of a converter's voltage."""
    hardware = with_fields(
        get_preset("nominal"),
        {
            "dac.bits": None,
            "dac.unit_capacitance_f": 20e-15,
            "tia.swing_v": 1e3,
            "tia.open_loop_gain": np.inf,
        },
    )
    chip = sample_chip(jax.random.key(6), hardware, ArrayGeometry(12))
    program, token = _program(12, 1), _tokens(1, 12)[0]
    realised = realise(program, hardware, chip, nominal_environment(hardware))
    quiet, one_sigma = (float(read_one(realised, token, jnp.full(1, z))[0]) for z in (0.0, 1.0))
    feedback = float(program.feedback_ohm[0]) * np.exp(float(chip.tia_log_gain_error[0]))
    bandwidth = np.pi / 2 * hardware.tia.bandwidth_hz
    total_a = float(realised.bias_current_a.sum())
    variance = feedback**2 * hardware.tia.shot_noise_factor * 4 * 1.602176634e-19 * total_a * bandwidth
    variance += 4 * 1.380649e-23 * 300.15 * feedback * bandwidth
    for j in range(12):
        up, down = (float(read_one(realised, token + h * np.eye(12)[j])[0]) for h in (1e-5, -1e-5))
        variance += 2 * 1.380649e-23 * 300.15 / 20e-15 * ((up - down) / 2e-5 / hardware.dac.full_scale_v) ** 2
    assert one_sigma - quiet == pytest.approx(variance**0.5, rel=1e-6)


def test_no_noise_argument_equals_zero_noise():
    _, realised = _noisy_case(2)
    token = _tokens(1, 12)[0].astype(jnp.float32)
    np.testing.assert_allclose(read_one(realised, token), read_one(realised, token, jnp.zeros(2)), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["tanh", "ekv"])
def test_gradients_reach_program_inputs_design_chip_and_environment(x64, law):
    """Finite differences with the roundings off (continuous converter, currents and reference)."""
    hardware = with_fields(
        get_preset("nominal"),
        {
            "ota.law": law,
            "ota.attenuation": 0.4,
            "dac.bits": None,
            "dac.unit_capacitance_f": 20e-15,
            "floating_gate.bits": None,
            "floating_gate.min_current_a": 0.0,
            "comparator.reference_bits": None,
        },
    )
    chip = sample_chip(jax.random.key(1), hardware, ArrayGeometry(4, 2))
    base, noise = _program(4, 2), jnp.array([0.7, -1.1])

    def outputs(current, feedback, threshold, token, swing, kappa, scale, early, offset, program_error, t):
        design = dataclasses.replace(
            hardware,
            dac=dataclasses.replace(hardware.dac, full_scale_v=scale),
            ota=dataclasses.replace(hardware.ota, kappa=kappa, early_voltage_v=early),
            tia=dataclasses.replace(hardware.tia, swing_v=swing),
        )
        made = dataclasses.replace(chip, offset_v=offset, log_program_error=program_error)
        program = Program(current * base.signed_current_a, feedback * base.feedback_ohm, threshold)
        realised = realise(program, design, made, Environment(300.0 * t, 1.8))
        return read(realised, token, noise), realised.threshold_v

    arguments = (
        jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, (2, 4))),
        jnp.array([1.1, 0.9]),
        base.threshold_v,
        _tokens(1, 4)[0],
        *map(jnp.array, (0.5, 0.7, 0.1, 7.0)),
        chip.offset_v,
        chip.log_program_error,
        jnp.array(1.02),
    )
    modes = ["fwd", "rev"] if law == "tanh" else ["rev"]
    check_grads(jax.jit(outputs), arguments, order=1, modes=modes, rtol=1e-5, atol=1e-7, eps=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", DIFFERENT_PRESETS)
def test_gradients_are_finite_with_roundings_on_and_weights_off(name):
    hardware = get_preset(name)
    program = _program()
    program = dataclasses.replace(program, signed_current_a=program.signed_current_a.at[0, :3].set(0.0))
    program = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), program)
    chip = sample_chip(jax.random.key(1), hardware, ArrayGeometry(12, 2))

    def loss(program, hardware, chip, environment, tokens, noise):
        realised = realise(program, hardware, chip, environment)
        return jnp.sum(jax.vmap(read, (None, 0, 0))(realised, tokens, noise)) + jnp.sum(realised.threshold_v)

    # A leaf that is infinite by choice (no rails, no capacitor) has a zero derivative, not a NaN.
    slope = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))(
        program,
        jax.tree.map(float, hardware),
        chip,
        nominal_environment(hardware),
        _tokens(6, 12).astype(jnp.float32),
        jax.random.normal(jax.random.key(2), (6, 2)),
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert float(jnp.abs(slope[0].signed_current_a).max()) > 0
    assert float(jnp.abs(slope[4]).max()) > 0


def test_fixed_charge_bends_the_score_and_ptat_does_not():
    """Scores at 60 C against 27 C: what a straight line does not explain is over 5 times larger.

    PTAT leaves the tanh's own change of shape; fixed charge changes the weights' ratios as well.
    """
    program, tokens = _program(12, 1), _tokens(400, 12).astype(jnp.float32)
    unexplained = {}
    for bias in ("fixed_charge", "ptat"):
        hardware = with_fields(get_preset("nominal"), {"thermal.bias": bias, "tia.swing_v": 50.0})
        chip = nominal_chip(hardware, ArrayGeometry(12))
        cold, warm = (
            np.asarray(read_many(realise(program, hardware, chip, Environment(t, 1.8)), tokens))[:, 0]
            for t in (300.15, 333.15)
        )
        unexplained[bias] = 1 - np.corrcoef(cold, warm)[0, 1]
    assert unexplained["ptat"] < 2e-4
    assert unexplained["fixed_charge"] > 5 * unexplained["ptat"]


def test_supply_moves_the_rails_in_proportion():
    hardware = get_preset("nominal")
    program = dataclasses.replace(_program(12, 1), feedback_ohm=jnp.array([1e9]))
    chip = nominal_chip(hardware, ArrayGeometry(12))
    realised = realise(program, hardware, chip, Environment(300.15, 0.9))
    far = read_one(realised, np.sign(program.signed_current_a[0]))
    assert float(far[0]) == pytest.approx(0.25, rel=1e-3)


def test_the_supply_moves_an_ota_as_its_systematic_terms_say(x64):
    """0.2 V above the nominal, each term a hundredth of a volt's: curves against the tanh in NumPy."""
    systematic = Systematic(
        log_current_per_v=((0.05,),), kappa_per_v=((0.03,),), offset_v_per_v=((-7e-3, 1e-5),), additive_per_v=((0.02,),)
    )
    hardware = with_fields(
        get_preset("nominal"),
        {"ota.systematic": systematic, "ota.kappa_per_decade": 0.0, "floating_gate.bits": None},
    )
    program = Program(jnp.array([[1e-8, -3e-8]]), jnp.array([1e6]), jnp.zeros(1))
    realised = realise(program, hardware, nominal_chip(hardware, ArrayGeometry(2)), Environment(310.15, 2.0))
    voltage_v = np.linspace(-0.1, 0.1, 7)
    scale = (0.689 + 1.3e-4 * 10 + 0.006) / (2 * 8.617333262e-5 * 310.15)
    current_a = np.array([1e-8, 3e-8])[:, None] * np.exp(0.01) * (1 + 4.5e-4 * 10)
    moved_v = np.array([1.0, -1.0])[:, None] * voltage_v + 0.2 * (7e-3 - 1e-4)
    expected_a = current_a * (np.tanh(scale * moved_v) + 0.004)
    np.testing.assert_allclose(ota_curves_a(realised, voltage_v)[0], expected_a, rtol=1e-6)


def test_offsets_drift_with_temperature():
    """20 K above the nominal a chip with drift is the chip whose offsets are 20 K of it larger."""
    hardware, geometry = get_preset("nominal"), ArrayGeometry(12, 2)
    drift = {"ota": "offset", "tia": "tia_offset", "comparator": "comparator_offset"}
    moving = with_fields(hardware, {f"{part}.offset_drift_sigma_v_per_k": 1e-4 for part in drift})
    chip = sample_chip(jax.random.key(4), moving, geometry)
    warm = Environment(hardware.thermal.nominal_temperature_k + 20.0, 1.8)
    still = {
        f"{name}_v": getattr(chip, f"{name}_v") + 20.0 * getattr(chip, f"{name}_drift_v_per_k")
        for name in drift.values()
    } | {f"{name}_drift_v_per_k": 0.0 * getattr(chip, f"{name}_drift_v_per_k") for name in drift.values()}
    found, expected = (realise(_program(), moving, one, warm) for one in (chip, dataclasses.replace(chip, **still)))
    for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-4)
    cold = realise(_program(), moving, chip, nominal_environment(hardware))
    assert float(jnp.min(jnp.abs(cold.threshold_v - found.threshold_v))) > 1e-5
    assert float(jnp.min(jnp.abs(cold.input_offset - found.input_offset))) > 0


def test_curves_for_the_report():
    """Transfer curves contain the additive term and sign; converter levels are the chip's."""
    hardware = get_preset("nominal")
    chip = sample_chip(jax.random.key(3), hardware, ArrayGeometry(12, 2))
    realised = realise(_program(), hardware, chip, nominal_environment(hardware))
    curves = ota_curves_a(realised, jnp.array([-1.0, 1.0]))
    assert curves.shape == (2, 12, 2)
    sign = np.sign(_program().signed_current_a)
    np.testing.assert_allclose(curves[..., 1] - curves[..., 0], 2 * sign * realised.bias_current_a, rtol=1e-5)
    np.testing.assert_allclose(curves.sum(-1) / 2, realised.bias_current_a * chip.additive, rtol=1e-3, atol=1e-13)
    levels = jax.jit(jax.vmap(dac_levels_v, (1, None)))(realised.dac_weights, realised.full_scale_v)
    assert levels.shape == (12, 64)
    np.testing.assert_allclose(levels[:, [0, -1]], [[-0.1, 0.1]] * 12, atol=1e-7)


def test_program_of_another_shape_is_refused():
    hardware = get_preset("nominal")
    chip = nominal_chip(hardware, ArrayGeometry(8, 2))
    with pytest.raises(ValueError, match=r"shape \(2, 12\) but the chip has \(prototypes, inputs\) = \(2, 8\)"):
        realise(_program(), hardware, chip, nominal_environment(hardware))


@jax.jit
def _with_used_bits(used, chip, tokens, noise):
    """Scores of a converter of 8 bits, of which a traced number is used."""
    hardware = with_fields(get_preset("nominal"), {"dac.bits": 8, "dac.used_bits": used})
    return read_noisy(realise(_program(), hardware, chip, nominal_environment(hardware)), tokens, noise)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 3, 6])
def test_a_converter_of_which_some_bits_are_used_is_the_smaller_converter(bits):
    """To rounding, with mismatch and kT/C, the number of bits traced."""
    wide = with_fields(get_preset("nominal"), {"dac.bits": 8})
    small = with_fields(wide, {"dac.bits": bits})
    chip = sample_chip(jax.random.key(2), wide, ArrayGeometry(12, 2))
    cut = dataclasses.replace(chip, dac_element_error=chip.dac_element_error[:, :bits])
    tokens, noise = _tokens(40, 12), np.asarray(jax.random.normal(jax.random.key(3), (40, 2)))
    expected = np.asarray(read_noisy(realise(_program(), small, cut, nominal_environment(small)), tokens, noise))
    chain = lambda used: np.asarray(_with_used_bits(used, chip, tokens, noise))  # noqa: E731
    np.testing.assert_allclose(chain(float(bits)), expected, rtol=2e-6, atol=2e-7)
    assert np.max(np.abs(chain(8.0) - expected)) > 1e-4, "or the bits made no difference"


def test_the_resolution_is_of_the_bits_in_use():
    plain, ideal = get_preset("nominal"), get_preset("ideal")
    assert (plain.dac.resolution, plain.floating_gate.resolution) == (6, 8)
    used = with_fields(plain, {"dac.used_bits": 2.0, "floating_gate.used_bits": 5.0})
    assert (used.dac.resolution, used.floating_gate.resolution) == (2, 5)
    assert ideal.dac.resolution is None and ideal.floating_gate.resolution is None


def test_used_bits_of_every_field_that_has_them_are_whole_and_bounded():
    for path, value in (("dac", 7), ("dac", 0), ("dac", 3.5), ("floating_gate", 9), ("floating_gate", 1)):
        with pytest.raises(ValueError, match=f"{path}.used_bits = {value} must be a whole number between"):
            with_fields(get_preset("nominal"), {f"{path}.used_bits": value})
    with pytest.raises(ValueError, match="dac.bits = None"):
        with_fields(get_preset("ideal"), {"dac.used_bits": 4})


@pytest.mark.slow
def test_a_chip_of_another_hardware_s_converters_is_refused():
    hardware = get_preset("nominal")
    chip = sample_chip(jax.random.key(0), with_fields(hardware, {"dac.bits": 8}), ArrayGeometry(12, 2))
    with pytest.raises(ValueError, match="dac.bits = 6 but the chip's converters have 8 bits"):
        eager_realise(_program(), hardware, chip, nominal_environment(hardware))
