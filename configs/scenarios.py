"""Deployment scenarios: where the analog scorer beats dense, digital and folded digital, and what decides it.

    python launch.py --config=configs/scenarios.py

Six places to run a transformer, the ways to run it in each, the constants they hang on, how sure each verdict is over
all their ranges at once, and break-even maps; about a minute, no training. The co-designed point is the cheapest
design of runs/codesign_front that holds the accuracy of the paper's (configs/codesign_front.py), on a network of width
64: that as few numbers of a wider token suffice is assumed, not measured. runs/sensor_quickstart gives the accuracy of
scoring raw pixels; that three bits of a pixel suffice for a digital score is assumed.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from atis_jax.config import to_config_dict
from experiments.energy.settings import ScenariosSettings


def get_config() -> ConfigDict:
    """The six scenarios."""
    config = to_config_dict(ScenariosSettings)
    config.sensor_run = "runs/sensor_quickstart"
    # Of runs/codesign_front the cheapest that equals the paper's point: its largest layer, its mean current.
    config.codesigned.inputs = 8
    config.codesigned.bits = 3
    config.codesigned.projection = "selection"
    config.codesigned.bias_a = 44e-9
    config.codesigned.supply_v = 1.8
    config.codesigned.full_scale_v = 0.044
    config.codesigned.core = "settling"
    config.in_sensor.inputs = 16
    config.in_sensor.projection = "selection"
    config.in_sensor.differential = True
    config.in_sensor.dac = "none"
    config.in_sensor.bias_a = 19e-9
    config.in_sensor.supply_v = 1.8

    config.camera.network = "deit_s"
    config.camera.preset = "horowitz_45nm"
    config.camera.weights = "dram"
    config.camera.tokens = "sram_1m"
    config.camera.rate_hz = 30.0
    config.camera.words = (
        "A digital camera hands 30 images a second to DeiT-S on an edge chip at 45 nm, 8 bit numbers, "
        "weights from DRAM for every image."
    )

    config.sensor.network = "own"
    config.sensor.source = "pixels"
    config.sensor.preset = "horowitz_45nm"
    config.sensor.weights = "sram_1m"
    config.sensor.tokens = "sram_32k"
    config.sensor.kept = 0.34
    config.sensor.rate_hz = 30.0
    config.sensor.words = (
        "The array sits in the image sensor: patches are scored as voltages, and those pruned are never converted, "
        "moved or embedded. The network is the one of configs/sensor_quickstart.py."
    )
    config.always_on = config.sensor.copy_and_resolve_references()
    config.always_on.woken = 0.01
    config.always_on.words = (
        "The same sensor is always on: every frame is read and scored, and the network runs on the one frame in a "
        "hundred that the scorer wakes it for. Dense has no scorer, so it runs on every frame."
    )
    config.own.depth = 3
    config.own.heads = 2

    config.bert.network = "bert_base"
    config.bert.length = 512
    config.bert.preset = "jouppi_7nm_fp16"
    config.bert.weights = "dram"
    config.bert.tokens = "sram_1m"
    config.bert.batch = 32
    config.bert.rate_hz = 100.0
    config.bert.words = (
        "BERT-base reads 512 words on a server at 7 nm, fp16, 32 sequences to one reading of the weights."
    )

    config.decoder.network = "gpt2"
    config.decoder.mode = "decode"
    config.decoder.length = 1024
    config.decoder.preset = "jouppi_7nm_fp16"
    config.decoder.weights = "dram"
    config.decoder.tokens = "sram_1m"
    config.decoder.cache = "dram"
    config.decoder.batch = 8
    config.decoder.rate_hz = 100.0
    config.decoder.words = (
        "GPT-2 makes one more word with 1,024 words in its key-value cache in DRAM, 8 sequences at a time; pruned "
        "words are left out of the cache."
    )

    config.node.network = "bert_base"
    config.node.length = 512
    config.node.preset = "horowitz_45nm_fp16"
    config.node.weights = "dram"
    config.node.tokens = "sram_1m"
    config.node.sent_bytes = 3072
    config.node.rate_hz = 2.0
    config.node.words = (
        "A network node embeds a shared input of 512 words twice a second and sends 768 float32 numbers over Wi-Fi "
        "(the paper's appendix A)."
    )
    return config
