"""From measured or simulated I(V) curves to the OTA parameters of a hardware preset, their spread, and its file."""
