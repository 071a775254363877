//! One emulator process, and websockets that speak plain JSON frames.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use falco::protocol::ably::auth::{ApiKey, Claims, sign_jwt};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the wire calls things.
pub const RESUMED: u64 = 1 << 2;
pub const HAS_BACKLOG: u64 = 1 << 1;
pub const HAS_PRESENCE: u64 = 1 << 0;

/// A running emulator; killed when dropped.
pub struct Emulator {
    dir: TempDir,
    child: Child,
    _stderr: BufReader<ChildStderr>,
    pub address: String,
    pub key: String,
}

impl Emulator {
    /// Starts one in a directory of its own, on a free port.
    pub fn start(args: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "127.0.0.1:0", args)
    }

    fn start_in(dir: TempDir, listen: &str, args: &[&str]) -> Self {
        let mut child = command(dir.path())
            .args(["--listen", listen])
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listens on ") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended early");
        }
        let address = line.split("listens on ").nth(1).unwrap();
        let address = address.split(';').next().unwrap();
        let key = std::fs::read_to_string(dir.path().join("key")).unwrap();
        let (address, key) = (address.to_owned(), key.trim().to_owned());
        Self {
            dir,
            child,
            _stderr: stderr,
            address,
            key,
        }
    }

    /// Asks it to stop and waits; returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Stops it and starts it again, with the same key on the same port.
    pub fn restart(mut self) -> Self {
        self.stop();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        let address = self.address.clone();
        Self::start_in(dir, &address, &[])
    }

    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// A JWT that lives `seconds` and allows `capability`.
    pub fn jwt(&self, seconds: i64, capability: &Value, client_id: Option<&str>) -> String {
        let key: ApiKey = self.key.parse().unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        let claims = Claims {
            issued: now,
            expires: now + seconds,
            capability: Some(capability.to_string()),
            client_id: client_id.map(Into::into),
        };
        sign_jwt(&key, &claims).reveal().to_owned()
    }

    /// Connects with the key and more parameters, and reads CONNECTED.
    pub async fn connect(&self, params: &str) -> Client {
        let mut client = self.open(&format!("key={}&{params}", self.key)).await;
        client.connected = client.expect(4).await;
        client
    }

    /// Opens a websocket with these parameters only.
    pub async fn open(&self, params: &str) -> Client {
        let url = format!("ws://{}/?v=6&format=json&{params}", self.address);
        let (socket, _) = connect_async(url).await.unwrap();
        Client {
            socket,
            connected: Value::Null,
            unread: VecDeque::new(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The emulator's command line, on a directory.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
    command
        .arg("emulator")
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null());
    command
}

/// One websocket.
pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub connected: Value,
    unread: VecDeque<Value>,
}

impl Client {
    pub fn id(&self) -> &str {
        self.connected["connectionId"].as_str().unwrap()
    }

    pub fn key(&self) -> &str {
        self.connected["connectionDetails"]["connectionKey"]
            .as_str()
            .unwrap()
    }

    pub async fn send(&mut self, frame: Value) {
        self.socket
            .send(Frame::text(frame.to_string()))
            .await
            .unwrap();
    }

    /// The next frame; `None` when the server has closed.
    pub async fn next(&mut self) -> Option<Value> {
        if let Some(frame) = self.unread.pop_front() {
            return Some(frame);
        }
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next());
            match frame.await.expect("a frame within a minute") {
                Some(Ok(Frame::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Frame::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame, which has this action.
    pub async fn expect(&mut self, action: u64) -> Value {
        self.expect_one_of(&[action]).await
    }

    /// The next frame, which has one of these actions.
    pub async fn expect_one_of(&mut self, actions: &[u64]) -> Value {
        let frame = self.next().await.expect("a frame, not the end");
        let action = frame["action"].as_u64().unwrap();
        assert!(actions.contains(&action), "not one of {actions:?}: {frame}");
        frame
    }

    /// That nothing more comes: a heartbeat is the next thing answered.
    pub async fn expect_nothing(&mut self) {
        self.send(json!({"action": 0, "id": "sentinel"})).await;
        assert_eq!(self.expect(0).await["id"], "sentinel");
    }

    pub async fn attach(&mut self, frame: Value) -> Value {
        let mut attach = json!({"action": 10});
        attach
            .as_object_mut()
            .unwrap()
            .extend(frame.as_object().unwrap().clone());
        self.send(attach).await;
        self.expect(11).await
    }

    /// Publishes one message with this data and reads its ACK.
    pub async fn publish(&mut self, serial: u64, channel: &str, data: &str) -> Value {
        let messages = json!([{"name": "n", "data": data}]);
        self.send(
            json!({"action": 15, "msgSerial": serial, "channel": channel, "messages": messages}),
        )
        .await;
        loop {
            let frame = self.next().await.expect("an answer");
            match frame["action"].as_u64() {
                Some(1 | 2) => return frame,
                _ => self.unread.push_back(frame),
            }
        }
    }

    /// The data of the next message.
    pub async fn message(&mut self) -> String {
        let frame = self.expect(15).await;
        frame["messages"][0]["data"].as_str().unwrap().to_owned()
    }
}
