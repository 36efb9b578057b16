"""Class-specific gradient features: which features of a pixel support the disc, and which the cup.

Grad-CL's abstract (arXiv 2509.10134) asks for "salient class-specific features" from "a gradient-based mechanism". Here
it is Grad-CAM (Selvaraju et al., arXiv 1610.02391) kept channel by channel:

    S^c = sum_i m^c_i z^c_i / sum_i m^c_i       score of class c over its own pixels
    G^c = mean over the passes of dS^c / dF     its gradient in the features F
    alpha^c[k] = sum_i G^c[k, i], scaled to length sqrt(K)
    A^c = ReLU(alpha^c * F)                     (``cam``), or ReLU(G^c * F) (``hires``, arXiv 2011.08891)

``plain`` uses no gradient, like Chen et al. (DPL, MICCAI 2021, arXiv 2109.09735): A^c = F for both classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from bundle.networks.head import classifier_of
from bundle.networks.unet import DiscCupUNet
from bundle.uncertainty.dropout_passes import stochastic_log_odds, stochastic_logits

__all__ = ["MODES", "ClassFeatures", "GradientFeatures", "autograd_gradient", "head_gradient", "heat_maps"]

MODES = ("cam", "hires", "plain")


@dataclass(frozen=True)
class ClassFeatures:
    """Class-specific features of a batch, disc first, then cup.

    Args:
        weights: alpha, B x T x 2 x K, each of length sqrt(K). T is the number of passes, or 1 for features of another
            layer than the head's input.
        features: A, B x 2 x K x W x H; not negative, except in mode ``plain``, where A is F itself.

    Example:
        >>> ClassFeatures(weights=torch.ones(1, 1, 2, 8), features=torch.zeros(1, 2, 8, 4, 4)).features.shape
        torch.Size([1, 2, 8, 4, 4])
    """

    weights: torch.Tensor
    features: torch.Tensor


class GradientFeatures:
    """Compute class-specific features of a batch.

    Args:
        layer: ``head`` for the tensor that enters the head (closed form), or the name of a module of the network. The
            gradient in that module's output is then found by automatic differentiation, and A is resized to the image.
        mode: ``cam`` (one weight per channel), ``hires`` (one weight per channel and pixel) or ``plain`` (all weights
            1).

    Raises:
        ValueError: ``mode`` is not one of these.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> images = torch.zeros(1, 3, 32, 32)
        >>> features, dropout = network.features(images), torch.ones(1, 2, 8)
        >>> logits = stochastic_logits(network.segmentation_head, features, dropout)
        >>> found = GradientFeatures()(network, images, features, logits, dropout, torch.ones(1, 2, 32, 32))
        >>> found.weights.shape, found.features.shape
        (torch.Size([1, 2, 2, 8]), torch.Size([1, 2, 8, 32, 32]))
    """

    def __init__(self, layer: str = "head", mode: str = "cam") -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, not {mode!r}.")
        self.layer = layer
        self.mode = mode

    def __call__(
        self,
        network: DiscCupUNet,
        images: torch.Tensor,
        features: torch.Tensor,
        logits: torch.Tensor,
        dropout: torch.Tensor,
        masks: torch.Tensor,
    ) -> ClassFeatures:
        """Class-specific features of ``images``.

        Args:
            network: the network whose head, and whose ``layer`` if that is not the head's input, is used.
            images: B x 3 x W x H.
            features: F, the head's input for these images, B x K x W x H.
            logits: of T stochastic passes, B x T x 3 x W x H.
            dropout: the passes' channel masks, B x T x K.
            masks: m^c, the pixels of disc and cup, B x 2 x W x H.

        Raises:
            ValueError: the network has no module called ``layer``.
        """
        if self.layer != "head":
            features, gradient = autograd_gradient(network, images, dropout, masks, self.layer)
            weights = _unit(gradient.sum(dim=(3, 4)))[:, None]
        elif self.mode == "plain":
            weights = features.new_ones(*logits.shape[:2], 2, features.shape[1])
        else:
            weights = _unit(head_gradient(network.segmentation_head, logits, dropout, masks))
            gradient = (
                head_gradient(network.segmentation_head, logits, dropout, masks, pixels=True)
                if self.mode == "hires"
                else features.new_empty(0)
            )
        if self.mode == "plain":
            weights = torch.ones_like(weights)
            a = features[:, None].expand(-1, 2, -1, -1, -1)
        elif self.mode == "hires":
            a = (gradient * features[:, None]).relu()
        else:
            a = (_unit(weights.mean(dim=1))[..., None, None] * features[:, None]).relu()
        if a.shape[3:] != images.shape[2:]:
            a = functional.interpolate(a.flatten(1, 2), images.shape[2:], mode="bilinear").view(
                *a.shape[:3], *images.shape[2:]
            )
        return ClassFeatures(weights, a)


def head_gradient(
    head: nn.Sequential, logits: torch.Tensor, dropout: torch.Tensor, masks: torch.Tensor, pixels: bool = False
) -> torch.Tensor:
    """dS^c_t / dF through the pointwise head alone, in closed form: no backward pass.

    Args:
        head: channel dropout and a pointwise convolution.
        logits: of the T passes, B x T x 3 x W x H.
        dropout: the passes' channel masks, B x T x K.
        masks: m^c, B x 2 x W x H.
        pixels: whether to return the gradient at every pixel, averaged over the passes, instead of its sum over the
            pixels.

    Returns:
        B x T x 2 x K, the sums over the pixels; with ``pixels`` B x 2 x K x W x H.

    Example:
        >>> head = nn.Sequential(nn.Dropout2d(0.5), nn.Conv2d(8, 3, 1))
        >>> logits, dropout, masks = torch.zeros(1, 4, 3, 6, 6), torch.ones(1, 4, 8), torch.ones(1, 2, 6, 6)
        >>> head_gradient(head, logits, dropout, masks).shape
        torch.Size([1, 4, 2, 8])
        >>> head_gradient(head, logits, dropout, masks, pixels=True).shape
        torch.Size([1, 2, 8, 6, 6])
    """
    weight = classifier_of(head).weight.flatten(1)
    score = _score_weights(masks).to(logits)
    gradient = _log_odds_gradient(logits) * score[:, None, :, None]
    if pixels:
        return torch.einsum("btcjxy,jk,btk->bckxy", gradient, weight, dropout.to(weight)) / logits.shape[1]
    return torch.einsum("btcj,jk,btk->btck", gradient.sum(dim=(4, 5)), weight, dropout.to(weight))


def autograd_gradient(
    network: DiscCupUNet, images: torch.Tensor, dropout: torch.Tensor, masks: torch.Tensor, layer: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient dS^c / dF by automatic differentiation, for the head's input or any named layer.

    Args:
        network: its norm layers must be in evaluation mode.
        images: B x 3 x W x H.
        dropout: the passes' channel masks, B x T x K.
        masks: m^c, B x 2 x W x H.
        layer: name of the module whose output is F; None for the head's input.

    Returns:
        F (B x K x w x h), and the gradient averaged over the passes (B x 2 x K x w x h).

    Raises:
        ValueError: the network has no such layer.

    Example:
        >>> network = DiscCupUNet(backbone="efficientnet-lite0-small", decoder_channels=(16, 16, 8, 8)).eval()
        >>> images, dropout, masks = torch.zeros(1, 3, 32, 32), torch.ones(1, 2, 8), torch.ones(1, 2, 32, 32)
        >>> features, gradient = autograd_gradient(network, images, dropout, masks)
        >>> features.shape, gradient.shape
        (torch.Size([1, 8, 32, 32]), torch.Size([1, 2, 8, 32, 32]))
    """
    kept: list[torch.Tensor] = []
    modules = dict(network.named_modules())
    if layer is not None and layer not in modules:
        raise ValueError(f"layer {layer!r} is not in the network; {list(modules)[-3:]} are, among others.")

    def keep(_: nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
        # A fresh leaf: the gradient stops here, whether or not the weights before it are being trained. What follows
        # may work in place, so it gets a copy.
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()

    with torch.enable_grad():
        if layer is None:
            features = network.features(images).detach().requires_grad_()
            kept.append(features)
        else:
            handle = modules[layer].register_forward_hook(keep)
            try:
                features = network.features(images)
            finally:
                handle.remove()
        z = stochastic_log_odds(stochastic_logits(network.segmentation_head, features, dropout))
        scores = (z * _score_weights(masks)[:, None].to(z)).sum(dim=(3, 4)).mean(dim=1)
        gradients = [torch.autograd.grad(scores[:, c].sum(), kept[-1], retain_graph=c == 0)[0] for c in (0, 1)]
    return kept[-1].detach(), torch.stack(gradients, dim=1)


def heat_maps(weights: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Grad-CAM of each pass, minmax(ReLU(sum_k alpha[k] F[k])).

    Args:
        weights: alpha, B x T x 2 x K.
        features: F, B x K x W x H.

    Returns:
        B x T x 2 x W x H in [0, 1]; a constant map becomes 0 everywhere.

    Example:
        >>> heat_maps(torch.ones(1, 1, 2, 1), torch.tensor([[[[1.0, 2.0, 3.0]]]]))[0, 0, 0]
        tensor([[0.0000, 0.5000, 1.0000]])
    """
    b, t, c, k = weights.shape
    maps = torch.bmm(weights.reshape(b, t * c, k), features.flatten(2)).relu()
    low, high = maps.amin(dim=2, keepdim=True), maps.amax(dim=2, keepdim=True)
    return ((maps - low) / (high - low).clamp(min=1e-8)).view(b, t, c, *features.shape[2:])


def _score_weights(masks: torch.Tensor) -> torch.Tensor:
    """m^c / sum m^c for masks B x 2 x W x H; a class without a pixel gives every pixel the same weight."""
    m = masks.float()
    m = torch.where(m.flatten(2).sum(dim=2)[..., None, None] > 0, m, torch.ones_like(m))
    return m / m.sum(dim=(2, 3), keepdim=True)


def _log_odds_gradient(logits: torch.Tensor) -> torch.Tensor:
    """dz^c / dlogits of B x T x 3 x W x H logits, as B x T x 2 x 3 x W x H."""
    background, rim, cup = logits.unbind(dim=2)
    one = torch.ones_like(cup)
    rim_in_disc, background_outside_cup = (rim - cup).sigmoid(), (background - rim).sigmoid()
    disc = torch.stack((-one, rim_in_disc, 1 - rim_in_disc), dim=2)
    outside_cup = torch.stack((-background_outside_cup, background_outside_cup - 1, one), dim=2)
    return torch.stack((disc, outside_cup), dim=2)


def _unit(alpha: torch.Tensor) -> torch.Tensor:
    """Scale the last dimension (K) to length sqrt(K)."""
    return functional.normalize(alpha, dim=-1) * alpha.shape[-1] ** 0.5
