//! Sessions between our own two ends, in memory: who is let in, and what is agreed on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, IoSlice};

use fairwater_tls::{
    Client, ClientAuth, ClientSettings, Identity, IdentityProblem, Mode, Server, ServerSettings,
    Session, Trust, TrustProblem, Version, parse_fingerprint,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};

/// An authority, as tests have it.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn trust(&self) -> Trust {
        Trust::read(self.pem().as_bytes()).unwrap()
    }

    /// A certificate with its key.
    fn pair(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "somebody");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    fn identity(&self, names: &[&str]) -> Identity {
        let (certificate, key) = self.pair(names, |_| {});
        Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    fn revokes(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// Carries bytes both ways until neither side has anything to say.
fn talk(client: &mut Session, server: &mut Session) -> io::Result<()> {
    loop {
        let mut moved = false;
        while client.wants_write() {
            let mut wire = Vec::new();
            client.give(&mut wire)?;
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                server.take(&mut rest)?;
            }
            moved = true;
        }
        while server.wants_write() {
            let mut wire = Vec::new();
            server.give(&mut wire)?;
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                client.take(&mut rest)?;
            }
            moved = true;
        }
        if !moved {
            return Ok(());
        }
    }
}

fn server(settings: ServerSettings) -> Server {
    Server::new(settings).unwrap()
}

fn one(identity: Identity) -> ServerSettings {
    ServerSettings { identities: vec![identity], ..ServerSettings::default() }
}

fn client(trust: Trust) -> ClientSettings {
    ClientSettings { trust: Some(trust), ..ClientSettings::default() }
}

/// A handshake; both ends, or why there is none.
fn meet(settings: ClientSettings, server: &Server, host: &str) -> io::Result<(Session, Session)> {
    meet_for(&[], settings, server, host)
}

/// The same, to speak one of these protocols.
fn meet_for(
    protocols: &[&str],
    settings: ClientSettings,
    server: &Server,
    host: &str,
) -> io::Result<(Session, Session)> {
    let client = Client::new(settings).unwrap().session(host, protocols).unwrap();
    let mut ends = (client, server.session().unwrap());
    talk(&mut ends.0, &mut ends.1)?;
    assert!(!ends.0.is_handshaking() && !ends.1.is_handshaking());
    Ok(ends)
}

#[test]
fn bytes_pass_both_ways_and_the_end_is_told() {
    let authority = Authority::new();
    let server = server(one(authority.identity(&["example.com"])));
    let (mut client, mut server) = meet(client(authority.trust()), &server, "example.com").unwrap();
    assert_eq!(client.write(&[IoSlice::new(b"hel"), IoSlice::new(b"lo")]).unwrap(), 5);
    talk(&mut client, &mut server).unwrap();
    let mut buffer = [0; 4];
    assert!(server.has_unread());
    assert_eq!((server.read(&mut buffer).unwrap(), &buffer), (4, b"hell"));
    assert!(server.has_unread());
    assert_eq!(server.read(&mut buffer).unwrap(), 1);
    assert!(!server.has_unread());
    assert_eq!(server.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    server.close();
    talk(&mut client, &mut server).unwrap();
    assert!(client.has_unread());
    assert_eq!(client.read(&mut buffer).unwrap(), 0);
    let agreed = server.agreed().unwrap();
    assert_eq!((agreed.server_name.as_str(), agreed.version), ("example.com", "TLSv1.3"));
}

#[test]
fn what_waits_to_be_sent_is_limited() {
    let authority = Authority::new();
    let server = server(one(authority.identity(&["a"])));
    let (mut client, _server) = meet(client(authority.trust()), &server, "a").unwrap();
    let block = vec![0; 1 << 20];
    let taken = client.write(&[IoSlice::new(&block)]).unwrap();
    assert!((252 << 10..=256 << 10).contains(&taken), "{taken}");
    assert_eq!(client.write(&[IoSlice::new(&block)]).unwrap(), 0);
}

#[test]
fn a_client_gets_the_certificate_that_it_asks_for() {
    let authority = Authority::new();
    let identities = [["first.example"], ["*.apps.example"], ["exact.apps.example"]];
    let identities = identities.iter().map(|names| authority.identity(names)).collect();
    let server = server(ServerSettings { identities, ..ServerSettings::default() });
    for host in ["first.example", "x.apps.example", "exact.apps.example", "EXACT.apps.example"] {
        let (client, _) = meet(client(authority.trust()), &server, host).unwrap();
        let peer = client.agreed().unwrap().peer;
        assert_eq!((peer.subject.as_str(), peer.fingerprint.len()), ("CN=somebody", 64));
    }
    // The first one, which does not fit.
    for host in ["apps.example", "a.b.apps.example", "other.example", "127.0.0.1"] {
        let error = meet(client(authority.trust()), &server, host).unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{host}: {error}");
        let anybody = ClientSettings::default();
        let (client, _) = meet(anybody, &server, host).unwrap();
        assert_eq!(client.agreed().unwrap().peer.names, "first.example");
    }
}

#[test]
fn only_the_endpoints_that_are_trusted_are_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let own = server(one(authority.identity(&["a.example", "127.0.0.1"])));
    for host in ["a.example", "127.0.0.1"] {
        assert!(meet(client(authority.trust()), &own, host).is_ok());
    }
    let error = meet(client(other.trust()), &own, "a.example").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let (certificate, key) = authority.pair(&["a.example"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let old = Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(old.facts.not_after, 1_577_836_800);
    let error = meet(client(authority.trust()), &server(one(old)), "a.example").unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

fn with_client_auth(authority: &Authority, trust: Trust, mode: Mode) -> Server {
    let client_auth = Some(ClientAuth { trust, mode });
    server(ServerSettings { client_auth, ..one(authority.identity(&["a"])) })
}

#[test]
fn clients_show_certificates_where_they_are_asked_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    for mode in [Mode::Request, Mode::Require] {
        let server = with_client_auth(&authority, authority.trust(), mode);
        let nobody = meet(client(authority.trust()), &server, "a");
        assert_eq!(nobody.is_ok(), mode == Mode::Request);
        let with = |identity| {
            let identity = Some(identity);
            meet(ClientSettings { identity, ..client(authority.trust()) }, &server, "a")
        };
        let (_, end) = with(authority.identity(&["me"])).unwrap();
        assert_eq!(end.agreed().unwrap().peer.subject, "CN=somebody");
        assert!(with(other.identity(&["me"])).is_err(), "{mode:?}");
    }
}

#[test]
fn who_was_revoked_is_not_let_in() {
    let authority = Authority::new();
    let mut trust = authority.trust();
    trust.revoke(authority.revokes(7).as_bytes()).unwrap();
    let server = with_client_auth(&authority, trust, Mode::Require);
    for (serial, expected) in [(7_u64, false), (8, true)] {
        let (certificate, key) = authority.pair(&["me"], |params| {
            params.serial_number = Some(SerialNumber::from(serial));
        });
        let identity = Some(Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap());
        let settings = ClientSettings { identity, ..client(authority.trust()) };
        assert_eq!(meet(settings, &server, "a").is_ok(), expected, "{serial}");
    }
}

#[test]
fn protocols_are_agreed_on() {
    let authority = Authority::new();
    let alpn = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let settings = one(authority.identity(&["a"]));
    let server = server(ServerSettings {
        alpn: alpn(&["h2", "http/1.1"]),
        min_version: Version::Tls13,
        ..settings
    });
    let meet = |names: &[&str]| meet_for(names, client(authority.trust()), &server, "a");
    for (names, expected) in [(&["http/1.1", "h2"][..], "h2"), (&[], "")] {
        let (client, end) = meet(names).unwrap();
        let alpn = [client, end].map(|end| end.agreed().unwrap().alpn);
        assert_eq!(alpn, [expected; 2]);
    }
    // RFC 7301, section 3.2: nothing in common is the end.
    assert!(meet(&["spdy/1"]).is_err());
}

#[test]
fn sessions_are_resumed() {
    let authority = Authority::new();
    let server = server(one(authority.identity(&["a"])));
    let client = Client::new(client(authority.trust())).unwrap();
    for expected in [false, true, true] {
        let mut ends = (client.session("a", &[]).unwrap(), server.session().unwrap());
        talk(&mut ends.0, &mut ends.1).unwrap();
        assert_eq!(ends.1.agreed().unwrap().is_resumed, expected);
    }
}

#[test]
fn files_that_are_no_identity_say_why() {
    let authority = Authority::new();
    let (certificate, key) = authority.pair(&["a"], |_| {});
    let (_, other) = authority.pair(&["a"], |_| {});
    let read = |certificate: &str, key: &str| {
        Identity::read(certificate.as_bytes(), key.as_bytes()).map(drop)
    };
    assert_eq!(read(&certificate, &key), Ok(()));
    let both = format!("{key}{certificate}");
    assert_eq!(read(&both, &both), Ok(()));
    assert_eq!(read(&certificate, &other), Err(IdentityProblem::OtherKey));
    assert_eq!(read("", &key), Err(IdentityProblem::NoCertificate));
    assert_eq!(read(&certificate, "hello"), Err(IdentityProblem::NoKey));
    assert_eq!(read(&certificate, &certificate), Err(IdentityProblem::NoKey));
    let broken = certificate.replacen("MII", "MIJ", 1);
    assert!(matches!(read(&broken, &key), Err(IdentityProblem::BadCertificate(_))));
    let half = &certificate[..certificate.len() / 2];
    assert!(read(half, &key).is_err());
    assert_eq!(Trust::read(key.as_bytes()).unwrap_err(), TrustProblem::NoCertificate);
    let mut trust = authority.trust();
    assert_eq!(trust.revoke(certificate.as_bytes()), Err(TrustProblem::NoList));
    // A certificate is no list, whatever it is called.
    let list = certificate.replace("CERTIFICATE", "X509 CRL");
    assert!(matches!(trust.revoke(list.as_bytes()), Err(TrustProblem::BadList(_))));
}

/// A certificate that is its own authority; with `is_ca` it says that it is one, as those that
/// `openssl req -x509` makes do.
fn own(
    names: &[&str],
    is_ca: bool,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, Identity) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "myself");
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let identity = Identity::read(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    (pem, identity)
}

/// Of a certificate, by way of what is told of it.
fn fingerprint_of(identity: &Identity) -> fairwater_tls::Fingerprint {
    let server = server(one(identity.clone()));
    let (client, _) = meet(ClientSettings::default(), &server, "a").unwrap();
    parse_fingerprint(&client.agreed().unwrap().peer.fingerprint).unwrap()
}

fn listing(identity: &Identity) -> Trust {
    let mut trust = Trust::default();
    trust.list([fingerprint_of(identity)]);
    trust
}

#[test]
fn a_client_that_is_its_own_authority_is_let_in_where_it_is_listed() {
    let (authority, nobody) = (Authority::new(), own(&["me"], true, |_| {}).1);
    let with = |identity: &Identity, server: &Server| {
        let identity = Some(identity.clone());
        meet(ClientSettings { identity, ..client(authority.trust()) }, server, "a")
    };
    for is_ca in [false, true] {
        let (pem, me) = own(&["me"], is_ca, |_| {});
        let mut both = authority.trust();
        both.list([fingerprint_of(&me)]);
        let mut revoking = Trust::read(format!("{pem}{}", authority.pem()).as_bytes()).unwrap();
        revoking.revoke(authority.revokes(7).as_bytes()).unwrap();
        for (trust, is_listed, has_authority) in [
            (authority.trust(), false, true),
            (Trust::read(pem.as_bytes()).unwrap(), true, false),
            (revoking, true, true),
            (listing(&me), true, false),
            (listing(&nobody), false, false),
            (both, true, true),
        ] {
            for mode in [Mode::Request, Mode::Require] {
                let server = with_client_auth(&authority, trust.clone(), mode);
                assert_eq!(with(&me, &server).is_ok(), is_listed, "{is_ca} {mode:?}");
                let other = with(&authority.identity(&["other"]), &server);
                assert_eq!(other.is_ok(), has_authority, "{is_ca} {mode:?}");
                let none = meet(client(authority.trust()), &server, "a");
                assert_eq!(none.is_ok(), mode == Mode::Request, "{is_ca}");
            }
        }
    }
}

#[test]
fn an_endpoint_that_is_its_own_authority_is_spoken_to_where_it_is_listed() {
    for is_ca in [false, true] {
        let (pem, identity) = own(&["a"], is_ca, |_| {});
        let (_, other) = own(&["a"], is_ca, |_| {});
        let server = server(one(identity.clone()));
        // A file says who may have the name, and a fingerprint whose certificate it is.
        for (trust, host, expected) in [
            (Authority::new().trust(), "a", false),
            (Trust::read(pem.as_bytes()).unwrap(), "a", true),
            (Trust::read(pem.as_bytes()).unwrap(), "b", false),
            (listing(&identity), "a", true),
            (listing(&identity), "b", true),
            (listing(&other), "a", false),
            (Trust::default(), "a", false),
        ] {
            let met = meet(client(trust), &server, host);
            assert_eq!(met.is_ok(), expected, "{is_ca} {host} {:?}", met.map(drop));
        }
    }
}

#[test]
fn a_listed_certificate_is_good_for_its_time_alone() {
    for (change, expected) in [
        (
            (|params| params.not_after = date_time_ymd(2020, 1, 1)) as fn(&mut CertificateParams),
            "expired",
        ),
        (|params| params.not_before = date_time_ymd(2090, 1, 1), "not valid yet"),
    ] {
        let (pem, identity) = own(&["a"], true, change);
        let server = server(one(identity.clone()));
        for trust in [listing(&identity), Trust::read(pem.as_bytes()).unwrap()] {
            let error = meet(client(trust), &server, "a").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn a_made_up_certificate_is_trusted_by_whoever_is_told_to() {
    let names = ["localhost", "*.a.example", "127.0.0.1", "::1"].map(ToOwned::to_owned);
    let made_up = || Identity::made_up(&names).unwrap();
    let bare = server(ServerSettings::default());
    let server = bare.with_made_up(made_up(), &names);
    for host in ["localhost", "x.a.example", "127.0.0.1", "::1"] {
        let (client, _) = meet(ClientSettings::default(), &server, host).unwrap();
        let print = parse_fingerprint(&client.agreed().unwrap().peer.fingerprint).unwrap();
        let mut trust = Trust::default();
        trust.list([print]);
        assert!(meet(self::client(trust), &server, host).is_ok(), "{host}");
        assert!(meet(self::client(Authority::new().trust()), &server, host).is_err(), "{host}");
    }
    assert_eq!(server, bare.with_made_up(made_up(), &names));
    assert_ne!(server, bare.with_made_up(made_up(), &names[1..]));
}
