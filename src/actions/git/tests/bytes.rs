//! What is deployed are the bytes of the commit, whatever its user has configured for their own work; and a tree counts as
//! clean by its content.

use super::*;

/// The user's configuration; `@` is the place.
fn configured(place: &Place, text: &str) {
    let here = place.0.path().display().to_string();
    place.write(".gitconfig", &text.replace('@', &here));
}

#[test]
fn the_users_configuration_changes_no_byte() {
    for config in [
        "[core]\n\tautocrlf = true\n",
        "[core]\n\tautocrlf = input\n\teol = crlf\n\tattributesFile = @/attributes\n",
        "[core]\n\tattributesFile = @/attributes\n[filter \"loud\"]\n\tsmudge = tr a-z A-Z\n\tclean = cat\n\trequired = true\n",
        "[filter \"slow\"]\n\tprocess = false\n\trequired = true\n",
        "[init]\n\ttemplateDir = @/template\n[clone]\n\tdefaultRemoteName = upstream\n[color]\n\tui = always\n",
    ] {
        let place = Place::new();
        place.write("attributes", "* text eol=crlf filter=loud\n");
        place.write("template/info/attributes", "* text eol=crlf\n");
        configured(&place, config);
        let to = |reference: &str| place.step(&place.to(reference));
        to("app/1.0").perform().unwrap();
        assert_eq!(place.read("app/same.txt"), "same\n", "{config}");
        let mut step = to("app/2.0");
        step.perform().unwrap();
        assert_eq!(step.probe().answer, Answer::Done, "{config}");
        assert_eq!(place.read("app/new/one.txt"), "one\n", "{config}");
        assert_eq!(place.read("app/zz.txt"), "a line of text\n".repeat(100));
        step.undo().unwrap();
        assert_eq!(place.read("app/old.txt"), "old\n", "{config}");
    }
}

#[test]
fn a_link_stays_a_link_and_a_name_in_another_encoding_stays_that_name() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"\xd6\xd0\xce\xc4.txt");
    std::fs::write(place.path("source").join(name), "one\n").unwrap();
    std::os::unix::fs::symlink("VERSION", place.path("source/link")).unwrap();
    place.release("app/5.0", false);
    std::fs::write(place.path("source").join(name), "two\n").unwrap();
    place.release("app/6.0", false);
    configured(
        &place,
        "[core]\n\tsymlinks = false\n\tignoreCase = true\n\tquotePath = true\n",
    );
    for (tag, text) in [("app/5.0", "one\n"), ("app/6.0", "two\n")] {
        let mut step = place.step(&place.to(tag));
        step.perform().unwrap();
        assert_eq!(step.probe().answer, Answer::Done, "{tag}");
        let held = std::fs::read(place.path("app").join(name)).unwrap();
        assert_eq!(held, text.as_bytes());
        let link = std::fs::symlink_metadata(place.path("app/link")).unwrap();
        assert!(link.is_symlink());
    }
}

#[test]
fn variables_of_git_in_the_steps_environment_lead_nowhere_else() {
    let place = Place::new();
    place.cloned();
    let mut cx = place.context();
    for (key, value) in [
        ("GIT_DIR", "/nonexistent"),
        ("GIT_INDEX_FILE", "/nonexistent/index"),
        ("GIT_ATTR_SOURCE", "main"),
        ("GIT_TRACE", "1"),
        ("GIT_ICASE_PATHSPECS", "1"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.autocrlf"),
        ("GIT_CONFIG_VALUE_0", "true"),
    ] {
        cx.env.push((key.into(), value.into()));
    }
    let mut step = TestStep::observed(place.to("app/2.0"), &cx).unwrap();
    step.perform().unwrap();
    assert_eq!(step.probe().answer, Answer::Done);
    assert_eq!(place.read("app/new/one.txt"), "one\n");
}

/// Two more releases with a file that its attribute would have stored otherwise: git calls it modified for ever.
fn never_clean(place: &Place) {
    place.write("source/.gitattributes", "*.bat text\n");
    for (tag, text) in [("app/3.0", "a\r\nb\r\n"), ("app/4.0", "a\r\nc\r\n")] {
        place.write("source/run.bat", text);
        let blob = place.git("source", &["hash-object", "-w", "--no-filters", "run.bat"]);
        place.git("source", &["add", ".gitattributes"]);
        let entry = format!("100644,{blob},run.bat");
        place.git("source", &["update-index", "--add", "--cacheinfo", &entry]);
        place.git("source", &["commit", "-q", "-m", tag]);
        place.git("source", &["tag", tag]);
    }
}

#[test]
fn a_file_that_an_attribute_never_lets_be_clean_is_clean_by_its_content() {
    let place = Place::new();
    never_clean(&place);
    place.step(&place.to("app/3.0")).perform().unwrap();
    // The index remembers nothing of it any more.
    place.git("app", &["read-tree", "HEAD"]);
    assert!(
        place
            .git("app", &["status", "--porcelain"])
            .contains("run.bat")
    );
    let mut step = place.step(&place.to("app/4.0"));
    step.perform().unwrap();
    assert_eq!(step.probe().answer, Answer::Done);
    assert_eq!(place.read("app/run.bat"), "a\r\nc\r\n");
    step.undo().unwrap();
    assert_eq!(step.undone().answer, Answer::Done);
    assert_eq!(place.read("app/run.bat"), "a\r\nb\r\n");

    place.write("app/run.bat", "somebody's\n");
    let why = TestStep::observed(place.to("app/4.0"), &place.context());
    let why = why.err().unwrap().to_string();
    assert!(why.contains("run.bat (its attributes: text=set)"), "{why}");
}

#[test]
fn a_tree_that_cannot_be_clean_names_the_attribute() {
    let place = Place::new();
    place.write("source/.gitattributes", "*.id ident\n");
    place.write("source/a.id", "$Id: deadbeef$\n");
    let blob = place.git("source", &["hash-object", "-w", "--no-filters", "a.id"]);
    place.git("source", &["add", ".gitattributes"]);
    let entry = format!("100644,{blob},a.id");
    place.git("source", &["update-index", "--add", "--cacheinfo", &entry]);
    place.git("source", &["commit", "-q", "-m", "3"]);
    place.git("source", &["tag", "app/3.0"]);
    let why = place.step(&place.to("app/3.0")).perform().unwrap_err();
    assert!(why.contains("a.id (its attributes: ident=set)"), "{why}");
    assert!(!place.path("app").exists(), "nothing of it has its name");
}

#[test]
fn bytes_that_another_configuration_has_written_are_seen_and_written_anew() {
    for tag in ["app/1.0", "app/2.0"] {
        let place = Place::new();
        let crlf = ["-c", "core.autocrlf=true"];
        let clone = ["clone", "-q", "-b", "app/1.0", "source", "app"];
        place.git("", &[&crlf[..], &clone[..]].concat());
        for name in ["VERSION", "old.txt", "same.txt", ".gitignore"] {
            let file = std::fs::File::open(place.path(&format!("app/{name}"))).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        place.git(
            "app",
            &[&crlf[..], &["update-index", "-q", "--refresh"]].concat(),
        );
        assert_eq!(place.read("app/same.txt"), "same\r\n");
        let mut step = place.step(&place.to(tag));
        if tag == "app/1.0" {
            let look = step.probe();
            assert_eq!(look.answer, Answer::Unclear, "{look:?}");
            let said = look.evidence.join(" ");
            assert!(
                said.contains("other bytes") && said.contains("same.txt"),
                "{said}"
            );
        }
        let out = step.perform().unwrap();
        assert!(
            out.contains("written anew") && out.contains("same.txt"),
            "{out}"
        );
        assert_eq!(place.read("app/same.txt"), "same\n");
        assert_eq!(step.probe().answer, Answer::Done);
        assert_eq!(place.git("app", &["status", "--porcelain"]), "");
        step.undo().unwrap();
        assert_eq!(step.undone().answer, Answer::Done);
    }
}
