//! Who is let in: mutual TLS with the cluster's authority, the cookie, and what stalls or is no peer at all.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

use mesh::{Config, ConfigError, Mesh, OpenError, TLS_NAME, TlsError, TlsFiles};

use crate::certificates::Authority;
use crate::cluster::{COOKIE, Cluster, Settings};

fn with_tls(dir: PathBuf) -> Settings {
    Settings {
        tls: Some(dir),
        ..Settings::default()
    }
}

#[test]
fn with_certificates_of_one_authority_they_meet() {
    let cluster = Cluster::new(&["a", "b"]);
    let authority = Authority::new();
    let [a, b] = ["a", "b"].map(|name| authority.sign(TLS_NAME, &cluster.dir.path().join(name)));
    let mut a = cluster.start_with("a", with_tls(a));
    let mut b = cluster.start_with("b", with_tls(b));
    a.wait_for("b");
    b.wait_for("a");
    assert_eq!(
        a.observe("much").1["b"],
        format!("{} bytes", mesh::ANSWER_BYTES_MAX)
    );
    assert_eq!(b.tell::<String>("drill a panic"), "a did panic");
}

#[test]
fn with_certificates_of_another_authority_or_none_they_do_not_meet() {
    let cluster = Cluster::new(&["a", "b", "c"]);
    let dir = |name| cluster.dir.path().join(name);
    let mut a = cluster.start_with("a", with_tls(Authority::new().sign(TLS_NAME, &dir("a"))));
    let mut b = cluster.start_with("b", with_tls(Authority::new().sign(TLS_NAME, &dir("b"))));
    let mut c = cluster.start("c");
    let (at_a, at_b, at_c) = (cluster.address("a"), cluster.address("b"), cluster.address("c"));
    a.wait_until(&at_b, |why| why.contains("no TLS"));
    b.wait_until(&at_a, |why| why.contains("no TLS"));
    a.wait_until(&at_c, |why| why.contains("TLS"));
    c.wait_until(&at_a, |why| why != "not connected yet" && why != "up");
    for member in [&mut a, &mut b, &mut c] {
        assert!(!member.peers().values().any(|state| state == "up"));
    }
}

#[test]
fn a_certificate_of_the_authority_that_is_not_a_coordinators_is_refused_on_both_sides() {
    let cluster = Cluster::new(&["a"]);
    let authority = Authority::new();
    let own = authority.sign(TLS_NAME, &cluster.dir.path().join("a"));
    let other = authority.sign("agent-7", &cluster.dir.path().join("b"));
    let mut a = cluster.start_with("a", with_tls(own));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(Mesh::open(config(&cluster, "127.0.0.1:0", Some(&other)), 1));
    let refused = refused.err().unwrap();
    assert!(
        matches!(refused, OpenError::Tls(TlsError::OtherName { .. })),
        "{refused}"
    );
    let shaken = runtime.block_on(as_client(&cluster.address("a"), &other));
    assert!(shaken.is_err(), "the connection is closed before a word is said");
    assert!(a.peers().values().all(|state| state != "up"));
}

/// Goes through TLS as a client with these certificates, greets, and waits for the greeting of the other side.
async fn as_client(address: &str, dir: &std::path::Path) -> std::io::Result<u8> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap())
        .unwrap();
    let cert = CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![cert], key)
        .unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = tokio::net::TcpStream::connect(address).await?;
    let mut stream = connector
        .connect(ServerName::try_from(TLS_NAME).unwrap(), stream)
        .await?;
    let greeting = br#"{"coordinator":{"name":"b","life":"1"}}"#;
    let length = u16::try_from(greeting.len()).unwrap().to_be_bytes();
    stream
        .write_all(&[b"HFMESH1\n".as_slice(), &length, greeting].concat())
        .await?;
    stream.read_u8().await
}

#[test]
fn with_another_cookie_they_do_not_meet_and_say_why() {
    let cluster = Cluster::new(&["a", "b"]);
    let mut a = cluster.start("a");
    let other = Settings {
        cookie: Some("another-cookie-of-a-fit-length-0123456789"),
        ..Settings::default()
    };
    let mut b = cluster.start_with("b", other);
    a.wait_until("b", |why| why.contains("cookie"));
    b.wait_until("a", |why| why.contains("cookie"));
    assert_eq!(a.observe("who").1["b"], a.sees("b"));
}

#[test]
fn connections_that_stall_or_talk_nonsense_hold_nobody_up() {
    let cluster = Cluster::new(&["a", "b"]);
    let authority = Authority::new();
    let [a, b] = ["a", "b"].map(|name| authority.sign(TLS_NAME, &cluster.dir.path().join(name)));
    let mut a = cluster.start_with("a", with_tls(a));
    let stalled: Vec<TcpStream> = (0..20)
        .map(|n| {
            let mut stream = TcpStream::connect(cluster.address("a")).unwrap();
            let words: [&[u8]; 3] = [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"];
            stream.write_all(words[n % 3]).unwrap();
            stream
        })
        .collect();
    let mut b = cluster.start_with("b", with_tls(b));
    b.wait_for("a");
    a.wait_for("b");
    drop(stalled);
}

#[test]
fn strangers_without_tls_hold_nobody_up_either() {
    let cluster = Cluster::new(&["a", "b"]);
    let mut a = cluster.start("a");
    let mut stalled = Vec::new();
    for words in ["", "HFMESH1\n", "HFMESH1\n\u{1}", "GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = TcpStream::connect(cluster.address("a")).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        stalled.push(stream);
    }
    let mut b = cluster.start("b");
    b.wait_for("a");
    a.wait_for("b");
}

fn config(cluster: &Cluster, listen: &str, tls: Option<&std::path::Path>) -> Config {
    Config {
        name: "b".to_owned(),
        listen: listen.parse().unwrap(),
        peers: String::new().parse().unwrap(),
        tls: tls.map(|dir| TlsFiles {
            ca: dir.join("ca.pem"),
            cert: dir.join("cert.pem"),
            key: dir.join("key.pem"),
        }),
        cookie: cluster.cookie(COOKIE),
    }
}

#[tokio::test]
async fn beyond_this_machine_nothing_is_opened_without_tls() {
    let cluster = Cluster::new(&[]);
    let refused = Mesh::open(config(&cluster, "0.0.0.0:0", None), 1)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(refused, OpenError::Config(ConfigError::Exposed { .. })),
        "{refused}"
    );
    let dir = Authority::new().sign(TLS_NAME, &cluster.dir.path().join("tls"));
    let opened = Mesh::open(config(&cluster, "0.0.0.0:0", Some(&dir)), 1).await;
    assert!(opened.is_ok_and(|mesh| mesh.address().port() != 0));
}

#[tokio::test]
async fn files_that_are_of_no_use_are_named() {
    let cluster = Cluster::new(&[]);
    let dir = Authority::new().sign(TLS_NAME, &cluster.dir.path().join("tls"));
    std::fs::write(dir.join("key.pem"), "nothing").unwrap();
    let refused = Mesh::open(config(&cluster, "127.0.0.1:0", Some(&dir)), 1)
        .await
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("key.pem has no private key"),
        "{refused}"
    );
    std::fs::remove_file(dir.join("ca.pem")).unwrap();
    let refused = Mesh::open(config(&cluster, "127.0.0.1:0", Some(&dir)), 1)
        .await
        .err()
        .unwrap();
    assert!(refused.to_string().contains("ca.pem"), "{refused}");
}
