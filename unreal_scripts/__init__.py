"""What runs inside an Unreal Editor, and the client that reaches an editor from outside. Standard library only."""
