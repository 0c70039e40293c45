//! What a child process does. The benchmark runs itself again, so that the two ends of a
//! connection never share a process: `bench child STACK ROLE ARGUMENTS…`. A child prints one line
//! when it is ready or done, and ends at the latest when its standard input closes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncReadExt;

use crate::stack::{SMALL, Stack, Target};

/// No child outlives this, whatever happens.
const LIFETIME: Duration = Duration::from_secs(300);
/// Handshakes made before CPU time is counted.
const WARM_UP: usize = 20;

/// Runs one role of a child process to its end.
pub fn run<S: Stack>(role: &str, args: &[String]) -> Result<()> {
    take_a_core(role)?;
    runtime()?.block_on(async {
        let role = perform::<S>(role, args);
        tokio::time::timeout(LIFETIME, role).await.context("the child took too long")?
    })
}

/// One thread for each process, so that two cores carry the two ends.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Servers on the first core, the others on the last: where the scheduler would put two processes
/// changes small requests by a factor of two.
fn take_a_core(role: &str) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let mut core = CpuSet::new();
    core.set(if role == "serve" { 0 } else { cores - 1 });
    Ok(sched_setaffinity(None, &core)?)
}

async fn perform<S: Stack>(role: &str, args: &[String]) -> Result<()> {
    match role {
        "serve" => serve::<S>().await,
        "connect" => say(connect::<S>(&target(args)?).await?),
        "first" => say(first::<S>(&target(args)?, &args[1]).await?),
        "upload" => say(upload::<S>(&target(args)?, number(args, 1)?).await?),
        "small" => say(small::<S>(&target(args)?, number(args, 1)?, number(args, 2)?).await?),
        "hold" => hold::<S>(&target(args)?, number(args, 1)?).await,
        "handshakes" => say(handshakes::<S>(number(args, 0)? as usize, &args[1]).await?),
        _ => bail!("no such role: {role}"),
    }
}

fn target(args: &[String]) -> Result<Target> {
    args.first().context("whom to dial")?.parse()
}

fn number(args: &[String], index: usize) -> Result<u64> {
    Ok(args.get(index).context("a number is missing")?.parse()?)
}

/// Prints a time in seconds.
fn say(time: Duration) -> Result<()> {
    println!("{}", time.as_secs_f64());
    Ok(())
}

/// Serves until the parent closes our standard input.
async fn serve<S: Stack>() -> Result<()> {
    let endpoint = S::bind(&S::identity()?)?;
    println!("{}", S::target(&endpoint)?);
    tokio::spawn(S::serve_all(endpoint));
    parent_done().await
}

/// Waits until the parent closes our standard input.
pub async fn parent_done() -> Result<()> {
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// From the dial to the end of the handshake.
async fn connect<S: Stack>(target: &Target) -> Result<Duration> {
    let endpoint = S::bind(&S::identity()?)?;
    let start = Instant::now();
    let connection = S::connect(&endpoint, target).await?;
    let time = start.elapsed();
    S::close(&connection);
    Ok(time)
}

/// From the dial to the application's reply.
async fn first<S: Stack>(target: &Target, kind: &str) -> Result<Duration> {
    let endpoint = S::bind(&S::identity()?)?;
    let body = [7; SMALL];
    let start = Instant::now();
    let reply = match kind {
        "idempotent" => S::first_request(&endpoint, target, &body).await?,
        _ => S::request(&S::connect(&endpoint, target).await?, &body).await?,
    };
    let time = start.elapsed();
    ensure!(reply == body, "a wrong reply");
    Ok(time)
}

/// One stream on a connection that already stands.
async fn upload<S: Stack>(target: &Target, bytes: u64) -> Result<Duration> {
    let endpoint = S::bind(&S::identity()?)?;
    let connection = S::connect(&endpoint, target).await?;
    let start = Instant::now();
    S::upload(&connection, bytes).await?;
    let time = start.elapsed();
    S::close(&connection);
    Ok(time)
}

/// `count` requests, `at_once` of them under way at any time.
async fn small<S: Stack>(target: &Target, at_once: u64, count: u64) -> Result<Duration> {
    let endpoint = S::bind(&S::identity()?)?;
    let connection = S::connect(&endpoint, target).await?;
    requests::<S>(connection.clone(), count / at_once / 10).await?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..at_once)
        .map(|_| tokio::spawn(requests::<S>(connection.clone(), count / at_once)))
        .collect();
    for task in tasks {
        task.await??;
    }
    let time = start.elapsed();
    S::close(&connection);
    Ok(time)
}

async fn requests<S: Stack>(connection: S::Connection, count: u64) -> Result<()> {
    let body = [7; SMALL];
    for _ in 0..count {
        ensure!(S::request(&connection, &body).await? == body, "a wrong reply");
    }
    Ok(())
}

/// Opens connections, each from an endpoint of its own, and keeps them until the parent closes our
/// standard input.
async fn hold<S: Stack>(target: &Target, count: u64) -> Result<()> {
    let mut held = Vec::new();
    for _ in 0..count {
        let endpoint = S::bind(&S::identity()?)?;
        let connection = S::connect(&endpoint, target).await?;
        held.push((endpoint, connection));
    }
    println!("{}", held.len());
    parent_done().await
}

/// CPU time of the process for one handshake, both sides of it, without what comes after.
async fn handshakes<S: Stack>(count: usize, pairs: &str) -> Result<Duration> {
    let server = S::bind(&S::identity()?)?;
    let target = S::target(&server)?;
    let distinct = if pairs == "fresh" { count + WARM_UP } else { 1 };
    let clients = (0..distinct).map(|_| S::bind(&S::identity()?)).collect::<Result<Vec<_>>>()?;
    let mut start = Duration::ZERO;
    for round in 0..count + WARM_UP {
        if round == WARM_UP {
            start = cpu_time();
        }
        let client = &clients[round % distinct];
        let (dialed, accepted) = tokio::join!(S::connect(client, &target), S::accept(&server));
        S::close(&dialed?);
        S::close(&accepted.context("the server is closed")?);
    }
    Ok((cpu_time() - start) / count as u32)
}

/// User and system time of this process, all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
