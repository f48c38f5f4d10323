"""What a run does from start to end; owns every side effect (files, progress, plots)."""
