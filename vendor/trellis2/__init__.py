"""TRELLIS.2 inference in plain PyTorch: the official weights, nothing to compile. See README.md beside this file."""
