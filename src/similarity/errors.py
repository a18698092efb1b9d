"""The one exception that a user is meant to read."""


class UserError(Exception):
    """Something the user can correct; the message is one line that says what is wrong, where, and how to correct it."""
