//! Certificates that come to their end while they are served.

use std::fs;
use std::time::{Duration, SystemTime};

use fairwater_e2e::{Endpoint, Setup, until};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::Pki;

const DAY: u64 = 86_400;

impl Pki {
    /// A certificate that is good for so many seconds from now on.
    fn good_for(&self, name: &str, seconds: u64) -> &Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let end = Duration::from_secs(now.as_secs() + seconds);
        params.not_after = date_time_ymd(1970, 1, 1) + end;
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        fs::write(self.file(&format!("{name}.pem")), certificate).unwrap();
        fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
        self
    }
}

#[test]
fn a_certificate_that_comes_to_its_end_is_told_of_once() {
    let (pki, endpoint) = (Pki::new(), Endpoint::echo("e"));
    pki.good_for("month", 30 * DAY + 4).good_for("week", 7 * DAY + 4).good_for("day", DAY + 4);
    pki.good_for("over", 4).good_for("good", 40 * DAY);
    let names = ["month", "week", "day", "over", "good"];
    let tables = names.map(|name| pki.table(name)).join(", ");
    let setup = Setup::http(&[&endpoint]).listener(&format!("tls = [{tables}]"));
    let proxy = setup.reloadable().start();
    let line =
        |name: &str, words: &str| format!("certificate of `CN={name}` at listener web {words}");
    let expected = [
        line("month", "ends in 30 days"),
        line("week", "ends in 7 days"),
        line("day", "ends in 1 day"),
        line("over", "has ended: clients refuse to connect"),
    ];
    let count = |line: &String| proxy.said().matches(line.as_str()).count();
    until("all to be told", || expected.iter().all(|line| count(line) == 1));
    // A reload tells what the files are, and not what was said already.
    proxy.edit("[upstreams.app]", "[upstreams.app]\nmax_requests = 1000");
    let said = proxy.reload_well();
    assert!(said.contains("the certificate of `CN=over` ended 0 hours ago"), "{said}");
    pki.good_for("good", 1);
    proxy.reload_well();
    until("the new one", || count(&line("good", "has ended: clients refuse to connect")) == 1);
    assert!(expected.iter().all(|line| count(line) == 1), "{}", proxy.said());
    assert_eq!(proxy.said().matches(" at listener web ").count(), 5, "{}", proxy.said());
}
