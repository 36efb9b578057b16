"""What is broken by ``mutation_check``: mutants, those that were thought out, and the tests that are to notice them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Mutant:
    """One change to one file.

    Args:
        file: relative to the project's root.
        old: text that the file holds exactly once, or, with ``start``, the text at that place.
        new: what is put in its stead.
        equivalent: why no test can notice, where none can.
        start: place of ``old`` in the file's bytes; None to look for it.
        where: function that is changed.
    """

    file: str
    old: str
    new: str
    equivalent: str = ""
    start: int | None = None
    where: str = ""

    def apply(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            ValueError: when ``old`` is not there exactly once.
        """
        if self.start is None and text.count(self.old) != 1:
            raise ValueError(f"{self.file} holds {text.count(self.old)} times, not once: {self.old!r}")
        content, old = text.encode(), self.old.encode()
        start = content.index(old) if self.start is None else self.start
        if content[start : start + len(old)] != old:
            raise ValueError(f"{self.file} does not hold {self.old!r} at byte {start}")
        return (content[:start] + self.new.encode() + content[start + len(old) :]).decode()


def _of(file: str, *changes: tuple[str, str]) -> list[Mutant]:
    return [Mutant(file, old, new) for old, new in changes]


CURATED = [
    *_of(
        "bundle/adaptation/inferer.py",
        ("            self.teacher.eval()\n", ""),
    ),
    *_of(
        "bundle/adaptation/label_shift.py",
        ("share = float((torch.sigmoid(z / temperature + shift)", "share = float((torch.sigmoid(z / temperature)"),
        ("math.log(share / (1 - share)) - odds", "math.log(share / (1 - share)) + odds"),
        ("+ shift) * weight).sum() / total)", "+ shift)).mean())"),
        ("(logits[:, 2] - logits[:, 1]).flatten(1)", "(logits[:, 2] - logits[:, 0]).flatten(1)"),
        ("shift, bar = temperature * estimate,", "shift, bar = estimate,"),
        ("(bar / shift) ** 2", "bar / shift"),
        ("if abs(shift) > bar", "if shift > bar"),
        ("error = temperature * sampling_error", "error = sampling_error"),
        ("(1 - passed_on)", "1"),
        ("count / (count - 1)", "1"),
        ("bias[2] += shift", "bias[1] += shift"),
    ),
    *_of(
        "bundle/adaptation/measures.py",
        (
            "entropy = -(p * p.clamp(min=1e-12).log()).sum(dim=1).mean()",
            "entropy = -(p * p.clamp(min=1e-12).log()).mean()",
        ),
    ),
    *_of(
        "bundle/adaptation/norm_statistics.py",
        ("lerp_(target.to(own), share)", "lerp_(target.to(own), 1 - share)"),
        ("variance + mean.square())", "variance)"),
        ("squares / pixels - mean.square()", "squares / pixels"),
        ("layer.load_state_dict(buffers, strict=False)", "pass"),
    ),
    *_of(
        "bundle/adaptation/result.py",
        ("dice[1][name] - dice[0][name] < -self.tolerance", "dice[0][name] - dice[1][name] < -self.tolerance"),
        ("has := has_areas[name]) < self.collapse * had", "has := has_areas[name]) > had / self.collapse"),
        ('"background": 1 - shares["optic_disc"]', '"background": shares["optic_disc"]'),
    ),
    *_of(
        "bundle/evaluation/scores.py",
        ("percentile=95", "percentile=100"),
        ("symmetric=True", "symmetric=False"),
        ("values = [0.0, diagonal, diagonal]", "values = [0.0, 0.0, 0.0]"),
    ),
    *_of(
        "bundle/handlers/checkpoint.py",
        ("self.average.ema_model.load_state_dict(self.average.model.state_dict())", "pass"),
    ),
    *_of(
        "bundle/handlers/determinism.py",
        ("(self.seed * 100_003 + engine.state.epoch)", "(self.seed * 100_003)"),
    ),
    *_of(
        "bundle/handlers/divergence.py",
        ("math.isfinite(loss) or loss > self.limit", "math.isfinite(loss)"),
        ("        self.network.load_state_dict(self._good)\n", ""),
        (
            "if has_finite_weights(self.network) and has_finite_weights(self.trained):",
            "if has_finite_weights(self.network):",
        ),
    ),
    *_of(
        "bundle/handlers/loss_values.py",
        (
            'loss_{name}"] = math.fsum(v[name] for v in self.values) / len(self.values)',
            'loss_{name}"] = math.fsum(v[name] for v in self.values)',
        ),
    ),
    *_of(
        "bundle/losses/base.py",
        ("[self.weights[name] * value for", "[value for"),
    ),
    *_of(
        "bundle/losses/class_balanced.py",
        ("self.upper = 1 - bound_ratio * (1 - threshold)", "self.upper = 1 - bound_ratio * threshold"),
        ("self.lower = bound_ratio * threshold", "self.lower = bound_ratio * (1 - threshold)"),
        ("weights[c] = foreground / background", "weights[c] = background / foreground"),
        ("return (loss * weight).sum() / weight.sum()", "return (loss * weight).mean()"),
        (
            "(functional.softplus(-taught), functional.softplus(taught))",
            "(functional.softplus(taught), functional.softplus(-taught))",
        ),
        ("~label & (q > self.lower)", "~label & (q > 0)"),
        ("if name in self.calibrated and", "if"),
    ),
    *_of(
        "bundle/losses/consistency.py",
        ("(entropy / size + self.dice", "(entropy + self.dice"),
        ("overlap = 2 * (p * q)", "overlap = (p * q)"),
    ),
    *_of(
        "bundle/losses/contrast.py",
        ("reliable |= own & (entropy <= low)", "reliable |= own & (entropy >= low)"),
    ),
    *_of(
        "bundle/losses/divide_and_contrast.py",
        ("confidence >= confidence.nanmedian", "confidence <= confidence.nanmedian"),
        (
            "self.momentum * old[:, :-1] + (1 - self.momentum) * new",
            "(1 - self.momentum) * old[:, :-1] + self.momentum * new",
        ),
        ("(anchors * local).sum(dim=1) / (count + 2)", "(anchors * local).sum(dim=1) / (count + 1)"),
    ),
    *_of(
        "bundle/losses/entropy.py",
        ("return -(log_p.exp() * log_p).sum(dim=1).mean()", "return -(log_p.exp() * log_p).mean()"),
    ),
    *_of(
        "bundle/losses/functional.py",
        ("there = (similarity + proportions", "there = (similarity - proportions"),
        ("back = similarity.softmax(dim=0)", "back = similarity.softmax(dim=1)"),
        ("return logits.logsumexp(dim=1) - logits[:, 0]", "return logits[:, 1:].logsumexp(dim=1) - logits[:, 0]"),
        ("(own - other)).sum(dim=1) / temperature", "(other - own)).sum(dim=1) / temperature"),
    ),
    *_of(
        "bundle/losses/pseudo_label.py",
        ('self._total(z, target["probability"], 1 - mask)', 'self._total(z, target["probability"], mask)'),
        ('self._total(z, target["probability"], 1 - mask)', 'self._total(z, target["label"], 1 - mask)'),
        ("mask.sum(dim=(0, 2, 3)).clamp(min=1)).mean()", "mask.sum().clamp(min=1)).mean()"),
    ),
    *_of(
        "bundle/losses/separation.py",
        ("rim = label[:, 0] & mask[:, 0] & ~label[:, 1] & mask[:, 1]", "rim = label[:, 0] & mask[:, 0] & mask[:, 1]"),
        ("cup = label[:, 1] & mask[:, 1]\n", "cup = label[:, 1]\n"),
        ("(cosine - self.margin).relu()[enough].mean()", "(cosine - self.margin).relu().mean()"),
        ("(cosine - self.margin).relu()", "(cosine - self.margin).abs()"),
        ("for c, where in ((0, rim), (1, cup))", "for c, where in ((1, rim), (0, cup))"),
    ),
    *_of(
        "bundle/morphometry/cup_disc.py",
        ("vcdr=cup_height / disc_height", "vcdr=cup_width / disc_width"),
        ("area_cdr=cup_area / disc_area", "area_cdr=cup_area / label.size"),
        ("float(pixels.mean() + start)", "float(np.median(pixels) + start)"),
        ("regions = (label[near] >= 1, label[near] == 2)", "regions = (label[near] == 1, label[near] == 2)"),
        ("[contour + origin for contour in region_contours", "[contour for contour in region_contours"),
        ("np.where((p > _LEVEL) == region[window], p, field)", "p"),
        ("origin = np.array([top - 1, left - 1]", "origin = np.array([top, left]"),
        ("_largest_without_holes((label == 2) & disc)", "_largest_without_holes(label == 2)"),
        ("ndimage.binary_fill_holes(largest)", "largest"),
    ),
    *_of(
        "bundle/networks/nested_classes.py",
        ("(p[:, 1] + p[:, 2], p[:, 2])", "(p[:, 1], p[:, 2])"),
        ("torch.logaddexp(rim, cup) - background", "rim - background"),
        ("cup - torch.logaddexp(background, rim)", "cup - rim"),
    ),
    *_of(
        "bundle/refinement/class_features.py",
        ("return m / m.sum(dim=(2, 3), keepdim=True)", "return m"),
        ("m.flatten(2).sum(dim=2)[..., None, None] > 0", "m.flatten(2).sum(dim=2)[..., None, None] >= 0"),
        ("(rim - cup).sigmoid(), (background - rim)", "(cup - rim).sigmoid(), (background - rim)"),
        ("disc = torch.stack((-one, rim_in_disc, 1 - rim_in_disc)", "disc = torch.stack((-one, one, one)"),
        ("background_outside_cup - 1, one), dim=2)", "background_outside_cup, one), dim=2)"),
        ("return torch.stack((disc, outside_cup), dim=2)", "return torch.stack((outside_cup, disc), dim=2)"),
        ("dropout.to(weight)) / logits.shape[1]", "dropout.to(weight))"),
        (
            "gradient.sum(dim=(4, 5)), weight, dropout.to(weight))",
            "gradient.sum(dim=(4, 5)), weight, dropout.to(weight) * 0 + 1)",
        ),
        ("* alpha.shape[-1] ** 0.5", "* 1.0"),
        ("a = (gradient * features[:, None]).relu()", "a = gradient * features[:, None]"),
        ("a = (_unit(weights.mean(dim=1))", "a = (_unit(weights[:, 0])"),
        (
            "low, high = maps.amin(dim=2, keepdim=True), maps.amax(dim=2, keepdim=True)",
            "low, high = maps.amin(), maps.amax()",
        ),
    ),
    *_of(
        "bundle/refinement/labeller.py",
        ("label = probability > self.label_threshold", "label = probability >= 0.5"),
        ("uncertainty = (z / 2).sigmoid().std(dim=1)", "uncertainty = z.sigmoid().std(dim=1)"),
        ("uncertainty.maximum(heat_maps", "uncertainty.minimum(heat_maps"),
        ("probability = z.sigmoid().mean(dim=1)", "probability = z.mean(dim=1).sigmoid()"),
        ("reliable = uncertainty < self.uncertainty_threshold", "reliable = uncertainty > self.uncertainty_threshold"),
    ),
    *_of(
        "bundle/refinement/prototypes.py",
        ("direction = 2 * (self.objects - self.background)", "direction = self.objects - self.background"),
        ("offset = self.objects.square().sum(dim=1) - ", "offset = self.objects.square().sum(dim=1) + "),
        ("nearer[known_object & ~known_background] = True", "nearer[known_object & ~known_background] = False"),
        ("nearer[~known_object] = False", "nearer[~known_object] = True"),
        ("(label * probability, (~label) * (1 - probability))", "(label * 1.0, (~label) * 1.0)"),
        ("(1 - probability))) * reliable", "(1 - probability)))"),
        ("(~label) * (1 - probability)", "(~label) * probability"),
        (
            "return Prototypes(means[0].float(), means[1].float())",
            "return Prototypes(means[1].float(), means[0].float())",
        ),
    ),
    *_of(
        "bundle/refinement/pseudo_labels.py",
        ("reliable & (label == nearer)", "reliable | (label == nearer)"),
        ("reliable & (label == nearer)", "reliable & (label != nearer)"),
        ("ascontiguousarray(value.swapaxes(1, 2))", "ascontiguousarray(value)"),
    ),
    *_of(
        "bundle/transforms/disc_view.py",
        ("before_x, before_y = max(0, -left), max(0, -top)", "before_x, before_y = max(0, -top), max(0, -left)"),
        ("start_x, start_y = left + before_x, top + before_y", "start_x, start_y = before_x, before_y"),
        ("self.pad.inverse(self.crop.inverse(cropped))", "self.crop.inverse(cropped)"),
        ("disc.diameter / self.disc_share", "disc.diameter * self.disc_share"),
        ("round(disc.x - side / 2), round(disc.y - side / 2)", "round(disc.y - side / 2), round(disc.x - side / 2)"),
        ("disc.diameter >= self.crop_share * max", "disc.diameter < self.crop_share * max"),
    ),
    *_of(
        "bundle/transforms/label_maps.py",
        ("torch.cat((d[key] >= 1, d[key] >= 2))", "torch.cat((d[key] == 1, d[key] >= 2))"),
    ),
    *_of(
        "bundle/uncertainty/agreement.py",
        ("return 2 * (p * y).sum(dim=2)", "return (p * y).sum(dim=2)"),
        ("/ (p + y).sum(dim=2).clamp(min=1e-6)", "/ (p * p + y).sum(dim=2).clamp(min=1e-6)"),
        (
            "2 * overlap / total.clamp(min=1), torch.ones_like(total)",
            "2 * overlap / total.clamp(min=1), torch.zeros_like(total)",
        ),
        ("mean = (z.sigmoid().mean(dim=1, keepdim=True) > 0.5)", "mean = (z.mean(dim=1, keepdim=True) > 0)"),
    ),
    *_of(
        "bundle/uncertainty/dropout_passes.py",
        ("torch.stack(masks).float() / (1 - dropout)", "torch.stack(masks).float()"),
        ("generator=generator) >= dropout", "generator=generator) < dropout"),
        ('f"{seed}:{name}"', 'f"{name}"'),
        ("else logits + classifier.bias.view(1, 1, -1, 1, 1)", "else logits"),
    ),
    *_of(
        "bundle/uncertainty/view_consensus.py",
        ("zoomed(probability.flip(flip) if flip else probability, 1 / zoom", "zoomed(probability, 1 / zoom"),
        ('if flip else probability, 1 / zoom, "border")', 'if flip else probability, zoom, "border")'),
        ("(found * reach).sum(dim=0) / reach.sum(dim=0).clamp(min=1)", "(found * reach).mean(dim=0)"),
        ("network(_each(_seen, inputs, views)).softmax(dim=1)", "network(_each(_seen, inputs, views))"),
        ("torch.where(reach > 0, z, whole)", "z"),
    ),
    *_of(
        "bundle/adaptation/recipes.py",
        ("momentum=1 - self.teacher", "momentum=self.teacher"),
        ('handle_buffers="update"', 'handle_buffers="copy"'),
    ),
]
"""Changes of meaning, by hand."""

# Generated mutants that cannot change a result: (file, function, old text, new text) and why.
EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    ("bundle/transforms/disc_view.py", "DiscViewd.__call__", f"max(0, -{side})", f"max(-{side}, 0)"): (
        "the larger of two is the same"
    )
    for side in ("left", "top")
}

BROKEN = (
    "bundle/adaptation/inferer.py",
    "bundle/adaptation/label_shift.py",
    "bundle/adaptation/measures.py",
    "bundle/adaptation/norm_statistics.py",
    "bundle/adaptation/recipes.py",
    "bundle/adaptation/result.py",
    "bundle/evaluation/scores.py",
    "bundle/handlers/checkpoint.py",
    "bundle/handlers/determinism.py",
    "bundle/handlers/divergence.py",
    "bundle/handlers/loss_values.py",
    "bundle/losses/base.py",
    "bundle/losses/class_balanced.py",
    "bundle/losses/consistency.py",
    "bundle/losses/contrast.py",
    "bundle/losses/divide_and_contrast.py",
    "bundle/losses/entropy.py",
    "bundle/losses/functional.py",
    "bundle/losses/pixels.py",
    "bundle/losses/pseudo_label.py",
    "bundle/losses/separation.py",
    "bundle/losses/transport.py",
    "bundle/morphometry/cup_disc.py",
    "bundle/networks/head.py",
    "bundle/networks/nested_classes.py",
    "bundle/refinement/class_features.py",
    "bundle/refinement/evaluator.py",
    "bundle/refinement/labeller.py",
    "bundle/refinement/prototypes.py",
    "bundle/refinement/pseudo_labels.py",
    "bundle/transforms/disc_view.py",
    "bundle/transforms/label_maps.py",
    "bundle/uncertainty/agreement.py",
    "bundle/uncertainty/dropout_passes.py",
    "bundle/uncertainty/evaluator.py",
    "bundle/uncertainty/scale.py",
    "bundle/uncertainty/view_consensus.py",
)
"""The files that are broken."""

_ALSO = {
    "bundle/adaptation/recipes.py": ("tests/integration/test_configs.py",),
    "bundle/handlers/determinism.py": ("tests/handlers/test_checkpoint.py",),
    "bundle/handlers/loss_values.py": ("tests/adaptation/test_inferer.py",),
    "bundle/transforms/label_maps.py": ("tests/report/test_writer.py",),
    "bundle/losses/contrast.py": ("tests/losses/test_contrastive_losses.py",),
    "bundle/losses/divide_and_contrast.py": ("tests/losses/test_contrastive_losses.py",),
    "bundle/losses/pixels.py": ("tests/losses/test_transport.py", "tests/losses/test_contrast.py"),
    "bundle/losses/transport.py": ("tests/losses/test_contrastive_losses.py",),
    "bundle/networks/head.py": ("tests/uncertainty/test_dropout_passes.py",),
    "bundle/refinement/labeller.py": ("tests/refinement/test_evaluator.py",),
    "bundle/refinement/pseudo_labels.py": ("tests/refinement/test_evaluator.py",),
    "bundle/uncertainty/scale.py": ("tests/adaptation/test_result.py",),
}


def _tests_of(file: str) -> tuple[str, ...]:
    """The test file that mirrors a module, and which others try it."""
    module = PurePosixPath(file).relative_to("bundle")
    return (f"tests/{module.parent}/test_{module.name}", *_ALSO.get(file, ()))


TESTS = {file: _tests_of(file) for file in BROKEN}
"""The tests that are to notice, by the file that is broken."""
