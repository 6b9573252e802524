"""From a perturbation curve to the steps at which something happens, under two conventions."""
