//! A small network of namespaces: hosts on one segment, in whose middle nft drops what a test
//! wants dropped. Nobody has to be root.
//!
//! The segment is a bridge in a namespace of its own; every host has a namespace with one
//! interface. What is dropped is dropped in the bridge, so that no host learns of it: no ICMP
//! error, no failed `sendmsg`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{
    machine::skip,
    node::{Setup, TestNode},
};

/// The port of nodes in a lab.
const PORT: u16 = 4433;

/// Every packet between these is dropped, and of each UDP packet the given share.
const RULES: &str = "
table bridge lab {
  set cut { type ipv4_addr . ipv4_addr; }
  chain loss { }
  chain forward {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @cut drop
    ip protocol udp jump loss
  }
}
";

/// The network; gone when dropped.
pub struct Lab {
    segment: Namespace,
    hosts: Vec<Namespace>,
}

impl Lab {
    /// Makes one with this many hosts. If this machine cannot, the test is skipped loudly, or fails
    /// where `CI=true`.
    pub fn new(test: &str, hosts: usize) -> Option<Self> {
        match Self::build(hosts) {
            Ok(lab) => Some(lab),
            Err(why) => {
                skip(test, &format!("this machine has no network namespaces for it: {why}"));
                None
            }
        }
    }

    fn build(hosts: usize) -> Result<Self, String> {
        let segment = Namespace::open(&mut command(&["unshare", "-Urn"]))?;
        segment.run("ip link set lo up; ip link add br0 type bridge; ip link set br0 up")?;
        segment.nft(RULES)?;
        let mut lab = Self { segment, hosts: Vec::new() };
        for _ in 0..hosts {
            lab.add_host()?;
        }
        Ok(lab)
    }

    fn add_host(&mut self) -> Result<(), String> {
        let enter = self.segment.enter();
        let host = Namespace::open(command(&enter).args(["unshare", "-n"]))?;
        let (number, process) = (self.hosts.len(), host.process.id());
        self.segment.run(&format!(
            "ip link add h{number} type veth peer name eth0 netns {process}
             ip link set h{number} master br0 up"
        ))?;
        host.run(&format!(
            "ip link set lo up; ip link set eth0 up; ip addr add {}/24 dev eth0",
            self.ip(number)
        ))?;
        self.hosts.push(host);
        Ok(())
    }

    /// How many hosts there are, numbered from 0.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The address of a host.
    pub fn ip(&self, host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, host as u8 + 1)
    }

    /// Where the node of a host listens.
    pub fn addr(&self, host: usize) -> SocketAddr {
        (self.ip(host), PORT).into()
    }

    /// How to start a node on a host: with a data folder of its own.
    pub fn setup(&self, host: usize) -> Setup {
        let enter = self.hosts[host].enter();
        Setup::temporary().listen([SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT))]).within(enter)
    }

    /// Starts a node on a host, with these flags.
    pub fn node(&self, host: usize, flags: &[&str]) -> TestNode {
        self.setup(host).flags(flags).start()
    }

    /// Drops everything between two hosts, in both directions.
    pub fn cut(&self, one: usize, other: usize) {
        self.segment.nft(&format!("add element bridge lab cut {}", self.pair(one, other))).unwrap();
    }

    /// Lets it pass again.
    pub fn heal(&self, one: usize, other: usize) {
        let pair = self.pair(one, other);
        self.segment.nft(&format!("delete element bridge lab cut {pair}")).unwrap();
    }

    /// Cuts every link between a host of the one side and one of the other, at once.
    pub fn partition(&self, side: &[usize], other: &[usize]) {
        let pairs = side.iter().flat_map(|&a| other.iter().map(move |&b| (a, b)));
        let adds = pairs
            .map(|(a, b)| format!("add element bridge lab cut {}\n", self.pair(a, b)))
            .collect::<String>();
        self.segment.nft(&adds).unwrap();
    }

    /// Heals every link that was cut.
    pub fn heal_all(&self) {
        self.segment.nft("flush set bridge lab cut").unwrap();
    }

    /// Loses this share of all UDP packets from now on, of 100, in each direction.
    pub fn lose(&self, percent: u32) {
        let rule = format!("add rule bridge lab loss numgen random mod 100 < {percent} drop");
        self.segment.nft(&format!("flush chain bridge lab loss\n{rule}")).unwrap();
    }

    /// Runs a script of `sh` on a host: `ip` for its interface `eth0`.
    pub fn on_host(&self, host: usize, script: &str) {
        self.hosts[host].run(script).unwrap();
    }

    fn pair(&self, one: usize, other: usize) -> String {
        let (one, other) = (self.ip(one), self.ip(other));
        format!("{{ {one} . {other}, {other} . {one} }}")
    }
}

/// A network namespace, held open by a process that ends when we do.
struct Namespace {
    process: Child,
    /// The process ends when this is closed.
    _open: ChildStdin,
}

impl Namespace {
    /// `command` starts its arguments in the new namespace, without a fork.
    fn open(command: &mut Command) -> Result<Self, String> {
        let holder = command.args(["sh", "-c", "echo open && exec cat"]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = holder.spawn().map_err(|error| format!("{holder:?}: {error}"))?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "open\n" {
            let output = process.wait_with_output().unwrap();
            return Err(format!("{holder:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let open = process.stdin.take().unwrap();
        Ok(Self { process, _open: open })
    }

    /// What comes before a command that is to run in here; it forks nowhere.
    fn enter(&self) -> [String; 5] {
        let target = format!("--target={}", self.process.id());
        ["nsenter".into(), target, "-U".into(), "-n".into(), "--preserve-credentials".into()]
    }

    fn run(&self, script: &str) -> Result<(), String> {
        self.feed(&["sh", "-e"], script)
    }

    fn nft(&self, rules: &str) -> Result<(), String> {
        self.feed(&["nft", "-f", "-"], rules)
    }

    fn feed(&self, words: &[&str], input: &str) -> Result<(), String> {
        let mut command = command(&self.enter());
        command.args(words).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        // Whoever reads nothing of it says why on stderr.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{words:?} with {input}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command whose programs of the administrator are found, too.
fn command<S: AsRef<str>>(words: &[S]) -> Command {
    let mut command = Command::new(words[0].as_ref());
    command.args(words[1..].iter().map(AsRef::as_ref));
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}
