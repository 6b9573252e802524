"""The activation types that ship, one file each; a file that is put here is known."""
