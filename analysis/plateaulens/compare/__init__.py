"""From distributions over base prompts to differences, distances and intervals. The unit is always the base prompt."""
