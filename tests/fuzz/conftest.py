"""Whatever is read from outside may hold anything: then it is one line and another exit status, never a traceback.

These tests mirror no file of the source. Each takes one kind of file and gives it to the function that the command line
reads it with, or to the command line itself: random bytes, sound files with bytes flipped, cut off, inserted or left
out, and JSON or TOML of the right keys with wrong values. Where a changed file is still read, what comes of it is what
another reader makes of it. The examples are the same at every run.
"""
