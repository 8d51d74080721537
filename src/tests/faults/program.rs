//! The real program, for tests that kill it or take its room away. Must never know what it is asked.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

/// The program on a free port; killed when dropped.
pub(super) struct Program {
    child: Mutex<Child>,
    pub(super) addr: SocketAddr,
}

impl Program {
    /// Starts it with these options, and does not wait until it listens.
    pub(super) fn spawn(folder: &Path, options: &[&str]) -> Self {
        Self::spawn_by(Command::new(PROGRAM).env("FAILPOINTS", ""), folder, options)
    }

    /// As [`spawn`](Self::spawn), by a command that ends in the program's name.
    fn spawn_by(command: &mut Command, folder: &Path, options: &[&str]) -> Self {
        let child = command
            .args(["serve", "--addr", "127.0.0.1:0", "--space-reserve", "0", "--data"])
            .arg(folder)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child: Mutex::new(child), addr: ([127, 0, 0, 1], 0).into() }
    }

    pub(super) fn start(folder: &Path) -> Self {
        Self::with(folder, "", &[])
    }

    /// With these faults (see `server::steps`) and options.
    pub(super) fn with(folder: &Path, faults: &str, options: &[&str]) -> Self {
        let program = Self::spawn_by(Command::new(PROGRAM).env("FAILPOINTS", faults), folder, options);
        program.listening().expect("it says where it listens")
    }

    /// Starts it with a file system of its own in this empty folder, of so many bytes. `None`: this machine does not
    /// let us.
    pub(super) fn start_in_little_room(folder: &Path, bytes: u64) -> Option<Self> {
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(bytes.to_string()).arg(folder).arg(PROGRAM).stderr(Stdio::null());
        Self::spawn_by(&mut command, folder, &[]).listening()
    }

    fn listening(mut self) -> Option<Self> {
        let out = self.child.get_mut().unwrap().stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).unwrap();
        self.addr = line.trim().rsplit_once("http://")?.1.parse().unwrap();
        Some(self)
    }

    /// A folder as the program sees it.
    pub(super) fn inside(&self, folder: &Path) -> PathBuf {
        let pid = self.child.lock().unwrap().id();
        Path::new("/proc").join(pid.to_string()).join("root").join(folder.strip_prefix("/").unwrap())
    }

    /// Sets how much of something it may have from now on; `None`: as much as the system allows.
    pub(super) fn limit(&self, of: Resource, most: Option<u64>) {
        let pid = i32::try_from(self.child.lock().unwrap().id()).ok().and_then(Pid::from_raw);
        let maximum = getrlimit(of).maximum;
        prlimit(pid, of, Rlimit { current: most.or(maximum), maximum }).unwrap();
    }

    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    pub(super) fn terminate(self) {
        let mut child = self.child.lock().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
