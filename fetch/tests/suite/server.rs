//! A server on the loopback that does what a test says, with TLS or without.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection to the program.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

type Serve = dyn Fn(&str, usize, &mut dyn Connection) + Send + Sync;

/// A server. It gets each request's head as text and its number, from 0, and then does to the connection what it likes.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server without TLS.
    pub fn http(serve: impl Fn(&str, usize, &mut dyn Connection) + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(serve))
    }

    /// Starts a server with TLS.
    pub fn https(
        config: ServerConfig,
        serve: impl Fn(&str, usize, &mut dyn Connection) + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::new(config)), Arc::new(serve))
    }

    /// Starts a server that gives each request the same answer.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::http(move |_, _, connection| drop(connection.write_all(&answer)))
    }

    fn start(config: Option<Arc<ServerConfig>>, serve: Arc<Serve>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, is_over) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (requests, is_over) = (Arc::clone(&requests), Arc::clone(&is_over));
            move || {
                let number = Arc::new(AtomicUsize::new(0));
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (config, requests) = (config.clone(), Arc::clone(&requests));
                    let (serve, number) = (Arc::clone(&serve), Arc::clone(&number));
                    // The program may close the connection at any time, so a failure here is no fault.
                    std::thread::spawn(move || handle(stream.unwrap(), config, &requests, &number, &*serve));
                }
            }
        });
        Self { address, requests, is_over, thread: Some(thread) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn https_url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }

    /// Returns the heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn handle(
    stream: TcpStream,
    config: Option<Arc<ServerConfig>>,
    requests: &Mutex<Vec<String>>,
    number: &AtomicUsize,
    serve: &Serve,
) {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut connection: Box<dyn Connection> = match config {
        None => Box::new(stream),
        Some(config) => {
            let Ok(tls) = ServerConnection::new(config) else { return };
            let mut stream = StreamOwned::new(tls, stream);
            while stream.conn.is_handshaking() {
                if stream.conn.complete_io(&mut stream.sock).is_err() {
                    return;
                }
            }
            serve_one(&mut stream, requests, number, serve);
            stream.conn.send_close_notify();
            let _ = stream.flush();
            return;
        }
    };
    serve_one(&mut *connection, requests, number, serve);
}

fn serve_one(
    connection: &mut dyn Connection,
    requests: &Mutex<Vec<String>>,
    number: &AtomicUsize,
    serve: &Serve,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(connection.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let number = number.fetch_add(1, Ordering::SeqCst);
    requests.lock().unwrap().push(head.clone());
    serve(&head, number, connection);
}

/// Returns an answer with status 200 and this body.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// Returns a redirect.
pub fn redirect(status: u16, to: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}
