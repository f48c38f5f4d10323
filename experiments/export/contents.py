"""The pages of a design written for its targets, and of a chip that takes another one."""

from __future__ import annotations

from atis_jax.report.contents import Contents, Entry
from atis_jax.report.run_files import Arrays
from experiments.export.figures.closed_loop import closed_loop
from experiments.export.figures.in_time import in_time
from experiments.export.figures.retarget import retargeting
from experiments.export.figures.targets import target_accuracy, target_needs
from experiments.export.strips import export_strip, retarget_strip
from experiments.spice.figures.gates import gates

EXPORT = Contents(
    strip=export_strip,
    strip_figures=("strip_export",),
    sections=(
        Entry("Accuracy of each target", ("export_chips",), target_accuracy),
        Entry("The loop closed in ngspice", ("closed_loop",), closed_loop),
        Entry("The netlist at its speed", ("in_time",), in_time),
        Entry("Gates", (), gates),
        Entry("What each FPAA takes", (), target_needs),
    ),
    arrays=Arrays(
        shapes={
            "export_bundle_chips": "export_bundle_n",
            "export_spice_chips": "export_spice_n",
            "export_rasp_chips": "export_rasp_n",
            "export_an231e04_chips": "export_an231e04_n",
            "loop{n}_spice_v": "loop{n}_t loop{n}_g",
            "loop{n}_model_v": "loop{n}_t loop{n}_g",
            "loop{n}_keep": "loop{n}_t loop{n}_g",
            "loop{n}_zone_v": "loop{n}_g",
            "loop{n}_threshold_v": "loop{n}_g",
        },
        fractions=(
            "export_bundle_chips",
            "export_spice_chips",
            "export_rasp_chips",
            "export_an231e04_chips",
        ),
    ),
)
RETARGET = Contents(
    strip=retarget_strip,
    strip_figures=("strip_retarget",),
    sections=(Entry("One chip, another model", ("retarget",), retargeting),),
    arrays=Arrays(
        shapes={
            "retarget_accuracy": "retarget_a retarget_c",
            "retarget_equal": "retarget_a retarget_c",
        },
    ),
)
