"""The verbs: one file a stage; the numerics are plain functions beside it."""
