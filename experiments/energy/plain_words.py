"""Contenders, networks and prices as a reader outside the field knows them."""

from __future__ import annotations

NAMES = {
    "dense": "dense",
    "digital": "digital",
    "folded": "folded digital",
    "paper": "paper's circuit",
    "coarse": "coarse-then-fine digital",
    "codesigned_digital": "digital twin",
    "codesigned": "co-designed circuit",
}
NETWORKS = {
    "deit_ti": "DeiT-Ti",
    "deit_s": "DeiT-S",
    "vit_b": "ViT-B",
    "vit_l": "ViT-L",
    "bert_base": "BERT-base",
    "gpt2": "GPT-2",
    "own": "small ViT",
}
# What the constants are called where they are defined, and what a reader outside the field knows them as.
_CONSTANTS = {
    "8 bit DAC": "number-to-voltage conversion",
    "DAC of the design point": "number-to-voltage conversion",
    "paper DAC": "number-to-voltage conversion",
    "DAC unit capacitor": "unit capacitor of a converter",
    "unit capacitor in the routing fabric": "unit capacitor in the fabric",
    "hold capacitor": "capacitor holding an input",
    "TIA op-amp": "read-out amplifier (TIA)",
    "comparator": "analog comparison",
    "line capacitance": "capacitance of an input line",
    "floating-gate write": "writing an analog weight",
    "paper core, dynamic": "switching of the array",
    "paper MAC": "multiply-accumulate",
    "int8 multiply": "8 bit multiplication",
    "int32 add": "32 bit addition",
    "fp16 multiply": "16 bit multiplication",
    "fp32 add": "32 bit floating addition",
    "SRAM, 32 KB": "on-chip memory, 32 KB",
    "SRAM, 1 MB": "on-chip memory, 1 MB",
    "DRAM": "off-chip memory (DRAM)",
    "DDR4": "off-chip memory (DDR4)",
    "pixel read-out": "reading a pixel",
    "pixel ADC": "digitising a pixel",
    "ADC, a bit more over a bit less": "what a bit more costs a converter",
    "capacitor that holds a pixel": "capacitor holding a pixel",
    "time that the built circuit needs, over its law": "time the analog circuit needs",
    "power of the built op-amp, over its branches": "power of the read-out amplifier",
    "power of the built comparator, over its branches": "power of the comparator",
    "sensor link": "moving a byte off the sensor",
    "Wi-Fi, a byte sent": "sending a byte by Wi-Fi",
}


def constant_words(name: str) -> str:
    """A constant's name for readers outside the field; one without such words keeps its own."""
    plain = name.removesuffix(", 7 nm")
    return _CONSTANTS.get(plain, plain)


def network_name(name: str) -> str:
    """A network as people call it."""
    return NETWORKS.get(name, name)
