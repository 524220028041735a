"""The mathematics: levels, predictions, losses, solvers, guidance. It sees callables, never networks."""
