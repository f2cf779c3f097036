"""Four pictures of what is selected in the level, ready to be forged from."""

from unreal_scripts.capture.four_views import CapturedView, capture_selected

__all__ = ["CapturedView", "capture_selected"]
