//! Each fault of the proxy, seen from a client that talks to an echo.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use super::*;

/// Long enough for bytes to arrive on loopback if anything lets them.
const MOMENT: Duration = Duration::from_millis(150);

/// A server that says again what it hears, prefixed by its name, and notes what it heard.
fn echo(name: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let (notes, heard) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, notes) = (stream.unwrap(), notes.clone());
            thread::spawn(move || {
                let mut buffer = [0; 1024];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                    // The test may be over.
                    notes.send(text.clone()).ok();
                    if stream.write_all(format!("{name}:{text}").as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (addr, heard)
}

fn connect_to(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// The answer to a request; empty if the connection broke.
fn ask(stream: &mut TcpStream, request: &str) -> String {
    // A broken connection shows in what is read.
    stream.write_all(request.as_bytes()).ok();
    hear(stream)
}

fn hear(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 1024];
    let n = stream.read(&mut buffer).unwrap_or_default();
    String::from_utf8_lossy(&buffer[..n]).into_owned()
}

/// Asserts that nothing arrives for a moment.
fn assert_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(MOMENT)).unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "nothing arrives");
    stream.set_read_timeout(Some(LIMIT)).unwrap();
}

#[test]
fn bytes_pass_until_they_are_held_and_after() {
    let (target, _heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    let mut stream = connect_to(&proxy);
    assert_eq!(ask(&mut stream, "one"), "a:one");
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.set(direction, Flow::Hold);
        stream.write_all(b"two").unwrap();
        assert_silent(&mut stream);
        proxy.set(direction, Flow::Pass);
        assert_eq!(hear(&mut stream), "a:two", "{direction:?}");
    }
}

#[test]
fn a_request_that_vanishes_is_never_heard_and_the_connection_breaks_at_the_next() {
    let (target, heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    let mut stream = connect_to(&proxy);
    assert_eq!(ask(&mut stream, "one"), "a:one");
    proxy.set(Direction::ToServer, Flow::Drop);
    stream.write_all(b"two").unwrap();
    assert_silent(&mut stream);
    proxy.set(Direction::ToServer, Flow::Pass);
    assert_eq!(ask(&mut stream, "three"), "");
    drop(proxy);
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["one"]);
}

#[test]
fn a_reply_that_vanishes_was_heard() {
    let (target, heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    let mut stream = connect_to(&proxy);
    proxy.set(Direction::ToClient, Flow::Drop);
    stream.write_all(b"one").unwrap();
    assert_silent(&mut stream);
    assert_eq!(heard.recv_timeout(LIMIT).unwrap(), "one");
}

#[test]
fn a_delay_is_one_of_latency() {
    let (target, _heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    let mut stream = connect_to(&proxy);
    proxy.set_both(Flow::Delay(MOMENT));
    let began_at = Instant::now();
    assert_eq!(ask(&mut stream, "one"), "a:one");
    assert!(began_at.elapsed() >= 2 * MOMENT, "there and back");
}

#[test]
fn the_reply_of_the_marked_request_is_lost_and_of_no_other() {
    let (target, heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    let (mut stream, mut other) = (connect_to(&proxy), connect_to(&proxy));
    proxy.cut_after_next_request(b"EVAL");
    assert_eq!(ask(&mut other, "PING"), "a:PING");
    assert_eq!(ask(&mut stream, "EVALSHA"), "");
    assert_eq!(ask(&mut other, "EVAL"), "a:EVAL", "one only");
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["PING", "EVALSHA", "EVAL"]);
    assert_eq!(proxy.n_cut(), 1);
}

#[test]
fn who_comes_to_a_half_open_door_gets_nothing_until_cut() {
    let (target, heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    proxy.set_door(Door::HalfOpen).unwrap();
    let mut stream = connect_to(&proxy);
    stream.write_all(b"one").unwrap();
    assert_silent(&mut stream);
    proxy.set_door(Door::Open).unwrap();
    assert_silent(&mut stream);
    proxy.cut_all();
    assert_eq!(hear(&mut stream), "");
    assert_eq!(ask(&mut connect_to(&proxy), "two"), "a:two");
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), ["two"]);
}

#[test]
fn a_closed_door_refuses_newcomers_and_spares_the_others() {
    let (target, _heard) = echo("a");
    let proxy = Proxy::start(target).unwrap();
    let mut stream = connect_to(&proxy);
    assert_eq!(ask(&mut stream, "one"), "a:one");
    proxy.set_door(Door::Refuse).unwrap();
    let refused = TcpStream::connect(proxy.addr()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(ask(&mut stream, "two"), "a:two");
    proxy.heal().unwrap();
    assert_eq!(ask(&mut connect_to(&proxy), "three"), "a:three");
}

#[test]
fn newcomers_go_to_the_new_target() {
    let ((first, _), (second, _)) = (echo("a"), echo("b"));
    let proxy = Proxy::start(first).unwrap();
    let mut stream = connect_to(&proxy);
    assert_eq!(ask(&mut stream, "one"), "a:one");
    proxy.retarget(second);
    assert_eq!(ask(&mut stream, "two"), "a:two");
    assert_eq!(ask(&mut connect_to(&proxy), "three"), "b:three");
    proxy.cut_all();
    assert_eq!(ask(&mut stream, "four"), "");
    within("only the other connection was open", LIMIT, || {
        Ok((proxy.n_open() == 0).then_some(()))
    })
    .unwrap();
    assert_eq!(proxy.n_accepted(), 2);
}

#[test]
fn a_server_that_is_not_there_ends_the_connection() {
    let port = Port::reserve().unwrap();
    let proxy = Proxy::start(port.addr()).unwrap();
    assert_eq!(ask(&mut connect_to(&proxy), "one"), "");
}
