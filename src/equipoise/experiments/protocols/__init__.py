"""The protocols of the paper's evaluations: how something is measured, apart from who is measured."""
