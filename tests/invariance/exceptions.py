"""What the law of invariance does not hold for today; written by ``survey.py --exceptions``.

A spelling that is mended should leave this list. GELU's stand here for float32: its tail is rounded differently by
each spelling, and AGF and RAP divide by it.
"""

REFUSED: dict[str, tuple[str, ...]] = {
    "1x1 convolution": ("bilinear",),
    "2x2 average pool": ("lp_pool2d",),
    "2x2 max pool": ("sort",),
    "2x2 max pool, with ties": ("sort",),
    "a gate per channel": ("diagonal matrix", "grouped convolution of the batch"),
    "a product of two signals": ("stack.prod",),
    "coordinate attention": ("einsum of three", "outer product"),
    "difference of two branches": ("diff",),
    "global average pool": ("var_mean", "lp_pool2d", "nanmean"),
    "global max pool": ("sort", "kthvalue", "norm of infinite order", "aminmax"),
    "global max pool, with ties": ("sort", "kthvalue", "norm of infinite order", "aminmax"),
    "maximum of two branches by a choice": ("index assignment",),
    "nearest-neighbour upsampling": ("kron",),
    "sum of two branches": ("index_add", "nansum"),
    "two gates": ("stack.prod", "einsum"),
    "unit vectors": ("exported",),
    "what changes nothing": ("images apart and joined", "fold of unfold"),
}
"""The spellings that a method refuses by name where it explains the base: family to spellings."""

DIFFERENT: dict[str, dict[str, tuple[str, ...]]] = {
    "1x1 convolution": {
        "bias as a channel of ones": (
            "ae",
            "agf",
            "contrastive_lrp",
            "deep_taylor",
            "eb",
            "full_grad",
            "lrp_alpha_beta",
            "rap",
            "rsp",
        ),
        "bilinear": ("full_grad",),
        "conv1d on rows of the image": ("full_grad",),
    },
    "2x2 max pool, with ties": {"sort": ("full_grad", "guided_backprop")},
    "3x3 convolution": {
        "axes swapped": ("full_grad",),
        "flipped": ("full_grad",),
        "larger kernel of zeros": ("rsp",),
        "padded more, then sliced": ("contrastive_eb", "full_grad"),
    },
    "3x3 max pool, stride 2": {"stride 1, then every other": ("contrastive_eb",)},
    "3x3 max pool, stride 2, with ties": {"stride 1, then every other": ("contrastive_eb",)},
    "GELU": {
        "erf": ("agf", "rap"),
        "erfc": ("agf", "rap"),
        "x * (0.5 * (1 + erf))": ("agf", "rap"),
        "x * ndtr(x)": ("agf", "rap"),
    },
    "GELU by tanh": {
        "sigmoid": ("agf", "rap"),
        "torch.pow": ("agf", "rap"),
        "x * x * x": ("agf", "rap"),
        "x ** 3": ("agf", "rap"),
    },
    "a convolution of frames": {
        "frame by frame": (
            "ae",
            "agf",
            "contrastive_lrp",
            "deep_taylor",
            "full_grad",
            "lrp_alpha_beta",
            "lrp_composite",
            "rap",
            "rsp",
        ),
        "frames first": ("full_grad",),
        "frames folded by reshape": ("full_grad",),
        "frames folded into the batch": ("full_grad",),
        "unbind, stack": (
            "ae",
            "agf",
            "contrastive_lrp",
            "deep_taylor",
            "full_grad",
            "lrp_alpha_beta",
            "lrp_composite",
            "rap",
            "rsp",
        ),
    },
    "a layer on windows": {"windows folded into the batch": ("full_grad",)},
    "a normalized image": {"buffer": ("full_grad",), "color by color (Inception)": ("full_grad",)},
    "an activation of some channels (detection heads)": {"where": ("agf",)},
    "bilinear upsampling": {"matrices": ("ae", "rap", "rsp")},
    "coordinate attention": {"authors": ("full_grad",)},
    "flatten, linear": {"mv per class": ("agf", "contrastive_eb", "lrp_composite", "rap")},
    "global average pool": {
        "(x / size).sum": ("relevance_cam", "score_cam"),
        "weights that are all equal": ("relevance_cam", "score_cam"),
    },
    "global context: a softmax over positions": {
        "bmm": ("agf",),
        "exp / sum": ("full_grad",),
        "matmul as its authors": ("agf",),
    },
    "global max pool": {"-min(-x)": ("grad_cam_plus_plus", "relevance_cam", "score_cam")},
    "global max pool, with ties": {"-min(-x)": ("grad_cam_plus_plus", "relevance_cam", "score_cam")},
    "grouped 1x1 convolution": {
        "chunks, linear, cat": ("ae", "full_grad", "rap"),
        "matmul over groups": ("contrastive_eb",),
    },
    "grouped convolution": {"block-diagonal kernel": ("rsp",)},
    "maximum of two branches and zero": {"maximum of ReLUs": ("ae",), "with zeros": ("ae", "guided_backprop")},
    "square": {"einsum": ("agf",)},
    "transposed convolution (kernel = stride)": {
        "conv_transpose3d, depth 1": ("full_grad",),
        "zeros between, convolution": ("ae", "agf", "contrastive_eb", "full_grad"),
    },
    "zero padding": {"convolution pads more, slice": ("contrastive_eb", "full_grad")},
}
"""The spellings that methods explain differently than the base: family to spelling to methods."""
