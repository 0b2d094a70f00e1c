//! Where this program keeps its things, and who is using it.

mod program;

pub use program::{keep_program_digest, program_digest};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
pub use upledger_ledger::Identity;

/// The directories of one installation.
#[derive(Debug, Clone)]
pub struct Home {
    /// The state directory: ledger, jobs, undo material.
    pub state: PathBuf,
    /// The memory of heads; never inside the state directory.
    pub memory: PathBuf,
}

impl Home {
    /// From `--state` or the environment, else the system's places.
    #[must_use]
    pub fn find(state: Option<&Path>) -> Self {
        let root = rustix::process::geteuid().is_root();
        let var = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let user = |xdg: &str, below: &str| {
            var(xdg).unwrap_or_else(|| var("HOME").unwrap_or_else(|| "/".into()).join(below))
        };
        let state = state
            .map(Path::to_path_buf)
            .or_else(|| var("UPLEDGER_STATE"))
            .unwrap_or_else(|| {
                if root {
                    "/var/lib/upledger".into()
                } else {
                    user("XDG_STATE_HOME", ".local/state").join("upledger")
                }
            });
        let memory = var("UPLEDGER_MEMORY").unwrap_or_else(|| {
            if root {
                "/var/lib/upledger-memory".into()
            } else {
                user("XDG_DATA_HOME", ".local/share").join("upledger/memory")
            }
        });
        Self {
            state: absolute(&state),
            memory: absolute(&memory),
        }
    }

    /// Directories of attempts.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.state.join("jobs")
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Who appends: the person behind sudo and SSH, as far as the system tells.
#[must_use]
pub fn identity(home: &Home) -> Identity {
    let text = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .map(|s| s.trim().to_owned())
    };
    let var = |name: &str| std::env::var(name).ok();
    let uid = rustix::process::getuid().as_raw();
    // 2^32-1 means that nobody logged in: a service, a container.
    let loginuid = text("/proc/self/loginuid")
        .and_then(|s| s.parse::<u32>().ok())
        .filter(|u| *u != u32::MAX);
    let name = user_name(uid).unwrap_or_else(|| uid.to_string());
    let actor = var("SUDO_USER").filter(|_| uid == 0).unwrap_or(name);
    let tty = rustix::termios::ttyname(rustix::stdio::stdin(), Vec::new())
        .ok()
        .and_then(|t| t.into_string().ok());
    let session: Value = json!({
        "uid": uid,
        "euid": rustix::process::geteuid().as_raw(),
        "loginuid": loginuid,
        "sudo_user": var("SUDO_USER"),
        "ssh_connection": var("SSH_CONNECTION"),
        "tty": tty,
        "machine": text("/etc/machine-id").filter(|s| !s.is_empty()).map(|id| hex(&Sha256::digest(id))),
        "pid": std::process::id(),
        "program": env!("CARGO_PKG_VERSION"),
        "program_sha256": program_digest(&home.state),
        "clock_synchronized": Path::new("/run/systemd/timesync/synchronized").exists().then_some(true),
    });
    Identity {
        actor,
        host: text("/proc/sys/kernel/hostname").unwrap_or_else(|| "unknown".into()),
        session,
    }
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    })
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `n` random bytes, hex.
///
/// # Errors
/// When the kernel gives none.
pub fn random_hex(n: usize) -> std::io::Result<String> {
    let mut bytes = vec![0; n];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(hex(&bytes))
}
