//! A PostgreSQL server in a temporary directory, on a free port, gone when dropped.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The user "nobody": PostgreSQL refuses to run as root.
const UNPRIVILEGED: u32 = 65_534;

pub(crate) struct PostgresServer {
    directory: TempDir,
    port: u16,
    programs: Option<PathBuf>,
    is_root: bool,
}

impl PostgresServer {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let is_root = directory.path().metadata().expect("its owner").uid() == 0;
        let server = Self { directory, port, programs: programs(), is_root };
        if is_root {
            chown(server.directory.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED))
                .expect("a directory to give away");
        }
        server.run(
            "initdb",
            &["-D", &server.path("data"), "-U", "jetmill", "--auth=trust", "--no-sync", "-E", "UTF8"],
        );
        server.resume();
        server
    }

    /// Makes an empty database and gives its address.
    pub(crate) fn create_database(&self, name: &str) -> String {
        let port = self.port.to_string();
        self.run("createdb", &["-h", "127.0.0.1", "-p", &port, "-U", "jetmill", name]);
        self.url(name)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://jetmill@127.0.0.1:{}/{name}", self.port)
    }

    /// As a crash does.
    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["stop", "-D", &self.path("data"), "-m", "immediate", "-w"]);
    }

    pub(crate) fn resume(&self) {
        let options = format!("-p {} -h 127.0.0.1 -k {} -F", self.port, self.directory.path().display());
        let log = self.path("server.log");
        self.run("pg_ctl", &["start", "-D", &self.path("data"), "-w", "-l", &log, "-o", &options]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let errors = self.directory.path().join(format!("{program}.err"));
        let status = self
            .command(program)
            .args(arguments)
            // A pipe would be held open by the server that pg_ctl leaves behind.
            .stderr(std::fs::File::create(&errors).expect("a file"))
            .status()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}. These tests need PostgreSQL's server programs: apt-get install postgresql")
            });
        let said = std::fs::read_to_string(errors).unwrap_or_default();
        assert!(status.success(), "{program} {arguments:?}: {status}: {said}");
    }

    fn command(&self, program: &str) -> Command {
        let mut command =
            Command::new(self.programs.as_ref().map_or_else(|| program.into(), |path| path.join(program)));
        command.current_dir(self.directory.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if self.is_root {
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        }
        command
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let stopped =
            self.command("pg_ctl").args(["stop", "-D", &self.path("data"), "-m", "immediate"]).status();
        // A test may have stopped it already.
        drop(stopped);
    }
}

/// Where Debian keeps the server's programs, of the newest version; `None` leaves it to PATH.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let directories = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    directories.filter(|path| path.join("initdb").exists()).max()
}
