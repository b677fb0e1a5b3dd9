"""The methods that cover parts of the image, and the baseline."""

from __future__ import annotations

from method_text import Text, arxiv, doi

TEXTS = {
    "occlusion": Text(
        title="Occlusion",
        idea="A window slides over the image and covers it; where the score drops, the pixels mattered. A "
        "pixel takes the mean over the windows on it.",
        equation=r"R_p = \frac{1}{|W_p|} \sum_{w \in W_p} \big(y(x) - y(x \text{ without } w)\big)",
        differs="The authors show the score at the window's place; here it is the drop, spread over the "
        "window, as in captum, to which it is equal. The window's default is a seventh of each side.",
        sources=(
            arxiv("Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014", "1311.2901"),
        ),
        example={"window": 16},
    ),
    "rise": Text(
        title="RISE",
        idea="Thousands of random smooth masks; each counts as much as the class scores on the image seen "
        "through it. Needs nothing but the scores.",
        equation=r"R = \frac{1}{N\, \mathbb E[M]} \sum_{i=1}^N f(x \odot M_i)\, M_i",
        differs="4000 masks for every network; the authors take 8000 for ResNet-50. The masks come from a "
        "seed. Images are covered by zero in the network's own units, as there.",
        sources=(
            arxiv(
                "Petsiuk, Das & Saenko, RISE: randomized input sampling for explanation of black-box models, BMVC 2018",
                "1806.07421",
            ),
        ),
        example={"masks": 16},
    ),
    "extremal_perturbation": Text(
        title="Extremal perturbations",
        idea="The smooth mask of a given area through which the score is highest, found by gradient "
        "descent. Says how much of the image is enough.",
        equation=r"m^* = \arg\max_{m \in \mathcal M} \; y(m \otimes x) - \lambda\, \lVert \mathrm{sort}(m) - "
        r"r_a \rVert^2",
        differs="400 steps; the authors take 800. The mask starts at one half and its first step follows the "
        "score alone; theirs starts at one, where all places tie. Nothing is random.",
        sources=(
            arxiv(
                "Fong, Patrick & Vedaldi, Understanding deep networks via extremal perturbations and smooth "
                "masks, ICCV 2019",
                "1910.08485",
            ),
        ),
        example={"steps": 3},
    ),
    "lime": Text(
        title="LIME over squares",
        idea="A sparse linear model imitates the score while random squares of the image are covered; its "
        "coefficients are the map.",
        equation=r"\hat\beta = \arg\min_\beta \sum_i \pi(z_i) \big(y(x_{z_i}) - \beta^\top z_i\big)^2 + "
        r"\lambda \lVert \beta \rVert_1",
        differs="Squares in place of the authors' superpixels, so that nothing depends on a segmentation. "
        "Computed by captum with its similarity and scikit-learn's Lasso.",
        sources=(
            doi(
                "Ribeiro, Singh & Guestrin, Why should I trust you? Explaining the predictions of any "
                "classifier, KDD 2016",
                "10.1145/2939672.2939778",
            ),
        ),
        example={"samples": 30, "grid": 2, "penalty": 1e-06},
    ),
    "kernel_shap": Text(
        title="Kernel SHAP over squares",
        idea="As LIME with the weights for which a linear regression gives Shapley values: what each "
        "square adds, averaged over the orders in which squares could be uncovered.",
        equation=r"\pi(z) = \frac{M - 1}{\binom{M}{|z|}\, |z|\, (M - |z|)}",
        differs="Squares in place of superpixels. Computed by captum. 500 samples of 64 squares estimate; "
        "they are not exact.",
        sources=(
            arxiv("Lundberg & Lee, A unified approach to interpreting model predictions, NeurIPS 2017", "1705.07874"),
        ),
        example={"samples": 30, "grid": 2},
    ),
    "random": Text(
        title="Random",
        idea="A map that has seen nothing: uniform numbers that depend on the image's content, the class "
        "and a seed. What a metric gives it is the floor of that metric.",
        equation=r"R_p \sim U[0, 1)",
        differs="There is no other code.",
        sources=(
            arxiv(
                "Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018 (why a map must be compared "
                "with one that cannot know)",
                "1810.03292",
            ),
        ),
    ),
}
