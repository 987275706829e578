"""What the paper's network and the solvers cost in time, memory and arithmetic."""
