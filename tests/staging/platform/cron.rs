//! A system user with a crontab, made for one test. Only root can make one.
//!
//! The crontab is written to the spool byte for byte: `crontab` itself would refuse a missing last line feed.

use super::tools::{Call, mode, root};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// The user; it and its crontab go when this is dropped.
#[derive(Debug)]
pub(crate) struct CronUser {
    name: String,
}

/// Lines of bk-monitor among those of others, odd blanks, a comment that looks like a job, and no last line feed.
pub(crate) const CRONTAB: &str = "# m h  dom mon dow   command\nMAILTO=\"\"\n\n\
    */5 * * * * /data/bkce/bk-monitor/bin/check.sh\n\t0  3 * * *\t/usr/bin/backup --all   \n\
    # 1 1 * * * /data/bkce/bk-monitor/bin/retired.sh\n@daily /data/bkce/bk-monitor/bin/clean.sh % with percent\n\
    17 * * * * /usr/bin/other";

impl CronUser {
    /// A new user whose crontab is this.
    pub(crate) fn with(crontab: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        assert!(
            root(),
            "only root can make a user for the test; run the tests as root"
        );
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let user = Self {
            name: format!("upl-{}-{number}", std::process::id()),
        };
        // Others may hold the lock of the list of users.
        super::patiently("a user is made", || {
            let args = [
                "--system",
                "--no-create-home",
                "--shell",
                "/usr/sbin/nologin",
            ];
            let call = Call::new("useradd").args(args).args([&user.name]);
            call.output().status.success()
        });
        std::fs::write(user.spool(), crontab)
            .expect("the spool; install it with: apt-get install -y cron");
        mode(&user.spool(), 0o600);
        let owner = format!("{}:crontab", user.name);
        Call::new("chown")
            .args([owner.as_str(), user.spool().to_str().expect("text")])
            .run();
        user
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its crontab, byte for byte.
    pub(crate) fn crontab(&self) -> String {
        std::fs::read_to_string(self.spool()).unwrap_or_default()
    }

    /// Where cron reads it.
    pub(crate) fn spool(&self) -> PathBuf {
        PathBuf::from("/var/spool/cron/crontabs").join(&self.name)
    }
}

impl Drop for CronUser {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = std::fs::remove_file(self.spool());
        super::patiently("the user is gone", || {
            let done = Call::new("userdel").args([&self.name]).output();
            // 6: there is no such user.
            done.status.success() || done.status.code() == Some(6)
        });
    }
}
