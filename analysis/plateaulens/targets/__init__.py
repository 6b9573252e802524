"""The activation types: what a base activation is moved towards, one file each behind one Protocol (needs torch)."""
