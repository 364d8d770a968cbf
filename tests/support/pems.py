"""Certificates for tests, made for each run: an authority, and certificates that it signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class CertificateAuthority:
    """Signs certificates, or has another sign them: an authority under one."""

    def __init__(self, name: str, above: CertificateAuthority | None = None) -> None:
        self.name = _name(name)
        self._key = generate_private_key(SECP256R1())
        signer = above or self
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        # In their order of x509.KeyUsage: certificates and lists of revoked ones.
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = signer._sign(self.name, self._key, [(constraints, True), (usage, True)])

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def _sign(
        self, name: x509.Name, key: EllipticCurvePrivateKey, more: list[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(self.name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        # Since Python 3.13 certificates are checked strictly (ssl.VERIFY_X509_STRICT).
        identifiers: list[tuple[x509.ExtensionType, bool]] = [
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ]
        for extension, critical in [*more, *identifiers]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, SHA256())

    def write(self, folder: Path, stem: str, *names: str) -> tuple[Path, Path]:
        """A certificate for these names and addresses, and its key: ``STEM.pem`` and ``STEM.key``."""
        key = generate_private_key(SECP256R1())
        told: list[x509.GeneralName] = []
        for name in names:
            told.append(x509.IPAddress(ip_address(name)) if name[0].isdigit() or ":" in name else x509.DNSName(name))
        certificate = self._sign(_name(names[0]), key, [(x509.SubjectAlternativeName(told), False)])
        files = folder / f"{stem}.pem", folder / f"{stem}.key"
        files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files
