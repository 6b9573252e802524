"""How fast the engine is: against the arithmetic it has to do, against other ways, and as the work grows."""
