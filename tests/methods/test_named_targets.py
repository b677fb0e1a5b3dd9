"""Scores by name, and networks that give more than class scores: every method, one law for all."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise import records, targets
from equipoise.errors import EquipoiseError, ShapeError, TargetError
from equipoise.methods.reading import areas, class_scores
from equipoise.methods.scores import SCORES
from registered import spread

CLASSES = 4
OPTIONS = {
    "rise": {"masks": 16}, "occlusion": {"window": 8, "stride": 8}, "lime": {"samples": 20},
    "kernel_shap": {"samples": 20},
    "extremal_perturbation": {"steps": 2}, "smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 4},
    "gradient_shap": {"samples": 4}, "deep_lift_shap": {"samples": 2},
}  # fmt: skip


def body():
    return [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()]


def seeded(*layers):
    network = nn.Sequential(*layers).eval().double()
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4
    return network


def classifier(outputs=CLASSES):
    return seeded(*body(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs))


def segmenter():
    return seeded(*body(), nn.Conv2d(8, CLASSES, 1), nn.Upsample(scale_factor=2, mode="bilinear"))


def images(n=2, size=16, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def options(method):
    known = records.method_options(method)
    return {key: value for key, value in OPTIONS.get(method, {}).items() if key in known}


def explain(network, x, target, method, **more):
    """The map, or the name of what refuses it."""
    try:
        torch.manual_seed(0)
        return equipoise.attribute(network, x, target, method=method, **options(method), **more)
    except EquipoiseError as error:
        return f"{type(error).__name__}: {error}"


CONTRASTIVE = {"contrastive_lrp", "agf"}
"""Methods that need to know which classes a score is set against."""


@pytest.mark.parametrize("method", equipoise.METHODS.names())
def test_a_named_class_is_the_class(method):
    right = explain(classifier(), images(), 2, method)
    found = explain(classifier(), images(), targets.class_(2), method)
    assert isinstance(right, torch.Tensor), right
    torch.testing.assert_close(found, right)


@pytest.mark.parametrize("method", [name for name in equipoise.METHODS.names() if name != "random"])
def test_a_contrast_is_explained_by_every_method(method):
    """It differs from both classes alone, whichever other classes there are in its way, and is alone for each image."""
    network, x = classifier(), images()
    found = explain(network, x, targets.contrast(2, 1), method)
    assert isinstance(found, torch.Tensor), found
    assert found.isfinite().all()
    assert found.abs().sum() > 0
    plain = explain(network, x, 2, method)
    assert not torch.allclose(found, plain)
    one = explain(network, x[:1], targets.contrast(2, 1), method)
    torch.testing.assert_close(one, found[:1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", sorted(CONTRASTIVE))
def test_a_contrast_is_that_of_a_network_of_two_classes(method):
    """What has no part in the question has none in the answer."""
    network, x = classifier(), images()
    two = classifier(2)
    two.load_state_dict(network.state_dict() | {
        "7.weight": network[7].weight[[2, 1]], "7.bias": network[7].bias[[2, 1]],
    })  # fmt: skip
    torch.testing.assert_close(explain(network, x, targets.contrast(2, 1), method), explain(two, x, 0, method))


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "input_x_gradient"])
def test_linear_methods_obey_the_scores_algebra(method):
    network, x = classifier(), images()
    one, other = (explain(network, x, index, method) for index in (2, 1))
    torch.testing.assert_close(explain(network, x, targets.contrast(2, 1), method), one - other)
    torch.testing.assert_close(explain(network, x, targets.negative(2), method), -one)


def test_similarity_is_the_cosine():
    network, x = classifier(), images()
    reference = network(x[:1])[0].detach()
    score = targets.similarity(reference)
    assert score(network(x))[0].item() == pytest.approx(1)
    found = explain(network, x, score, "gradient")
    leaf = x.clone().requires_grad_()
    torch.cosine_similarity(network(leaf), reference[None]).sum().backward()
    torch.testing.assert_close(found, leaf.grad, rtol=1e-6, atol=1e-10)
    with pytest.raises(ShapeError, match=r"embeddings \(n, 3\), not \(2, 4\)"):
        equipoise.attribute(network, x, targets.similarity(torch.zeros(3)), method="gradient")


MASK = torch.zeros(16, 16, dtype=torch.bool)
MASK[2:9, 4:12] = True
DENSE = {
    "pixel": (targets.pixel(1, 3, 5), lambda raw: raw[:, 1, 3, 5]),
    "region": (targets.region(2, MASK), lambda raw: raw[:, 2, 2:9, 4:12].sum((1, 2))),
    "half of it": (targets.region(2, MASK[::2, ::2]), lambda raw: raw[:, 2, 2:10, 4:12].sum((1, 2))),
    "where it wins": (targets.region(3), lambda raw: (raw[:, 3] * (raw.argmax(1) == 3)).sum((1, 2))),
    "a user's own": (lambda raw: raw[:, 0].mean((1, 2)), lambda raw: raw[:, 0].mean((1, 2))),
}  # fmt: skip
FROM_A_MAP = {"grad_cam", "grad_cam_plus_plus", "score_cam", "relevance_cam"}
BY_PLACE = {"ae", "rsp"}
"""Methods whose start counts the gradient where it is, if the score is read off a dense output."""
LOUD = ("contrastive LRP contrasts a class", "AGF starts from one class", "does not lead to the contrast layer")


@pytest.mark.parametrize(("method", "kind"), spread(equipoise.METHODS.names(), DENSE, each=2))
def test_a_class_for_each_pixel(method, kind):
    """A function of the raw output gets the map of the network that returns its value; or is refused by name."""
    target, value = DENSE[kind]
    network, x = segmenter(), images()
    found = explain(network, x, target, method)
    if isinstance(found, str):
        assert any(words in found for words in LOUD), found
        return
    assert found.abs().sum() > 0
    if method in BY_PLACE:
        return
    right = explain(
        Valued(network, value), x, Score0(), method, **({"layer": "network.4"} if method in FROM_A_MAP else {})
    )
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("method", sorted(BY_PLACE))
def test_what_is_explained_of_a_pixel_lies_around_it(method):
    """What speaks for a pixel lies on what it depends on, AE's uniform shift aside; another pixel's map is another."""
    network, x = segmenter(), images(1, size=48)
    found = explain(network, x, targets.pixel(1, 8, 40), method)
    near, everywhere = (part.clamp(min=0).sum() for part in (found[..., 0:20, 28:48], found))
    assert near > 0
    assert near > 0.9 * everywhere
    assert not torch.allclose(found, explain(network, x, targets.pixel(1, 40, 8), method))


class Valued(nn.Module):
    """A network that returns one value of another's output."""

    def __init__(self, network, value):
        super().__init__()
        self.network, self.value = network, value
        self.eval()

    def forward(self, x):
        return self.value(self.network(x))[:, None]


class Score0:
    """The value, as a function: what no method may set against classes."""

    def __call__(self, scores):
        return scores[:, 0]


@pytest.mark.parametrize("method", [name for name in equipoise.METHODS.names() if name != "random"])
def test_classes_of_a_segmenting_network(method):
    """An index stands for the class where it wins, `None` for the class of most pixels, lists for several."""
    network, x = segmenter(), images()
    raw = network(x).detach()
    top = areas(raw).argmax(1)
    found = explain(network, x, None, method)
    if isinstance(found, str):
        assert any(words in found for words in LOUD), found
        return
    torch.testing.assert_close(found, explain(network, x, top, method))
    several = torch.stack([top, (top + 1) % CLASSES], 1)
    both = explain(network, x, several, method)
    assert both.shape == (2, 2, *found.shape[1:])
    torch.testing.assert_close(both[:, 0], found, rtol=1e-6, atol=1e-9)
    alone = explain(network, x[1:], several[1:], method)
    torch.testing.assert_close(alone, both[1:], rtol=1e-6, atol=1e-9)
    if method not in CONTRASTIVE | {
        "relevance_cam",
        "score_cam",
        "kernel_shap",
        "lime",
        "rise",
    }:  # which look at the other classes, too
        where = explain(network, x[:1], targets.region(int(top[0])), method)
        torch.testing.assert_close(where, found[:1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["ae", "gradient", "grad_cam", "integrated_gradients"])
def test_a_class_that_wins_nowhere_is_noted(method):
    """Its map is zero, and that is said of it alone."""
    network, x = segmenter(), images(1)
    network[5].bias.data[3] = -1000
    bound = equipoise.METHODS[method](network)
    found = bound.attribute(x, torch.tensor([[3, int(areas(network(x).detach()).argmax())]]))
    assert found[0, 0].abs().sum() == 0
    assert found[0, 1].abs().sum() > 0
    assert [note for note in bound.notes if "at no pixel" in note] == [bound.notes[-1]]
    assert "image 0: class 3" in bound.notes[-1]


def test_the_score_of_a_class_is_its_sum_where_it_wins():
    raw = segmenter()(images()).detach()
    scores = class_scores(raw)
    for index in range(CLASSES):
        torch.testing.assert_close(scores[:, index], targets.region(index)(raw))
    torch.testing.assert_close(areas(raw).sum(1), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "ae", "integrated_gradients", "lrp_composite"])
def test_a_list_of_functions_is_each_alone(method):
    network, x = segmenter(), images()
    several = [targets.pixel(1, 2, 3), targets.region(2, MASK)]
    both = explain(network, x, several, method)
    for index, target in enumerate(several):
        torch.testing.assert_close(both[:, index], explain(network, x, target, method))


class Detector(nn.Module):
    """Two boxes of each image, in the form of torchvision's detectors."""

    def __init__(self):
        super().__init__()
        self.features, self.head = seeded(*body()), seeded(nn.Conv2d(8, 3, 1))
        self.eval()

    def forward(self, x):
        scores = self.head(self.features(x)).softmax(1)
        boxes = torch.tensor([[0.0, 0, 8, 8], [8, 8, 16, 16]], dtype=x.dtype)
        labels = torch.tensor([1, 2])
        return [
            {"boxes": boxes, "labels": labels, "scores": torch.stack([one[1, 2, 2], one[2, 6, 6]])} for one in scores
        ]


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "ae", "grad_cam", "occlusion"])
def test_a_detected_box(method):
    network, x = Detector(), images(1)
    found = explain(network, x, targets.box(7, 9, 15, 16), method)
    assert found.abs().sum() > 0
    torch.testing.assert_close(found, explain(network, x, targets.box(8, 8, 16, 16, label=2), method))
    torch.testing.assert_close(found, explain(network, x, 1, method))  # the second detection
    first = explain(network, x, 0, method)
    assert not torch.allclose(first, found)
    best = int(network(x)[0]["scores"].argmax())
    torch.testing.assert_close(explain(network, x, None, method), [first, found][best])


def test_a_box_of_torchvisions_detectors_is_explained():
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=3,
        min_size=64,
        box_score_thresh=0.0,
        box_detections_per_img=3,
        rpn_pre_nms_top_n_test=20,
        rpn_post_nms_top_n_test=10,
    ).eval()
    x = torch.rand(1, 3, 64, 64)
    box = network(x)[0]["boxes"][0].tolist()
    assert equipoise.attribute(network, x, targets.box(*box)).abs().sum() > 0
    refused = explain(network, x, targets.box(*box), "lrp_composite")
    assert "roi_align" in refused


@pytest.mark.parametrize(("network", "target", "words"), [
    (classifier, targets.class_(9), "class 9 does not exist"),
    (classifier, targets.contrast(1, 9), "class 9 does not exist"),
    (classifier, targets.class_("cat"), "names of classes are known to equipoise.explain"),
    (classifier, targets.pixel(1, 2, 3), "scores for each pixel"),
    (segmenter, targets.pixel(1, 2, 99), "16 x 16 pixels, and none at (2, 99)"),
    (segmenter, targets.pixel(9, 2, 3), "class 9 does not exist"),
    (segmenter, targets.region(1, torch.ones(3)), "the mask of a region is (3,)"),
    (segmenter, 9, "class 9 does not exist"),
    (segmenter, targets.box(1, 2, 3, 4), "a detector returns a list"),
    (segmenter, lambda raw: raw, "expected one score for each image"),
    (segmenter, [targets.region(1), 2], "classes or functions, not both"),
    (Detector, targets.box(90, 90, 99, 99), "none of the 2 detected boxes overlaps"),
    (Detector, targets.box(0, 0, 8, 8, label=2), "none of the 2 detected boxes overlaps"),
    (Detector, 5, "class 5 does not exist"),
])  # fmt: skip
@pytest.mark.parametrize("method", ["ae", "gradient", "integrated_gradients"])
def test_what_cannot_be_is_one_sentence(network, target, words, method):
    with pytest.raises(EquipoiseError) as caught:
        equipoise.attribute(network(), images(1), target, method=method)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_contrast_with_itself():
    with pytest.raises(TargetError, match="between two classes"):
        targets.contrast(1, 1)


def test_every_named_score_has_a_function():
    for name in SCORES:
        assert callable(getattr(targets, {"class": "class_"}.get(name, name)))


def test_a_trace_of_a_segmenting_network_is_explained_again():
    network, x = segmenter(), images()
    method = equipoise.METHODS["ae"](network)
    trace = method.trace(x)
    torch.testing.assert_close(method.attribute_trace(trace, 2), method.attribute(x, 2))
    assert method.output is None
    assert isinstance(method.coverage(x, 2), list)
