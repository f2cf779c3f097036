"""What can go wrong between this process and an editor; every message says which setting to look at."""

SETTINGS_PAGE = "Project Settings > Plugins > Python > Python Remote Execution"


class RemoteExecutionError(Exception):
    """Base of all errors here."""


class EditorNotFound(RemoteExecutionError):
    """No editor answered, or none with the wished name; the message is the diagnosis."""


class EditorSilent(RemoteExecutionError):
    """An editor that was there accepted a command and then gave no answer in time, or went away."""
