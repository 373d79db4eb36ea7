"""The reproduction of WISP's published figures, section by section; `benchmarks/paper.py` runs it."""
