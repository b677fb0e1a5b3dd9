"""Pack what TorchRay and captum computed into ``gradient.npz``: Grad-CAM, guided backprop, Integrated Gradients.

    python tests/golden/make_gradient.py FOLDER_WITH_NPZ_FILES

As `make.py`: one attribution per network, on `helpers.golden_network` and `helpers.golden_image`, kept as
float32. Of the signed ``(1, 3, 64, 64)`` arrays every third row is kept, to stay small.
"""

import sys
from pathlib import Path

import numpy as np

METHODS = (
    "GradCAM_torchray", "GuidedBackprop_torchray", "captum_GuidedBackprop", "captum_IntegratedGradients",
    "captum_LayerGradCam",
)  # fmt: skip


def main(source: Path) -> None:
    packed = {}
    for method in METHODS:
        for file in sorted((source / method).glob("*.npz")):
            case = np.load(file)
            found = case["attribution"].astype(np.float32)
            key = f"{method}/{case['model']}"
            packed[f"{key}/attribution"] = found[:, :, ::3] if found.shape[1] == 3 else found
            packed[f"{key}/size"] = np.asarray(case["image_size"])
            packed[f"{key}/target"] = np.asarray(case["target"])
            packed[f"{key}/layer"] = np.asarray(str(case["layer"]))
    np.savez_compressed(Path(__file__).parent / "gradient.npz", **packed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
