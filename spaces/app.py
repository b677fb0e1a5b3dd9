"""The page of `equipoise serve`, on the address and port that a host expects."""

import os
import sys

from equipoise.app.server import serve

# the host shows the page in a frame of its own, under a name that it tells
ORIGINS = (f"https://{os.environ['SPACE_HOST']}", "https://huggingface.co") if "SPACE_HOST" in os.environ else ()
HOST, PORT = "0.0.0.0", int(os.environ.get("PORT", "7860"))  # noqa: S104  # a Space is reached from outside

if __name__ == "__main__":
    sys.exit(serve(("efficientnet_lite0",), host=HOST, port=PORT, examples=None, origins=ORIGINS))
