//! The end of what a program wrote, with the tracebacks of Python shortened: of each, the place and the exception count,
//! and not the frames of a framework.

/// A frame: `  File "/srv/app/x.py", line 7, in load`.
fn is_frame(line: &str) -> bool {
    let text = line.trim_start();
    text.len() < line.len() && text.starts_with("File \"") && text.contains("\", line ")
}

/// It lies in what was installed, not in what the site wrote.
fn is_installed(frame: &str) -> bool {
    [
        "/site-packages/",
        "/dist-packages/",
        "/lib/python",
        "<frozen ",
    ]
    .iter()
    .any(|part| frame.contains(part))
}

/// The lines, with one frame for each traceback: the last one of the site's own code, else the last one.
pub(crate) fn shortened<'t>(lines: &[&'t str]) -> Vec<&'t str> {
    let mut short: Vec<&'t str> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if !is_frame(lines[at]) {
            short.push(lines[at]);
            at += 1;
            continue;
        }
        let depth = |line: &str| line.len() - line.trim_start().len();
        let frames = depth(lines[at]);
        let end = lines[at..]
            .iter()
            .position(|l| !is_frame(l) && depth(l) <= frames && !l.trim_start().starts_with('['))
            .map_or(lines.len(), |n| at + n);
        let all: Vec<&str> = lines[at..end]
            .iter()
            .copied()
            .filter(|l| is_frame(l))
            .collect();
        let own = all.iter().rev().find(|f| !is_installed(f));
        short.extend(own.or(all.last()));
        at = end;
    }
    short
}

/// The last `n` lines that are not empty, tracebacks shortened.
pub(crate) fn last<'t>(lines: impl Iterator<Item = &'t str>, n: usize) -> Vec<&'t str> {
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    let mut lines = shortened(&lines);
    lines.drain(..lines.len().saturating_sub(n));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = r#"starting
Traceback (most recent call last):
  File "/v/lib/python3.11/site-packages/gunicorn/arbiter.py", line 609, in spawn_worker
    worker.init_process()
    ^^^^^^^^^^^^^^^^^^^^^
  File "/srv/app/wsgi.py", line 3, in <module>
    import settings_of_yesterday
  File "<frozen importlib._bootstrap>", line 1027, in _find_and_load
ModuleNotFoundError: No module named 'settings_of_yesterday'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/v/lib/python3.11/site-packages/celery/bin/celery.py", line 60, in convert
    self.fail(
celery.Refused: cannot load the application
    with details
worker exits"#;

    #[test]
    fn of_a_traceback_the_place_and_the_exception_stay() {
        let lines: Vec<&str> = BOOT.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(
            shortened(&lines),
            [
                "starting",
                "Traceback (most recent call last):",
                r#"  File "/srv/app/wsgi.py", line 3, in <module>"#,
                "ModuleNotFoundError: No module named 'settings_of_yesterday'",
                "During handling of the above exception, another exception occurred:",
                "Traceback (most recent call last):",
                r#"  File "/v/lib/python3.11/site-packages/celery/bin/celery.py", line 60, in convert"#,
                "celery.Refused: cannot load the application",
                "    with details",
                "worker exits",
            ]
        );
    }

    #[test]
    fn a_window_that_begins_inside_frames_still_ends_with_the_exception() {
        let cut = BOOT.split_once("worker.init").unwrap().1;
        let end = last(cut.lines(), 3).join("|");
        assert_eq!(
            end,
            "celery.Refused: cannot load the application|    with details|worker exits"
        );
        let plain = "  indented: text\n\n  File of ours\nend";
        assert_eq!(
            last(plain.lines(), 9),
            ["  indented: text", "  File of ours", "end"]
        );
    }
}
