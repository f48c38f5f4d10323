"""Pure training steps and what they need: losses, schedules, state, checkpoints, evaluation."""
