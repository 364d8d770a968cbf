"""Certificates for listeners in TLS."""

from __future__ import annotations

from tests.support.pems import CertificateAuthority

AUTHORITY = CertificateAuthority("visitors trust it")
IN_TLS = "ssl:{port}:interface=127.0.0.1:privateKey=a.key:certKey=a.pem"
