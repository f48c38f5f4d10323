"""Data sets: what an example is, where it is from, how it is varied; read and batched by Grain."""
