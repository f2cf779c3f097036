"""Client of Unreal's Python remote execution: find running editors, run code in one, get the answer whole."""

from unreal_scripts.remote_execution.client import Editor, RemoteCommandFailed, connect
from unreal_scripts.remote_execution.discovery import EditorNode, Endpoint, find_editors
from unreal_scripts.remote_execution.errors import EditorNotFound, EditorSilent, RemoteExecutionError
from unreal_scripts.remote_execution.messages import CommandResult, ExecMode

__all__ = [
    "CommandResult",
    "Editor",
    "EditorNode",
    "EditorNotFound",
    "EditorSilent",
    "Endpoint",
    "ExecMode",
    "RemoteCommandFailed",
    "RemoteExecutionError",
    "connect",
    "find_editors",
]
