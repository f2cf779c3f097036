"""Why an import was refused or given up."""


class ImportRefused(Exception):
    """The package, the destination or the editor does not allow this import; the message says what to do."""


class ImportCancelled(Exception):
    """The user asked to stop; everything that the import created has been removed again."""
