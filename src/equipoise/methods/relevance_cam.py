"""Relevance-CAM (Lee et al. 2021, *Relevance-CAM: your model already knows where to look*)."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from equipoise.engine import Composite, OpKind, Relevance, Rule, Trace
from equipoise.engine.numerics import safe_divide
from equipoise.methods.base import METHODS
from equipoise.methods.cam import Layers, each, of_the_whole_image
from equipoise.methods.layers import find_layer, rows_of_images
from equipoise.methods.propagation import ProfileName, Propagation, one_hot
from equipoise.methods.readouts import channel_sum, channels_first, mean_of_maps
from equipoise.methods.starts import below_the_head
from equipoise.methods.targets import Targets
from equipoise.rules.layered import Normed
from equipoise.rules.lrp import AlphaBeta
from equipoise.rules.relevance_cam import DoubledBias
from equipoise.rules.resampling import Resampled
from equipoise.rules.structure import STRUCTURE


@METHODS.register("relevance_cam", aliases=("RCAM", "Relevance-CAM"))
class RelevanceCAM(Propagation):
    r"""A class activation map whose channel weights are the channels' mean relevance.

    Relevance starts as +1 at the class and a little negative at every other. The map can be read at layers where
    Grad-CAM is noise.

    .. math::
        L = \sum_c \Big(\frac{1}{|P|} \sum_p R_{cp}\Big) A_c,\quad R_{\mathrm{logits}} = [i = t] - \tfrac{1}{C} [i
        \ne t]

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"paper"``: z+ without biases. ``"reference"``: the released code, whose denominators
            count a convolution's bias twice and whose pools divide by signed values.
        layer: The module whose feature map is weighed; ``None``: the last one. Of several the mean of their
            maps is given.
        interpolate: Whether to resize the map to the input.

    Raises:
        LayerError: If ``layer`` is no module, or has no spatial map, or one of a crop of the image alone.

    References:
        Lee et al. 2021, Eq. 6 to 8: relevance starts as 1 at the class and ``-1/C`` at all others. The
        map is signed: no ReLU.

        https://openaccess.thecvf.com/content/CVPR2021/html/Lee_Relevance-CAM_Your_Model_Already_Knows_Where_To_Look_CVPR_2021_paper.html
    """

    title: ClassVar[str] = "Relevance-CAM"
    summary: ClassVar[str] = "Regions whose features matter to this class rather than others, from any layer"
    level = "map"
    several_layers: ClassVar[bool] = True

    def __init__(
        self, model: nn.Module, *, profile: ProfileName = "paper", layer: Layers = None, interpolate: bool = True
    ) -> None:
        super().__init__(model, profile, interpolate=interpolate)
        self.layer = layer

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        layers = [rows_of_images(find_layer(self.model, trace, name), trace) for name in each(self.layer)]
        if self.interpolate:
            layers = [of_the_whole_image(trace, layer) for layer in layers]
        hot = one_hot(targets, trace.logits.dtype)
        if targets.against is not None:  # the seeds of a contrast hold both
            start = hot
        else:
            others = 1 - hot if targets.others is None else targets.others.to(hot.dtype)
            start = hot - others / hot.shape[-1]
        norm = Normed(safe_divide)
        signed: dict[OpKind, Rule] = dict.fromkeys((OpKind.MAX_POOL, OpKind.ADD), norm)
        signed[OpKind.AVERAGE_POOL] = Resampled(norm)
        rule = DoubledBias() if self.reference else AlphaBeta(fold=False, bias_share=False)
        composite = Composite("relevance-cam", {**STRUCTURE, **(signed if self.reference else {}), OpKind.LINEAR: rule})
        maps = []
        for layer in layers:  # one at a time: relevance goes no further than the layer where it is collected
            given = {trace.output: Relevance(start)}
            if not self.reference:
                given = below_the_head(trace, start, AlphaBeta(fold=False, bias_share=False), end=layer)
            relevance = channels_first(self.to(trace, given, composite, layer), layer)
            positions = tuple(range(3, relevance.dim()))
            weights = relevance.mean(positions, keepdim=True)
            features = channels_first(trace.data(layer).to(relevance.dtype).unsqueeze(0), layer)
            maps.append(channel_sum(weights * features))
        return mean_of_maps(maps, trace.input.shape, interpolate=self.interpolate)
