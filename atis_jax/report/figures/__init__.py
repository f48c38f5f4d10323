"""One file a figure. Each builder takes the run's files and returns a ``Section``, or raises ``Absent``."""
