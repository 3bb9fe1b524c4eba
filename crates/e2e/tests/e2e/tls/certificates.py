"""Makes certificates that OpenSSL's tools refuse to make, and lists of revoked ones.

certificates.py DIRECTORY: NAME.pem has a certificate and those that lead to ca.pem, NAME.key the key.
"""
import datetime, ipaddress, os, sys, warnings
warnings.simplefilter("ignore")
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

os.chdir(sys.argv[1])
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.utcnow()
PEM = serialization.Encoding.PEM
CRITICAL = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")


def curve():
    return ec.generate_private_key(ec.SECP256R1())


def dn(text, validate=True):
    kind = _ASN1Type.UTF8String
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, kind, _validate=validate)])


class Party:
    """A certificate with its key and those above it but for the first."""

    def __init__(self, name, above=None, *, is_ca=False, key=None, begins=-2, ends=30, extra=(),
                 usages=(ExtendedKeyUsageOID.CLIENT_AUTH,), serial=None, subject=None,
                 signed_as=None):
        self.key, self.above = key or curve(), above
        self.subject = subject or dn(name)
        issuer = above or self
        builder = x509.CertificateBuilder(
            issuer_name=signed_as or issuer.subject, subject_name=self.subject,
            public_key=self.key.public_key(), serial_number=serial or x509.random_serial_number(),
            not_valid_before=NOW + begins * DAY, not_valid_after=NOW + ends * DAY)
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), True)
        if usages and not is_ca:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), False)
        for value in extra:
            is_critical = not isinstance(value, x509.SubjectAlternativeName)
            builder = builder.add_extension(value, is_critical)
        self.certificate = builder.sign(issuer.key, hashes.SHA256())
        self.chain = [self] + (above.chain if above and above.above else [])

    def pem(self):
        return self.certificate.public_bytes(PEM)

    def write(self, name, beside=()):
        parties = self.chain + list(beside)
        with open(name + ".pem", "wb") as file:
            file.write(b"".join(party.pem() for party in parties))
        kind = serialization.PrivateFormat.PKCS8
        with open(name + ".key", "wb") as file:
            file.write(self.key.private_bytes(PEM, kind, serialization.NoEncryption()))


def host(*names):
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in names])


def raw(subject=None, *names):
    return {"subject": subject, "extra": [x509.SubjectAlternativeName(list(names))] if names else []}


ca = Party("authority", is_ca=True)
ca.write("ca")
# Another one of the same name.
other = Party("authority", is_ca=True)

Party("good", ca, extra=[host("good.example")], serial=1000).write("good")
Party("expired", ca, begins=-400, ends=-1).write("expired")
Party("future", ca, begins=2).write("future")
Party("stranger", other).write("stranger")
Party("self", key=curve()).write("self")
Party("server", ca, usages=[ExtendedKeyUsageOID.SERVER_AUTH]).write("server")
Party("any", ca, usages=()).write("any")
Party("revoked", ca, serial=4711).write("revoked")
point = [x509.UniformResourceIdentifier("http://here.example/list.crl")]
point = x509.DistributionPoint(point, None, None, None)
Party("pointed", ca, extra=[x509.CRLDistributionPoints([point])]).write("pointed")
Party("short", ca, key=rsa.generate_private_key(65537, 1024)).write("short")
Party("rsa", ca, key=rsa.generate_private_key(65537, 2048)).write("rsa")
Party("ed25519", ca, key=ed25519.Ed25519PrivateKey.generate()).write("ed25519")
Party("is_ca", ca, is_ca=True).write("is_ca")
Party("critical", ca, extra=[CRITICAL]).write("critical")
Party("below", Party("no authority", ca, extra=[])).write("below_a_client")

above = ca
for number in range(10):
    above = Party(f"authority {number}", above, is_ca=True)
    if number + 1 in (1, 6, 7, 10):
        Party(f"chain{number + 1}", above).write(f"chain{number + 1}")

inside = x509.NameConstraints([x509.DNSName("inside.example")], None)
inside = Party("inside", ca, is_ca=True, extra=[inside])
Party("x", inside, extra=[host("a.inside.example")]).write("constrained")
Party("x", inside, extra=[host("a.outside.example")]).write("outside")

# Each of them might be the one that has signed it, by name; none has.
leaf = Party("candidates", other, signed_as=dn("candidate"))
leaf.write("candidates", [Party("candidate", ca, is_ca=True) for _ in range(100)])
leaf.write("many", [Party("candidate", ca, is_ca=True) for _ in range(1000)])


def names():
    email, uri = x509.RFC822Name, x509.UniformResourceIdentifier
    yield dn("a\r\nx-admin: yes", False), [x509.DNSName("b\r\nx-admin: yes")]
    yield dn("a\0b", False), [x509.DNSName("good.example\0.evil.example")]
    yield dn("b\u00fccher \u202e\u4e66", False), [uri("spiffe://a/\x1b[31m\"\\")]
    yield dn("100%0d%0a {user} {client_names}", False), [email("a@example.org"), uri("x:,DNS:root")]
    yield dn("root,O=admins+CN=x", False), [x509.DNSName("b,root")]
    yield dn("l" * 5000, False), [x509.DNSName("m" * 5000)]
    yield dn("\0" * 20000, False), []


for number, (subject, alternatives) in enumerate(names()):
    Party("", ca, **raw(subject, *alternatives)).write(f"name{number}")


def revoke(name, serials, by=ca, ends=30, where=None):
    builder = x509.CertificateRevocationListBuilder(
        by.subject, NOW - 20 * DAY, NOW + ends * DAY)
    builder = builder.add_extension(x509.CRLNumber(1), False)
    if where:
        full = [x509.UniformResourceIdentifier(where)]
        point = x509.IssuingDistributionPoint(full, None, False, False, None, False, False)
        builder = builder.add_extension(point, True)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder(serial, NOW - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    with open(name, "wb") as file:
        file.write(builder.sign(by.key, hashes.SHA256()).public_bytes(PEM))


revoke("list.crl", [4711, 4712])
revoke("none.crl", [])
revoke("both.crl", [1000, 4711])
revoke("old.crl", [4711], ends=-1)
revoke("other.crl", [4711], by=other)
revoke("elsewhere.crl", [4711], where="http://elsewhere.example/list.crl")
elsewhere = Party("elsewhere", is_ca=True)
revoke("stranger.crl", [4711], by=elsewhere)

SERVER = [ExtendedKeyUsageOID.SERVER_AUTH]


def site(name, above=ca, names=(), **more):
    local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName(list(names) or [local, x509.DNSName("localhost")])
    more = {"usages": SERVER, "extra": [names], **more}
    Party("site", above, **more).write(name)


site("site")
site("site_chain", Party("between", ca, is_ca=True))
site("site_expired", begins=-400, ends=-1)
site("site_future", begins=2)
site("site_elsewhere", names=[x509.DNSName("elsewhere.example")])
# Common names are no names (RFC 9525, section 2).
site("site_unnamed", extra=[], subject=dn("127.0.0.1"))
site("site_stranger", other)
site("site_self", None)
site("site_client", usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
site("site_outside", inside)
