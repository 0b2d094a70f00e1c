//! `pip.install` and what requirement files may hold: pins in every spelling that pip takes for the installed version,
//! editables, other encodings, and passwords in URLs.

use crate::pip::{PYTHON, Site};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A package with a build backend of its own in a folder of a git repository, so that nothing comes from a network.
const PACKAGE: &str = r#"
import os, subprocess, sys
top = sys.argv[1]; where = os.path.join(top, "lib", "tool"); os.makedirs(where)
open(os.path.join(where, "pyproject.toml"), "w").write('''[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
''')
open(os.path.join(where, "backend.py"), "w").write('''
import os, zipfile
def make(d, files):
    name, info = "my_tool-1.0.post1-py3-none-any.whl", "my_tool-1.0.post1.dist-info"
    files = dict(files, **{info + "/METADATA": "Metadata-Version: 2.1\\nName: my-tool\\nVersion: 1.0.post1\\n",
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n", info + "/RECORD": ""})
    with zipfile.ZipFile(os.path.join(d, name), "w") as z:
        for path, text in files.items(): z.writestr(path, text)
    return name
def build_wheel(d, config_settings=None, metadata_directory=None): return make(d, {"my_tool.py": ""})
def build_editable(d, config_settings=None, metadata_directory=None): return make(d, {"my_tool.pth": os.getcwd() + "\\n"})
''')
git = lambda *words: subprocess.run(["git", "-C", top, "-c", "user.name=t", "-c", "user.email=t@localhost", *words], check=True)
git("init", "-q", "-b", "main"); git("add", "-A"); git("commit", "-q", "-m", "1")
"#;

/// A site whose second file is this, with the package's repository in `source`.
fn site(env: &str, file: &[u8]) -> Site {
    let site = Site::new(PYTHON, 0, env);
    let made = Command::new(PYTHON)
        .args(["-c", PACKAGE])
        .arg(site.0.path("source"))
        .status()
        .expect("python3 and git");
    assert!(made.success());
    std::fs::write(site.0.path("env.txt"), file).expect("written");
    site
}

#[test]
fn a_pin_is_met_by_whatever_pip_takes_for_it() {
    let dir = |site: &Site| site.0.path("source/lib/tool").display().to_string();
    let spellings = [
        "Celery == v5.3.1.0",
        "celery>=5.2,!=5.2.7",
        "celery===5.3.1",
        "celery~=5.3.0",
    ];
    // Each takes a virtualenv; the long tier has the time for all.
    let some = match std::env::var_os("UPLEDGER_EVERY_PLACE") {
        Some(_) => spellings.len(),
        None => 1,
    };
    for spelling in &spellings[..some] {
        let site = site("", format!("{spelling}\n").as_bytes());
        let file = format!(
            "{spelling}\nnone==1; python_version < '3'\n-e {}\nmy.tool==1.0-1\n",
            dir(&site)
        );
        std::fs::write(site.0.path("env.txt"), file).expect("written");
        let done = site.0.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{spelling}: {done:?}");
        site.assert_in_force();
    }
}

#[test]
fn a_file_in_another_encoding_is_read_as_pip_reads_it_or_refused_by_name() {
    let utf_16: Vec<u8> = "\u{feff}-r more.txt\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let site = site("", &utf_16);
    site.0.write("more.txt", "celery==5.3.1\n");
    assert_eq!(site.0.upledger(&["run", "plan.yaml"]).code, 0);
    site.assert_in_force();
    site.0.write("more.txt", "celery==5.2.7\n");
    let changed = site.0.upledger(&["run", "plan.yaml"]);
    assert_ne!(changed.code, 0, "a changed file is noticed: {changed:?}");
    assert!(
        changed.out.contains("more.txt changed") || changed.err.contains("more.txt changed"),
        "{changed:?}"
    );

    std::fs::write(
        site.0.path("env.txt"),
        b"# \xd6\xd0\xce\xc4\ncelery==5.3.1\n",
    )
    .expect("written");
    let refused = site.0.upledger(&["plan", "plan.yaml"]);
    assert!(
        refused
            .out
            .contains("env.txt is not UTF-8 but GB18030 (GBK)"),
        "{refused:?}"
    );
}

#[test]
fn the_password_of_a_url_is_in_no_record_and_in_no_file_that_others_can_read() {
    const PASSWORD: &str = "tok3n-of-the-url";
    for login in ["deploy:tok3n-of-the-url", "tok3n-of-the-url"] {
        let file = format!(
            "celery==5.3.1\n-e git+https://{login}@code.example/x.git@main#egg=my-tool&subdirectory=lib/tool\n"
        );
        let site = site("", file.as_bytes());
        let world = &site.0;
        // Git is sent elsewhere by its configuration, and repeats the URL that it was given.
        let config = format!(
            "[url \"file://{}\"]\n\tinsteadOf = https://{login}@code.example/x.git\n",
            world.path("source").display()
        );
        std::fs::write(world.path("gitconfig"), config).expect("written");
        site.edit(
            "        retry:",
            "        env: {GIT_CONFIG_GLOBAL: \"${dir}/gitconfig\"}\n        retry:",
        );
        let done = world.upledger(&["run", "plan.yaml"]);
        assert_eq!(done.code, 0, "{login}: {done:?}");
        let log = world.upledger(&["log", "--json"]).out
            + &world.upledger(&["log", "--output", "pip"]).out;
        assert!(log.contains("[hidden]@code.example"), "{log}");
        assert!(!format!("{done:?}{log}").contains(PASSWORD), "{login}");
        for name in [".upledger/freeze.txt", ".upledger/note.json"] {
            let path = world.path("venvs/new").join(name);
            let text = std::fs::read_to_string(&path).expect("readable");
            assert!(!text.contains(PASSWORD), "{name}");
        }
        let mode = std::fs::metadata(world.path("venvs/new/.upledger/freeze.txt"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn what_pip_wrote_down_before_it_failed_is_for_its_owner_alone() {
    let site = site("", b"nothing==9\n");
    let done = site.0.upledger(&["run", "plan.yaml"]);
    assert_eq!(done.code, 1, "{done:?}");
    let log = site.0.path("venvs/new/.upledger/pip.log");
    let mode = std::fs::metadata(log).expect("kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(site.0.rollback().code, 5);
}
