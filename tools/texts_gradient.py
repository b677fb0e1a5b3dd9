"""The methods made of gradients, and the class activation maps."""

from __future__ import annotations

from method_text import Text, arxiv, doi

TEXTS = {
    "grad_cam": Text(
        title="Grad-CAM",
        idea="The channels of the last feature map, each weighted by the mean of its gradient for the "
        "class, are added up; what is negative is dropped. The map has the resolution of that layer "
        "(7x7 for most networks at 224 pixels) and is resized to the image.",
        equation=r"L = \mathrm{relu}\Big(\sum_c A_c \, \frac{1}{|P|}\sum_{p \in P} \frac{\partial y}{\partial "
        r"A_{cp}}\Big)",
        differs="The layer is found by itself; the authors name one for each network. Nothing is scaled to "
        "[0, 1]. With `interpolate=False` it equals TorchRay's map, with `relu=False` captum's.",
        sources=(
            doi(
                "Selvaraju et al., Grad-CAM: visual explanations from deep networks via gradient-based "
                "localization, ICCV 2017",
                "10.1109/ICCV.2017.74",
            ),
        ),
    ),
    "grad_cam_plus_plus": Text(
        title="Grad-CAM++",
        idea="As Grad-CAM, but each position of the gradient has a weight of its own and only positive "
        "gradients count, so that several objects of one class weigh alike.",
        equation=r"w_c = \sum_p \alpha_{cp}\, \mathrm{relu}\Big(\frac{\partial y}{\partial A_{cp}}\Big),\quad "
        r"\alpha_{cp} = \frac{g_{cp}^2}{2 g_{cp}^2 + g_{cp}^3 \sum_q A_{cq}},\quad g = \frac{\partial "
        r"y}{\partial A}",
        differs="The score is the logit; the authors' derivation takes its exponential, which overflows. "
        "Where the denominator is zero the weight is zero. Nothing is scaled to [0, 1].",
        sources=(
            doi(
                "Chattopadhyay et al., Grad-CAM++: generalized gradient-based visual explanations for deep "
                "convolutional networks, WACV 2018",
                "10.1109/WACV.2018.00097",
            ),
        ),
    ),
    "score_cam": Text(
        title="Score-CAM",
        idea="A class activation map without gradients: each channel, resized and scaled to [0, 1], masks "
        "the image, and what the class then scores is the channel's weight. One forward pass for "
        "each channel.",
        equation=r"w = \mathrm{softmax}_c\big(y(x \odot s(A_c)) - y(0)\big),\quad L = \mathrm{relu}\Big(\sum_c "
        r"w_c A_c\Big)",
        differs="The score is the logit. Channels pass in chunks that fit the memory, not one by one. "
        "Nothing is scaled to [0, 1] at the end.",
        sources=(
            arxiv(
                "Wang et al., Score-CAM: score-weighted visual explanations for convolutional neural "
                "networks, CVPR workshops 2020",
                "1910.01279",
            ),
        ),
    ),
    "gradient": Text(
        title="Gradient",
        idea="How much the score changes when a pixel does. Every later method is measured against it.",
        equation=r"R = \frac{\partial y}{\partial x}",
        differs="The sign is kept; the authors show the largest magnitude over the channels. Equal to "
        "captum's Saliency with `abs=False`.",
        sources=(
            arxiv(
                "Simonyan, Vedaldi & Zisserman, Deep inside convolutional networks, ICLR workshops 2014", "1312.6034"
            ),
        ),
    ),
    "input_x_gradient": Text(
        title="Input times gradient",
        idea="Each pixel times its gradient: the first-order share of the pixel in the score. On a "
        "network without biases whose only nonlinearity is the ReLU it sums to the score.",
        equation=r"R = x \odot \frac{\partial y}{\partial x}",
        differs="None known; equal to captum's.",
        sources=(
            arxiv(
                "Shrikumar et al., Not just a black box: learning important features through propagating "
                "activation differences, 2016",
                "1605.01713",
            ),
        ),
    ),
    "smooth_grad": Text(
        title="SmoothGrad",
        idea="The gradient of a deep network is noisy from pixel to pixel; here it is averaged over noisy "
        "copies of the image.",
        equation=r"R = \frac{1}{m} \sum_{i=1}^m \frac{\partial y}{\partial x}(x + \epsilon_i),\quad \epsilon_i "
        r"\sim \mathcal N\big(0, (\nu\,(\max x - \min x))^2\big)",
        differs="The sign is kept. The noise comes from a seed and is the same for every image of a batch "
        "and on every device.",
        sources=(arxiv("Smilkov et al., SmoothGrad: removing noise by adding noise, 2017", "1706.03825"),),
        example={"samples": 4},
    ),
    "integrated_gradients": Text(
        title="Integrated gradients",
        idea="The gradient integrated along the straight line from a baseline image to the image, times "
        "the way there. What the pixels get adds up to the score minus the baseline's "
        "(completeness).",
        equation=r"R = (x - b) \odot \int_0^1 \frac{\partial y}{\partial x}\big(b + \alpha (x - b)\big)\, "
        r"d\alpha",
        differs="Gauss-Legendre nodes as in captum, to which it is equal; the authors' code sums at even "
        "steps. The baseline is zero in the network's own units, which for most networks is the mean "
        "color, not black.",
        sources=(arxiv("Sundararajan, Taly & Yan, Axiomatic attribution for deep networks, ICML 2017", "1703.01365"),),
        example={"steps": 8},
    ),
    "guided_backprop": Text(
        title="Guided backpropagation",
        idea="The gradient, but at every ReLU only its positive part passes on. The pictures are crisp "
        "and hardly depend on the class: read them as what the network sees at all.",
        equation=r"g_{\mathrm{in}} = [x > 0]\; \mathrm{relu}(g_{\mathrm{out}}) \quad\text{at each ReLU}",
        differs="Functional, in-place and shared ReLUs are guided, too. A smooth relative (SiLU, GELU) "
        'passes the positive part times its derivative. `profile="reference"` is TorchRay\'s map, the '
        "largest magnitude over the channels.",
        sources=(
            arxiv("Springenberg et al., Striving for simplicity: the all convolutional net, ICLR 2015", "1412.6806"),
        ),
    ),
    "full_grad": Text(
        title="FullGrad",
        idea="A network of ReLUs is its input times its gradient plus each bias times that bias's "
        "gradient. All these terms, as maps of absolute values, are added up.",
        equation=r"L = \psi\Big(x \odot \frac{\partial y}{\partial x}\Big) + \sum_\ell \sum_c \psi\Big(b_{\ell "
        r"c}\, \frac{\partial y}{\partial z_{\ell c}}\Big)",
        differs="Batch norms are seen as they are, with what they add to a signal of zero as their bias. "
        "Maps are resized without aligned corners, like every map here; the authors align them.",
        sources=(
            arxiv(
                "Srinivas & Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019",
                "1905.00780",
            ),
        ),
    ),
    "deep_lift": Text(
        title="DeepLIFT, rescale rule",
        idea="What each pixel's difference from a baseline adds to the difference of the scores, layer by "
        "layer: at a nonlinearity, by the quotient of the differences in place of the derivative.",
        equation=r"m = \frac{f(x) - f(b)}{x - b} \quad\text{at each nonlinearity, in place of } f'(x)",
        differs="Computed by captum, which needs a module of its own for each call of a nonlinearity; shared "
        "ones are split on a copy. Where captum would take the plain gradient unseen, the network is "
        "refused.",
        sources=(
            arxiv(
                "Shrikumar, Greenside & Kundaje, Learning important features through propagating activation "
                "differences, ICML 2017",
                "1704.02685",
            ),
        ),
    ),
    "deep_lift_shap": Text(
        title="DeepLIFT averaged over baselines",
        idea="DeepLIFT from several baselines, averaged: an approximation of Shapley values.",
        equation=r"R = \frac{1}{|B|} \sum_{b \in B} R^{\mathrm{DeepLIFT}}(x, b)",
        differs="Computed by captum; the limits of `deep_lift` apply. The default baselines are drawn from a seed.",
        sources=(
            arxiv("Lundberg & Lee, A unified approach to interpreting model predictions, NeurIPS 2017", "1705.07874"),
        ),
        example={"baselines": 2},
    ),
    "gradient_shap": Text(
        title="Gradient SHAP (expected gradients)",
        idea="The way from the baseline times the gradient, at random points of the line between them: "
        "integrated gradients by sampling, with noise if wanted.",
        equation=r"R = \mathbb E_{\alpha \sim U(0, 1)} \Big[(x - b) \odot \frac{\partial y}{\partial x}\big(b "
        r"+ \alpha (x - b)\big)\Big]",
        differs="Computed by captum, each image with its own random state, so that a batch does not matter.",
        sources=(
            arxiv("Lundberg & Lee, A unified approach to interpreting model predictions, NeurIPS 2017", "1705.07874"),
            arxiv(
                "Erion et al., Improving performance of deep learning models with axiomatic attribution "
                "priors and expected gradients, Nature Machine Intelligence 2021",
                "1906.10670",
            ),
        ),
        example={"samples": 4},
    ),
}
