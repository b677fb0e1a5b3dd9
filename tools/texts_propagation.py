"""The methods that carry relevance from layer to layer."""

from __future__ import annotations

from method_text import Source, Text, arxiv, doi

TEXTS = {
    "ae": Text(
        title="Attribution Equilibrium",
        idea="The last feature map, weighted by its gradient, speaks for and against the class. Going "
        "down, at each layer the positive part is scaled to +1 and the negative to -1, carried "
        "along, and the same is taken from every activated neuron, so that what matters little turns "
        "negative. Little positive relevance is left, and on the object. `gamma`, from 1 to 2, keeps "
        "more of it.",
        equation=r"R \leftarrow C(R) + A(R^+) + U(R^-) - \Psi \quad\text{(Eq. 8 to 12)},\qquad \sum R = \gamma "
        r"- 2",
        differs='`profile="reference"` equals the authors\' code on seven networks; `"paper"` is the '
        "equations for any architecture. [The method](../method.md) lists where they part. "
        '`"fine"` is our own: the equations with a sharper rule near the pixels, for residual and bottleneck '
        "networks, whose maps are smooth otherwise.",
        sources=(
            arxiv(
                "Nam & Lee, Illuminating salient contributions in neuron activation with Attribution "
                "Equilibrium, IEEE T-PAMI 2024",
                "2205.11109",
            ),
        ),
        example={"gamma": 1.5},
    ),
    "eb": Text(
        title="Excitation backprop",
        idea="The probability that a neuron wins when at each layer a winner is drawn among those that "
        "excite it. Never negative.",
        equation=r"P_i = x_i \sum_j \frac{w_{ij}^+ P_j}{\sum_{i'} x_{i'} w_{i'j}^+}",
        differs='`"paper"` lets signed pixels excite by `x+ w+` and `x- w-`, and keeps the sum at every pool '
        'and sum; `"reference"` equals TorchRay\'s.',
        sources=(
            doi(
                "Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018 (ECCV 2016)",
                "10.1007/s11263-017-1059-x",
            ),
        ),
    ),
    "contrastive_eb": Text(
        title="Contrastive excitation backprop (c*EB)",
        idea="Excitation of the class less that of its opposite, the same unit with its weights negated. "
        "What excites both cancels, so the map is the class's own.",
        equation=r"P = P(w_t) - P(-w_t) \quad\text{at the contrast layer, then down to the map's layer}",
        differs='`"paper"` is signed; `"reference"` sets negative values to zero as TorchRay does, and '
        "equals it. Both layers are found for any network; TorchRay names them for three.",
        sources=(
            doi(
                "Zhang et al., Top-down neural attention by excitation backprop, IJCV 2018 (ECCV 2016)",
                "10.1007/s11263-017-1059-x",
            ),
        ),
    ),
    "lrp_composite": Text(
        title="LRP with a composite of rules (LRP-COMP)",
        idea="Relevance is shared out in proportion to contributions, with a rule per kind of layer: box "
        "at the pixels, gamma in convolutions, epsilon in linear layers. The sum is kept but for "
        "biases and stabilizers.",
        equation=r"R_i = \sum_j \frac{x_i\, (w_{ij} + \gamma w_{ij}^+)}{\sum_{i'} x_{i'} (w_{i'j} + \gamma "
        r"w_{i'j}^+)} R_j",
        differs='The composites are zennit\'s; `"reference"` equals it on VGG-11 and ResNet-18. `"paper"` '
        "takes the image's own extremes for the box, where zennit takes -3 and 3. Batch norms are "
        "folded in numerically; the model is not changed.",
        sources=(
            doi("Montavon et al., Layer-wise relevance propagation: an overview, 2019", "10.1007/978-3-030-28954-6_10"),
            arxiv(
                "Kohlbrenner et al., Towards best practice in explaining neural network decisions with LRP, IJCNN 2020",
                "1910.09840",
            ),
        ),
    ),
    "lrp_alpha_beta": Text(
        title="LRP alpha-beta",
        idea="Raising and lowering contributions are shared out apart, with factors alpha and beta = "
        "alpha - 1. At alpha 1 nothing is negative if the score is positive.",
        equation=r"R_i = \sum_j \Big(\alpha \frac{(x_i w_{ij})^+}{\sum_{i'} (x_{i'} w_{i'j})^+} - \beta "
        r"\frac{(x_i w_{ij})^-}{\sum_{i'} (x_{i'} w_{i'j})^-}\Big) R_j",
        differs='`"reference"` is what the released code of RAP and AGF computes under that name: `x+ w+` '
        "and `x- w-` normalized each alone, 1e-9 in every denominator.",
        sources=(
            doi(
                "Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise "
                "relevance propagation, PLOS ONE 2015",
                "10.1371/journal.pone.0130140",
            ),
        ),
    ),
    "deep_taylor": Text(
        title="Deep Taylor decomposition",
        idea="Relevance as the first-order term of a Taylor expansion of each neuron: the z+ rule in "
        "every layer and the box rule at the pixels. Nothing is negative if the score is positive.",
        equation=r"R_i = \sum_j \frac{x_i w_{ij}^+}{\sum_{i'} x_{i'} w_{i'j}^+} R_j",
        differs="`lrp_alpha_beta` at alpha 1 by another name. Batch norms pass relevance; the authors' "
        "networks have none.",
        sources=(
            doi(
                "Montavon et al., Explaining nonlinear classification decisions with deep Taylor "
                "decomposition, Pattern Recognition 2017",
                "10.1016/j.patcog.2016.11.008",
            ),
        ),
    ),
    "contrastive_lrp": Text(
        title="Contrastive LRP (c*LRP, CLRP, SGLRP)",
        idea="Relevance of the class less that of the others, brought to the same total: the sum is zero, "
        "and what serves every class cancels.",
        equation=r"R = R_t - R_o\, \frac{\sum R_t}{\sum R_o}",
        differs="`variant` chooses what the contrast is: the AE paper's c*LRP (`others`), both of Gu et al., "
        "or SGLRP. Gu et al. show the positive part alone; here the map is signed. "
        '`profile="reference"` equals the released code of each.',
        sources=(
            arxiv(
                "Gu, Yang & Tresp, Understanding individual decisions of CNNs via contrastive "
                "backpropagation, ACCV 2018",
                "1812.02100",
            ),
            arxiv(
                "Iwana, Kuroki & Uchida, Explaining convolutional neural networks using softmax gradient "
                "layer-wise relevance propagation, ICCV workshops 2019",
                "1908.04351",
            ),
        ),
    ),
    "relevance_cam": Text(
        title="Relevance-CAM",
        idea="A class activation map whose channels are weighted by their mean relevance, which starts as "
        "+1 at the class and a little negative at every other. Can be read at layers where Grad-CAM "
        "is noise.",
        equation=r"L = \sum_c \Big(\frac{1}{|P|} \sum_p R_{cp}\Big) A_c,\quad R_{\mathrm{logits}} = [i = t] - "
        r"\tfrac{1}{C} [i \ne t]",
        differs='`"paper"` is z+ without biases. `"reference"` equals the released code, whose denominators '
        "count a convolution's bias twice. No ReLU and no scaling in either.",
        sources=(
            Source(
                "Lee et al., Relevance-CAM: your model already knows where to look, CVPR 2021",
                "https://openaccess.thecvf.com/content/CVPR2021/html/Lee_Relevan"
                "ce-CAM_Your_Model_Already_Knows_Where_To_Look_CVPR_2021_paper.html",
            ),
        ),
    ),
    "rsp": Text(
        title="Relative sectional propagation (RSP)",
        idea="Friendly and hostile relevance go down apart, each to the neurons that fire where it "
        "arrives: the weights are replaced by the correlation of activity with relevance. A uniform "
        "shift restores the sum.",
        equation=r"g^\pm = \frac{\partial}{\partial w} \big\langle R^\pm,\, w * x^+ \big\rangle,\quad C^\pm = "
        r"x^+ \odot g^{\pm\top}\Big(\frac{R^\pm}{g^\pm * x^+}\Big),\quad R \leftarrow 2 (C^+ - C^-) - "
        r"\text{shift}",
        differs="The rule is the released code's in both profiles; there the purging of the paper does "
        'nothing. `"reference"` also loses relevance at exact zeros of a batch norm. One class; the '
        "code's several labels are not offered.",
        sources=(
            arxiv(
                "Nam, Choi & Lee, Interpreting deep neural networks with relative sectional propagation by "
                "analyzing comparative gradients and hostile activations, AAAI 2021",
                "2012.03434",
            ),
        ),
    ),
    "agf": Text(
        title="Attribution guided factorization (AGF)",
        idea="Relevance and gradient go down together. At each layer, positions that resemble the "
        "positively relevant ones more than the negatively relevant ones, in activation and in "
        "gradient, are raised, at the cost of all others.",
        equation=r"R \leftarrow C + \mathrm{Res} - \frac{\sum \mathrm{Res}}{|\{C \ne 0\}|} [C \ne 0],\quad "
        r"\mathrm{Res} = \frac{F_x + M}{1 + e^{-C}} + F_{\partial x} + A",
        differs="The released rules, which are written for VGG and ResNet, on any network: a convolution "
        "with a kernel larger than 1x1 adds all residuals, other layers share plainly. Equal to the "
        "released code on its networks.",
        sources=(
            arxiv(
                "Gur, Ali & Wolf, Visualization of supervised and self-supervised neural networks via "
                "attribution guided factorization, AAAI 2021",
                "2012.02166",
            ),
        ),
    ),
    "rap": Text(
        title="Relative attributing propagation (RAP)",
        idea="The class's relevance goes down by raising contributions and once more by lowering ones; a "
        "uniform shift of the reached neurons restores the sum, so that unimportant neurons turn "
        "negative. Positive is what the network used at all, more than what speaks for one class.",
        equation=r"R \leftarrow C - \frac{\sum C - \sum R}{|\{C \ne 0\}|} [C \ne 0]",
        differs="The layers' rule is the released code's in both profiles, its ResNet code is for "
        'bottlenecks alone, this for any network. `"reference"` divides pools and sums by signed '
        "values as there.",
        sources=(
            arxiv(
                "Nam et al., Relative attributing propagation: interpreting the comparative contributions of "
                "individual units in deep neural networks, AAAI 2020",
                "1904.00605",
            ),
        ),
    ),
}
