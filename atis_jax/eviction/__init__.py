"""Which words of a text a decoder's cache keeps: policies, budgets, and what a text loses by them."""
