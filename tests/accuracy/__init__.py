"""Baked maps against analytic truth and independent referees."""
