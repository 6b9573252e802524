"""`sensitivity_absolute`: from the base A towards the target T in steps of one length, short of it or past it."""

from plateaulens.collect.experiments.sensitivity import ends

__all__ = ["ends"]
