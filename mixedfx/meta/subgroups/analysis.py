"""SubgroupAnalysis, the answer of `subgroup_effects`: what `SubgroupState` knows, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mixedfx.meta.subgroups.pictures import draw
from mixedfx.meta.subgroups.state import SubgroupState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedfx.plots.picture import Picture


@dataclass(frozen=True, repr=False, eq=False)
class SubgroupAnalysis(SubgroupState):
    """Models of reported subgroup effects, and their average.

    Its attributes are those of `mixedfx.meta.subgroups.state.SubgroupState`.
    """

    def plot(
        self,
        kind: Literal["forest", "models", "probabilities", "prior", "sensitivity"] = "forest",
        ax: Axes | None = None,
        **options: Any,
    ) -> Picture:
        """Draw the analysis; `effects` has more pictures.

        Parameters
        ----------
        kind
            ``"forest"``: what was reported beside the average of the models. ``"models"``: the effects under every
            model. ``"probabilities"``: prior and posterior probability of each model. ``"prior"``: the effect in
            ``a=``, or its difference from that in ``b=``, before and after the data; exact zeros are arrows.
            ``"sensitivity"``: inclusion Bayes factors over the width of the priors, at ``factors=`` (`sensitivity`).
        ax
            Axes to draw on; new ones where None.
        **options
            `a` and `b`, subgroups as `Effects.contrast` has them. All others are passed to
            `mixedfx.plots.forest.forest`, `model_probabilities.model_probabilities`, `spike_densities.spike_densities`,
            `bayes_factors.bf_sensitivity`.
        """
        return draw(self, kind, ax, options)
