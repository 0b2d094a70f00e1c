//! The kinds of actions, by family. Here is the registry alone: one line a kind.
//!
//! What an action is stands in `crate::action`; the site calls them.

pub mod celery;
pub mod config;
pub mod cron;
pub mod dir;
pub mod django;
mod dump;
pub mod env;
pub mod expect;
pub mod file;
pub mod git;
pub mod gunicorn;
pub mod http;
pub mod mysql;
pub mod nginx;
pub mod pip;
pub mod postgres;
pub mod pre_commit;
pub mod process;
pub mod redis;
pub mod release;
pub mod run;
#[cfg(feature = "test-kind")]
pub mod sample;
pub mod service;
pub mod shell;
pub mod supervisor;
pub mod timer;

use crate::action::registry;
pub use crate::action::{
    Arg, Context, Error, From, Invocation, LINE, Look, Service, Stage, recorded,
};

registry! {
    /// A command as a list of arguments, without a shell.
    "run" => Run(run::Run),
    /// A script for `sh`.
    "shell" => Shell(shell::Shell),
    /// A copy of a file, verified by reading it back.
    "file.backup" => FileBackup(file::backup::Backup),
    /// A file as a copy of it holds it.
    "file.restore" => FileRestore(file::restore::Restore),
    /// A whole file, replaced atomically.
    "file.replace" => FileReplace(file::replace::Replace),
    /// One line of a file.
    "file.line" => FileLine(file::line::Line),
    /// A copy of a whole directory, proved by its digest.
    "dir.backup" => DirBackup(dir::backup::Backup),
    /// A directory as a copy of it holds it.
    "dir.restore" => DirRestore(dir::restore::Restore),
    /// Copies of configuration files, in the state directory.
    "config.backup" => ConfigBackup(config::backup::Backup),
    /// What differs between two configuration files, secrets masked.
    "config.diff" => ConfigDiff(config::diff::Diff),
    /// Values of a configuration file, changed where they stand.
    "config.set" => ConfigSet(config::set::Set),
    /// Variables of the environment of all later steps.
    "env.set" => EnvSet(env::set::Set),
    /// Variables that a script exports, for all later steps.
    "env.capture" => EnvCapture(env::capture::Capture),
    /// The number of processes.
    "expect.process" => ExpectProcess(expect::process::Process),
    /// Whether a TCP port is open.
    "expect.port" => ExpectPort(expect::port::PortState),
    /// The platform has stopped.
    "expect.stopped" => ExpectStopped(expect::stopped::Stopped),
    /// Whether a file exists, and its properties.
    "expect.file" => ExpectFile(expect::file::File),
    /// Values of a configuration file, and the processes that serve with them.
    "expect.config" => ExpectConfig(config::check::Values),
    /// The result of a read-only command.
    "expect.command" => ExpectCommand(expect::command::Command),
    /// A daemon is started and ready.
    "process.start" => ProcessStart(process::start::Start),
    /// A daemon of `process.start` is stopped.
    "process.stop" => ProcessStop(process::stop::Stop),
    /// The web application's server is stopped.
    "gunicorn.stop" => GunicornStop(gunicorn::stop::Stop),
    /// The web application's server is started and ready.
    "gunicorn.start" => GunicornStart(gunicorn::start::Start),
    /// The web application's server replaces its workers.
    "gunicorn.reload" => GunicornReload(gunicorn::reload::Reload),
    /// Nginx is stopped.
    "nginx.stop" => NginxStop(nginx::stop::Stop),
    /// Nginx is started and responds.
    "nginx.start" => NginxStart(nginx::start::Start),
    /// Nginx loads its new configuration.
    "nginx.reload" => NginxReload(nginx::reload::Reload),
    /// A maintenance page is switched on, or off.
    "nginx.maintenance" => NginxMaintenance(nginx::maintenance::Maintenance),
    /// A service of any kind is stopped.
    "service.stop" => ServiceStop(service::stop::Stop),
    /// A service of any kind is started and ready.
    "service.start" => ServiceStart(service::start::Start),
    /// supervisord runs the configuration of its files.
    "supervisor.update" => SupervisorUpdate(supervisor::Update),
    /// Celery workers are drained and stopped, or beat is stopped.
    "celery.stop" => CeleryStop(celery::stop::Stop),
    /// Celery workers, or beat, are started and respond.
    "celery.start" => CeleryStart(celery::start::Start),
    /// A working clone is at exactly one commit.
    "git.deploy" => GitDeploy(git::Deploy),
    /// Jobs of a crontab are disabled.
    "cron.disable" => CronDisable(cron::disable::Disable),
    /// Jobs of a crontab are enabled again.
    "cron.enable" => CronEnable(cron::enable::Enable),
    /// Systemd timers are stopped.
    "timer.disable" => TimerDisable(timer::disable::Disable),
    /// Systemd timers are started again.
    "timer.enable" => TimerEnable(timer::enable::Enable),
    /// A virtualenv for one release is built while the old one stays in use, tested, and switched to.
    "pip.install" => PipInstall(pip::Install),
    /// Several links are switched to a new release, as one step.
    "release.switch" => ReleaseSwitch(release::switch::Switch),
    /// Old releases, virtualenvs and static files are removed.
    "release.prune" => ReleasePrune(release::prune::Prune),
    /// pre-commit hooks are installed in a repository; not for production hosts.
    "pre_commit.install" => PreCommitInstall(pre_commit::Install),
    /// Django's system checks pass.
    "django.check" => DjangoCheck(django::check::Check),
    /// Static files are collected, compared and checked to be served.
    "django.collectstatic" => DjangoCollectstatic(django::collectstatic::Collectstatic),
    /// The migrations of a release are applied, and compared with the database.
    "django.migrate" => DjangoMigrate(django::migrate::Migrate),
    /// One migration is recorded as applied, because the schema holds it already.
    "django.fake" => DjangoFake(django::fake::Fake),
    /// The database of a test installation is empty.
    "django.reinitialise" => DjangoReinitialise(django::reinitialise::Reinitialise),
    /// A command of `manage.py` succeeds by all that the plan declares.
    "django.command" => DjangoCommand(django::command::Command),
    /// Schemas of MariaDB or MySQL are dumped, and the dump is proved by restoring it.
    "mysql.backup" => MysqlBackup(mysql::backup::Backup),
    /// Schemas are as a backup holds them.
    "mysql.restore" => MysqlRestore(mysql::restore::Restore),
    /// A page responds as expected.
    "http.check" => HttpCheck(http::Check),
    /// A Redis server, or declared keys of it, is backed up.
    "redis.backup" => RedisBackup(redis::backup::Backup),
    /// A Redis server, or declared keys of it, is brought back to a backup.
    "redis.restore" => RedisRestore(redis::restore::Restore),
    /// Keys, role and saves of a Redis server.
    "redis.expect" => RedisExpect(redis::expect::Expect),
    /// Tables, columns, rows and values of a MariaDB or MySQL server.
    "mysql.expect" => MysqlExpect(mysql::expect::Expect),
    /// A PostgreSQL database is dumped, and the dump is proved by restoring it.
    "postgres.backup" => PostgresBackup(postgres::backup::Backup),
    /// A PostgreSQL database is as a backup holds it.
    "postgres.restore" => PostgresRestore(postgres::restore::Restore),
    /// Tables, columns, rows and values of a PostgreSQL database.
    "postgres.expect" => PostgresExpect(postgres::expect::Expect),
    /// The answer of a query, as facts.
    "mysql.query" => MysqlQuery(mysql::query::Query),
    /// A directory holds a file, for the tests of the contract.
    "test.sample" => TestSample(sample::Sample) if feature = "test-kind",
}
