"""Many chips: Monte-Carlo evaluation of a trained design over chips, temperatures and imperfections."""
