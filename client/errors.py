"""The errors of the client, one tree.

ClientError
├── ContractError      a server's models, tensors or identity are not what the client needs
├── RowError           a row that can't be sent: wrong shape, dtype or index out of range
├── ServerError        the server can't be reached or answers with an error that stops the run
└── EmbeddedError      the embedded server can't be assembled, started or stopped
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of this package."""


class ContractError(ClientError):
    """A server's models, tensors or identity are not what the client needs."""


class RowError(ClientError):
    """A row that can't be sent: wrong shape, dtype or index out of range."""


class ServerError(ClientError):
    """The server can't be reached, or answers with an error that stops the run."""


class EmbeddedError(ClientError):
    """The embedded server can't be assembled, started or stopped."""


class WireError(Exception):
    """A call that failed; no ClientError, since it never leaves this package.

    status: gRPC's name of it, such as UNAVAILABLE; address: of the server that was asked.
    """

    def __init__(self, status: str, message: str, address: str) -> None:
        super().__init__(f"{status} from {address}: {message}")
        self.status = status
        self.message = message
        self.address = address
