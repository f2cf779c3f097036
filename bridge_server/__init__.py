"""Open3DForge: a photo, or a raw mesh, becomes a finished Unreal Engine asset."""

__version__ = "0.1.0"
