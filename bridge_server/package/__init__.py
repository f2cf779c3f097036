"""Packages: the folder and zip that leave the pipeline, their manifest, report and check."""
