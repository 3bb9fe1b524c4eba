//! Hashes of other programs, and what is no good hash.

use super::*;

/// Made by htpasswd, openssl and the crypt of glibc.
const HASHES: &[(&str, &str)] = &[
    ("open sesame", "$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS"),
    ("open sesame", "$2b$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy"),
    ("pä:ss", "$2y$04$MMhyxQ/71i1EsLCi36vkbOET1JT0e7j2JyzPUapdpC1v90QVXw5w."),
    ("open sesame", "$5$0123456789abcdef$kRRqmK2ssHVZPWI94vRaV6.r0wGYmKw8tTF.iTYJ6Z/"),
    ("open sesame", "$5$rounds=1000$xyz$uyAAI5hXlDKwC7tmRc.FbZL2vS676FevZlBeeXg8EQC"),
    (
        "open sesame",
        "$6$abcdefgh$CkjGkP7IIgZVUCNlt.Vi53LOYJLXZ5KzdpzEYCj01XGruA1hxZYJqccTU2zz68oJwAGsd1iPty5F7dHIatUTy/",
    ),
    (
        "open sesame",
        "$6$rounds=1001$abc$/TH4g267VCMvx4vOaqS7rxHZASmzSbfbiYcW3g/fXEpyPAnTi22D9upgfecktZgMe2n2myICrCZOtIk3B3MPK1",
    ),
];

#[test]
fn hashes_of_others_are_checked() {
    for (password, text) in HASHES {
        let hash = PasswordHash::parse(text).unwrap();
        assert!(hash.is_of(password.as_bytes()), "{text}");
        for wrong in ["", "x", "open sesam", "open sesame ", "Open sesame"] {
            assert!(!hash.is_of(wrong.as_bytes()), "{text} {wrong}");
        }
    }
}

#[test]
fn bcrypt_looks_at_72_bytes() {
    let text = "$2y$04$hAGHxyZu1RD4JyCpTs0zG.uwLxpBxLDje2IFGbOWKY4y3qmNVeqya";
    let hash = PasswordHash::parse(text).unwrap();
    for (len, expected) in [(80, true), (72, true), (73, true), (71, false), (1000, true)] {
        assert_eq!(hash.is_of(&vec![b'x'; len]), expected, "{len}");
    }
}

#[test]
fn long_passwords_are_no_trouble_for_the_others() {
    let long = "x".repeat(200);
    let text = "$6$s$tYpycEemO97Y6HIY845rF3yf.HlJ/gqSlTg8SL9qD.UzYKbnSYk9V/JBv0kBTBI/ivG1.4UzWg/OU93YJhcYX0";
    assert!(PasswordHash::parse(text).unwrap().is_of(long.as_bytes()));
}

#[test]
fn what_is_made_is_good() {
    let salt = *b"0123456789abcdef";
    let text = hash(b"open sesame", salt).unwrap();
    assert!(text.starts_with("$2y$10$"), "{text}");
    let made = PasswordHash::parse(&text).unwrap();
    assert!(made.is_of(b"open sesame") && !made.is_of(b"open sesame\0"));
    for wrong in [&b""[..], &[b'x'; 73], b"a\0b"] {
        assert!(hash(wrong, salt).is_err());
    }
}

#[test]
fn weak_and_broken_hashes_are_refused() {
    let bcrypt = "jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS";
    let check = |text: &str, expected: &str| {
        let problem = PasswordHash::parse(text).map_err(|error| error.to_string());
        let problem = problem.expect_err(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    };
    for (text, expected) in [
        ("", "is not hashed"),
        ("secret", "is not hashed"),
        ("$ecret", "is not hashed"),
        ("$ecret$", "not known"),
        ("$apr1$HM9afZ2M$0S2m9/s1WZJ2VcfclmstR1", "MD5 of Apache"),
        ("$1$dvanDNTh$Fc./asrxzVvhhYr7cUsQF0", "MD5 of crypt"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        ("rqXexS6ZhobKA", "DES"),
        ("$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$aGFzaA", "not known"),
        ("$2y$", "no cost"),
        ("$2y$03$", "cost"),
        ("$2y$5$", "cost"),
        ("$2y$+5$", "cost"),
        ("$2y$05$short", "cut off"),
        ("$6$rounds=5000", "cut off"),
        ("$6$rounds=999$a$b", "rounds"),
        ("$6$rounds=-1$a$b", "rounds"),
        ("$6$salt", "cut off"),
        ("$6$salt$short", "not as long"),
        ("$5$saltsaltsaltsalts$kRRqmK2ssHVZPWI94vRaV6.r0wGYmKw8tTF.iTYJ6Z/", "not as long"),
        ("$5$salt$kRRqmK2ssHVZPWI94vRaV6.r0wGYmKw8tTF.iTYJ6Z=", "a sign"),
        ("$5$rounds=1000001$salt$kRRqmK2ssHVZPWI94vRaV6.r0wGYmKw8tTF.iTYJ6Z/", "at most 1000000"),
    ] {
        check(text, expected);
    }
    check(&format!("$2x$05${bcrypt}"), "first bcrypt");
    check(&format!("$2y$16${bcrypt}"), "at most 15");
    check(&format!("$2y$05${bcrypt}").replace("jI", "j="), "a sign");
    check(&format!("$2y$05${bcrypt}").replace("cs", "ä"), "cut off");
}
