"""Run and summary datasets on disk: their schema, writing, reading and checking. No torch."""
