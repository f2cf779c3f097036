"""Tests mirror the tree; ``shapes`` holds analytic meshes that many of them share."""
