"""Stands for a decoder that a file has got hold of: it does what the file's name says."""

import os
import sys
import time
from pathlib import Path

from equipoise.app import decoder

WRITTEN = Path(os.environ.get("WRITTEN", "written"))
DOES = {
    "hangs": lambda: time.sleep(3600),
    "crashes": os.abort,
    "ends": lambda: os._exit(0),
    "fills": lambda: [bytearray(1 << 30) for _ in range(64)],
    "writes": lambda: print(WRITTEN.write_bytes(b"x" * 10_000_000)),
    "prints": lambda: (os.write(1, b"{not an answer\n"), print("nor this", flush=True)),
}


def act(question):
    DOES.get(question["path"], lambda: None)()
    return {"names": [question["path"]]}, b""


if __name__ == "__main__":
    decoder.reply = act
    sys.exit(decoder.main())
