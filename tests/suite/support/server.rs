//! A small HTTP server on loopback, and git's own smart HTTP behind it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// What a client asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What it gets; no answer at all when `None`: the connection is closed.
pub(crate) type Answer = Option<(u16, Vec<(String, String)>, Vec<u8>)>;

/// A JSON answer.
pub(crate) fn json(status: u16, value: &serde_json::Value) -> Answer {
    let kind = ("Content-Type".to_owned(), "application/json".to_owned());
    Some((status, vec![kind], value.to_string().into_bytes()))
}

/// Serves until the test's process ends; returns `127.0.0.1:port`.
pub(crate) fn serve(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handler = Arc::new(handler);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            std::thread::spawn(move || one(stream, handler.as_ref()));
        }
    });
    address
}

fn one(stream: TcpStream, handler: &(impl Fn(&Request) -> Answer + ?Sized)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(request) = read(&mut reader, &stream) else {
        return;
    };
    let Some((status, headers, body)) = handler(&request) else {
        return;
    };
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut stream = stream;
    // A client that went away is its own affair.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(&body));
}

fn read(reader: &mut BufReader<TcpStream>, mut stream: &TcpStream) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    if headers.contains_key("expect") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let body = body(reader, &headers)?;
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

fn body(reader: &mut BufReader<TcpStream>, headers: &HashMap<String, String>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = headers.get("content-length") {
        body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
    } else if headers.contains_key("transfer-encoding") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
    Some(body)
}

/// Serves the bare repositories below a folder by `git http-backend`, to whoever knows the password.
pub(crate) fn serve_git(folder: PathBuf, password: &'static str) -> String {
    let found = Command::new("git").arg("--exec-path").output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let backend = PathBuf::from(found.trim()).join("git-http-backend");
    assert!(backend.is_file(), "git comes without http-backend");
    serve(move |request| {
        use std::fmt::Write as _;
        let mut expected = String::new();
        for byte in format!("x-access-token:{password}").bytes() {
            write!(expected, "{byte:02x}").unwrap();
        }
        let given = request.headers.get("authorization");
        let given = given.and_then(|value| value.strip_prefix("Basic "));
        if given.map(hex_of_base64) != Some(expected) {
            let ask = (
                "WWW-Authenticate".to_owned(),
                "Basic realm=\"git\"".to_owned(),
            );
            // Some servers quote what they do not take.
            let Some(given) = given else {
                return Some((401, vec![ask], Vec::new()));
            };
            let plain = ("Content-Type".to_owned(), "text/plain".to_owned());
            return Some((403, vec![plain], format!("no: {given}").into_bytes()));
        }
        Some(cgi(&backend, &folder, request))
    })
}

fn hex_of_base64(text: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut hex) = (0_u32, 0, String::new());
    for c in text.bytes().filter(|c| *c != b'=') {
        let digit = DIGITS.bytes().position(|digit| digit == c).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            hex.push_str(&format!("{:02x}", bits >> count & 0xff));
        }
    }
    hex
}

fn cgi(
    backend: &std::path::Path,
    folder: &std::path::Path,
    request: &Request,
) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let mut child = Command::new(backend)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .env("REMOTE_USER", "tester")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writer = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().unwrap();
    drop(writer.join().unwrap());
    let end = output.stdout.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.expect("an answer of git http-backend");
    let head = String::from_utf8_lossy(&output.stdout[..end]).into_owned();
    let mut status = 200;
    let mut headers = Vec::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        if name == "Status" {
            status = value.split(' ').next().unwrap().parse().unwrap();
        } else {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    (status, headers, output.stdout[end + 4..].to_vec())
}
