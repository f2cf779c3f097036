"""Side-by-side measurements, one file a question; results as JSON and a table in ``results/``."""
