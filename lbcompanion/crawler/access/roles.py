"""The roles of the admin listener's users, and the roles that its endpoints need."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The role that an endpoint needs. An operator may do what a viewer may; without users everybody is an operator."""

    ANYBODY = "anybody"
    VIEWER = "viewer"
    OPERATOR = "operator"


#: The roles that a user may have.
USER_ROLES = (Role.VIEWER, Role.OPERATOR)
