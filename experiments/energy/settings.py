"""The settings of the deployment scenarios."""

from __future__ import annotations

import dataclasses

from atis_jax.data.dataset import Facts
from atis_jax.energy.breakeven import axes
from atis_jax.energy.deployments import PAPER_POINT, DeploymentSpec, PointSpec
from atis_jax.models.registry import make_model
from atis_jax.models.vit import ModelSpec
from atis_jax.validation import SettingError, check_choice, check_settings, setting

SCENARIOS = ("camera", "sensor", "always_on", "bert", "decoder", "node")


@dataclasses.dataclass(frozen=True)
class ScenariosSettings:
    """Six deployments, the ways to run each, what decides between them and how surely, and break-even maps."""

    experiment: str = setting("scenarios", choices=("scenarios",), doc="scenarios")
    which: tuple[str, ...] = setting(SCENARIOS, choices=SCENARIOS, least=1, distinct=True, doc="scenarios to work out")
    seed: int = setting(0, low=0, high=2**32 - 1, doc="of the draws of all constants")
    draws: int = setting(
        4000, low=2000, high=1_000_000, doc="how often all constants are drawn together over their ranges"
    )
    sensor_run: str | None = setting(
        None, path=True, doc="co-design run that scores raw pixels; its accuracy is quoted"
    )
    maps: tuple[str, ...] = setting(
        (
            "dac_energy/inputs",
            "dac_energy/bits",
            "pruned/inputs",
            "node/dac_energy",
            "length/pruned",
            "width/inputs",
        ),
        distinct=True,
        doc="break-even maps, 'across/up'; empty: none",
    )
    map_scenario: str = setting("camera", choices=SCENARIOS, doc="scenario that the maps start from")
    resolution: int = setting(13, low=2, high=101, doc="values along a continuous axis of a map")
    own_side: int = setting(32, low=4, high=4096, doc="side of the square that network own reads, in pixels")
    own_channels: int = setting(1, low=1, high=64, doc="channels of it")
    own_classes: int = setting(10, low=1, high=1_000_000, doc="classes of network own")
    own: ModelSpec = setting(ModelSpec(stem="linear"), doc="Network `own` of a scenario.")
    paper: PointSpec = setting(PAPER_POINT, doc="The circuit of the paper's section 4.2.")
    codesigned: PointSpec = setting(PointSpec, doc="The circuit that co-design found.")
    in_sensor: PointSpec = setting(PointSpec, doc="The one that it found for raw pixels, where those are scored.")
    camera: DeploymentSpec = setting(DeploymentSpec)
    sensor: DeploymentSpec = setting(DeploymentSpec)
    always_on: DeploymentSpec = setting(DeploymentSpec)
    bert: DeploymentSpec = setting(DeploymentSpec)
    decoder: DeploymentSpec = setting(DeploymentSpec)
    node: DeploymentSpec = setting(DeploymentSpec)

    def __post_init__(self):
        check_settings(self, "config")
        every = axes(self.resolution)
        for pair in self.maps:
            x, slash, y = pair.partition("/")
            if not slash or x == y:
                raise SettingError(
                    f"config.maps: {pair!r} is not two axes; write 'across/up', for instance 'dac_energy/inputs'"
                )
            for name in (x, y):
                check_choice(name, every, f"config.maps: {pair!r}")
        make_model(self.own, self.own_facts())
        if self.own.stem != "linear":
            raise SettingError(
                f"config.own.stem = {self.own.stem!r}: what a patch costs to embed is worked out for a linear stem "
                "alone; set config.own.stem = 'linear'"
            )

    def own_facts(self) -> Facts:
        """Of the data that network own reads."""
        return Facts(self.own_classes, rows=self.own_side, columns=self.own_side, channels=self.own_channels)

    def points(self, scenario: str) -> dict[str, PointSpec]:
        """The design points by contender; what co-design found in front of a sensor is a design of its own."""
        found = self.in_sensor if self.scenario(scenario).source == "pixels" else self.codesigned
        return {"paper": self.paper, "codesigned": found}

    def scenario(self, name: str) -> DeploymentSpec:
        """The scenario called ``name``."""
        return getattr(self, name)
