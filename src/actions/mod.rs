//! The kinds of actions, by family. Here is the registry alone: one line a kind.
//!
//! What an action is stands in `crate::action`; the site calls them.

pub mod celery;
pub mod cron;
pub mod django;
pub mod expect;
pub mod file;
pub mod git;
pub mod gunicorn;
pub mod http;
pub mod nginx;
pub mod pip;
pub mod pre_commit;
pub mod process;
pub mod run;
#[cfg(feature = "test-kind")]
pub mod sample;
pub mod service;
pub mod shell;
pub mod timer;

use crate::action::registry;
pub use crate::action::{
    Arg, Context, Error, From, Invocation, LINE, Look, Service, Stage, recorded,
};

registry! {
    /// A command, word by word, without a shell.
    "run" => Run(run::Run),
    /// A script for `sh`.
    "shell" => Shell(shell::Shell),
    /// A copy of a file, proved by reading it back.
    "file.backup" => FileBackup(file::backup::Backup),
    /// A whole file, replaced atomically.
    "file.replace" => FileReplace(file::replace::Replace),
    /// One line of a file.
    "file.line" => FileLine(file::line::Line),
    /// How many processes there are.
    "expect.process" => ExpectProcess(expect::process::Process),
    /// Whether a TCP port is open.
    "expect.port" => ExpectPort(expect::port::PortState),
    /// Nothing of the platform runs any more.
    "expect.stopped" => ExpectStopped(expect::stopped::Stopped),
    /// Whether a file is there, and what it is.
    "expect.file" => ExpectFile(expect::file::File),
    /// How a read-only command ends.
    "expect.command" => ExpectCommand(expect::command::Command),
    /// A daemon is started and ready.
    "process.start" => ProcessStart(process::start::Start),
    /// A daemon of `process.start` is stopped.
    "process.stop" => ProcessStop(process::stop::Stop),
    /// The web application's server is stopped.
    "gunicorn.stop" => GunicornStop(gunicorn::stop::Stop),
    /// The web application's server is started and ready.
    "gunicorn.start" => GunicornStart(gunicorn::start::Start),
    /// The web application's server takes new workers.
    "gunicorn.reload" => GunicornReload(gunicorn::reload::Reload),
    /// Nginx is stopped.
    "nginx.stop" => NginxStop(nginx::stop::Stop),
    /// Nginx is started and answers.
    "nginx.start" => NginxStart(nginx::start::Start),
    /// Nginx takes its new configuration.
    "nginx.reload" => NginxReload(nginx::reload::Reload),
    /// A maintenance page is switched on, or off.
    "nginx.maintenance" => NginxMaintenance(nginx::maintenance::Maintenance),
    /// A service of any kind is stopped.
    "service.stop" => ServiceStop(service::stop::Stop),
    /// A service of any kind is started and ready.
    "service.start" => ServiceStart(service::start::Start),
    /// Celery's workers are drained and stopped, or its beat is stopped.
    "celery.stop" => CeleryStop(celery::stop::Stop),
    /// Celery's workers, or its beat, are started and answer.
    "celery.start" => CeleryStart(celery::start::Start),
    /// A working clone stands at exactly one commit.
    "git.deploy" => GitDeploy(git::Deploy),
    /// Jobs of a crontab are put off.
    "cron.disable" => CronDisable(cron::disable::Disable),
    /// Jobs of a crontab are put on again.
    "cron.enable" => CronEnable(cron::enable::Enable),
    /// Timers of systemd are stopped.
    "timer.disable" => TimerDisable(timer::disable::Disable),
    /// Timers of systemd are started again.
    "timer.enable" => TimerEnable(timer::enable::Enable),
    /// A virtualenv of one release is built beside the old one, proved to start, and switched to.
    "pip.install" => PipInstall(pip::Install),
    /// The hooks of pre-commit are in a repository; not for production hosts.
    "pre_commit.install" => PreCommitInstall(pre_commit::Install),
    /// Django's own checks find nothing bad.
    "django.check" => DjangoCheck(django::check::Check),
    /// Static files are collected, compared and seen to be served.
    "django.collectstatic" => DjangoCollectstatic(django::collectstatic::Collectstatic),
    /// A page answers as it should.
    "http.check" => HttpCheck(http::Check),
    /// A directory holds a file, for the tests of the contract.
    "test.sample" => TestSample(sample::Sample) if feature = "test-kind",
}
