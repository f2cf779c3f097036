"""The nouns: frozen, slotted dataclasses over read-only arrays. Operations return new values."""
