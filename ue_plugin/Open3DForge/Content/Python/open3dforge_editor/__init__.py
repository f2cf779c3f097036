"""Open3DForge inside the Unreal Editor: menus, tab, jobs, and the import of what comes back.

One rule holds everywhere: ``unreal`` is called on the game thread only, the network from worker threads only, and
the two meet in ``game_thread``'s queue.
"""

__version__ = "0.1.0"
