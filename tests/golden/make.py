"""Pack the outputs of the authors' implementation that the tests compare with.

    python tests/golden/make.py FOLDER_WITH_NPZ_FILES

Each source file holds one attribution, computed by the released code on the deterministic network and
image of `helpers.golden_network` and `helpers.golden_image`. Only the numbers are kept, as float32
(relative rounding 6e-8); the largest of methods other than AE at every third row and column, which keeps
this folder small and still catches a wrong rule anywhere.
"""

import sys
from pathlib import Path

import numpy as np


def main(source: Path) -> None:
    for folder in sorted(path for path in source.iterdir() if path.name in METHODS):
        packed = {}
        for file in sorted(folder.glob("*.npz")):
            case = np.load(file)
            attribution = case["attribution"]
            if attribution.nbytes > LARGE and folder.name != "AE":
                packed[f"{file.stem}/step"] = np.asarray(3)
                attribution = attribution[..., ::3, ::3]
            packed[f"{file.stem}/attribution"] = attribution.astype(np.float32)
            packed[f"{file.stem}/size"] = np.asarray(case["image_size"])
            packed[f"{file.stem}/model"] = np.asarray(str(case["model"]))
            if "gamma" in case:
                packed[f"{file.stem}/gamma"] = np.asarray(case["gamma"])
        np.savez_compressed(Path(__file__).parent / f"{folder.name}.npz", **packed)


METHODS = (
    "AE", "AGF", "CLRP", "EB", "LRP_a1_rap", "LRP_a2_agf", "RAP", "RSP", "RelevanceCAM", "SGLRP", "c_star_LRP", "cEB",
    "zennit_EpsilonAlpha2Beta1", "zennit_EpsilonGammaBox", "zennit_EpsilonPlus",
)  # fmt: skip

LARGE = 90_000  # bytes in float64; larger ones are kept at every third row and column

if __name__ == "__main__":
    main(Path(sys.argv[1]))
