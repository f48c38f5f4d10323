"""Exports of a finished run: the design bundle, the targets made from it, and each of them read back and measured."""
