"""The means: one folder a kind, with ``base.py`` (the protocol and the table) and one file an implementation."""
