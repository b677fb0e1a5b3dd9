"""The engine: writes a forward pass down and carries relevance back along it.

It knows no method. A rule (`Rule`) is data and one equation; a `Composite` gives each operation of
the tape (`Trace`) its rule; `propagate` does the rest.
"""

from equipoise.engine.entrance import aside as aside
from equipoise.engine.entrance import check_mode as check_mode
from equipoise.engine.entrance import check_model as check_model
from equipoise.engine.entrance import check_pixels as check_pixels
from equipoise.engine.entrance import python_module as python_module
from equipoise.engine.linear_map import LinearMap as LinearMap
from equipoise.engine.operations import OPERATIONS as OPERATIONS
from equipoise.engine.operations import OpKind as OpKind
from equipoise.engine.operations import register as register
from equipoise.engine.outputs import Output as Output
from equipoise.engine.propagate import Passage as Passage
from equipoise.engine.propagate import check_images as check_images
from equipoise.engine.propagate import propagate as propagate
from equipoise.engine.propagate import with_unreached as with_unreached
from equipoise.engine.recorder import record as record
from equipoise.engine.relevance import Relevance as Relevance
from equipoise.engine.rule import Composite as Composite
from equipoise.engine.rule import Rule as Rule
from equipoise.engine.rule import Step as Step
from equipoise.engine.trace import OpCall as OpCall
from equipoise.engine.trace import Trace as Trace
from equipoise.engine.trace import Value as Value
