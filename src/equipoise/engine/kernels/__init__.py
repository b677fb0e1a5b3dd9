"""Fused paths of rules whose plain equations are in `equipoise.rules`; tests hold the two equal."""
