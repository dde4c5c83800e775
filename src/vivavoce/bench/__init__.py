"""The numbers that the design promises, measured on the machine at hand: films, first bytes, memory, start, health."""
