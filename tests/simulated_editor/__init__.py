"""A strict stand-in for the Unreal Editor: the real API surface of 5.4, 5.5 and 5.6 over a small engine.

It runs as a process of its own in a bare Python. What the chosen version does not have raises; what it has but this
engine does not act out raises ``NotSimulated``, so no test passes by accident.
"""
