"""Every error that equipoise raises on purpose.

Each is an `EquipoiseError` and, where Python has a word for the mistake, that word too, so that
``except ValueError`` keeps working for callers who never heard of equipoise.
"""


class EquipoiseError(Exception):
    """Base of every error raised on purpose; its text is one sentence a user can act on."""


class UnknownNameError(EquipoiseError, KeyError, ValueError):
    """A name that no registry holds; the text lists the nearest names."""

    def __str__(self) -> str:  # KeyError would print the repr of the sentence
        return Exception.__str__(self)


class DuplicateNameError(EquipoiseError, ValueError):
    """Two entries of one registry claim the same name."""


class OptionError(EquipoiseError, ValueError):
    """An option outside its range; the text gives the range."""


class UnknownOptionError(EquipoiseError, TypeError):
    """A keyword that the method does not take; the text lists those it takes."""


class ShapeError(EquipoiseError, ValueError):
    """A tensor of the wrong shape or dtype; the text prints both."""


class NoScoresError(ShapeError):
    """A network's result that is no class scores ``(n, C)``, or several things that may be.

    Attributes:
        result: What it returned, or the part of it that ``output=`` chose.
    """

    def __init__(self, text: str, result: object = None) -> None:
        super().__init__(text)
        self.result = result


class TargetError(EquipoiseError, ValueError):
    """A target that is no class of this network; the text gives the range."""


class ModelModeError(EquipoiseError, RuntimeError):
    """A model in train mode whose forward pass is random or changes statistics."""


class NotFiniteError(EquipoiseError, ValueError):
    """A pixel, a weight or a score that is NaN or infinite; the text says which."""


class NetworkError(EquipoiseError, RuntimeError):
    """The network's own forward pass failed; the text has its words, and what about the inputs may be the cause."""


class UnsupportedModelError(EquipoiseError, ValueError):
    """A model that equipoise does not explain, such as a transformer."""


class UnsupportedOperationError(EquipoiseError, NotImplementedError):
    """Relevance reached an operation that has no rule; the text says which, where, and what is near."""


class RuleNotApplicableError(EquipoiseError, NotImplementedError):
    """A rule says of an operation that it is not made for it; `equipoise.engine.propagate` adds which one and where."""


class UntracedTensorError(EquipoiseError, RuntimeError):
    """A tensor whose origin the engine did not see, or that was changed behind its back through a view."""


class LayerError(EquipoiseError, ValueError):
    """A layer name that is absent, never runs, or does not lead to the class score."""


class ImageError(EquipoiseError, ValueError):
    """A file that cannot be read as an image."""


class MethodError(EquipoiseError, RuntimeError):
    """A method of a user's own that raised something; the text says what, and it is the cause."""


class WeightsError(EquipoiseError, OSError):
    """Weights that are missing, damaged, or do not fit the network."""


class MissingPackageError(EquipoiseError, ImportError):
    """An optional package that is not installed; the text says how to install it."""


class DescriptionError(EquipoiseError, ValueError):
    """A description of a network that is absent or contradicts itself; the text names file, key and the nearest key."""


class DataError(EquipoiseError, ValueError):
    """A data set that is absent, incomplete or contradicts itself; the text says where it was looked for."""
