"""Wrong inputs: what they are made of, and how each is tried. `benchmarks/fuzz.py` is the command."""
