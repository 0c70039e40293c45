use super::*;
use crate::testing::TempDir;

fn folder(temp: &TempDir) -> Folder {
    let folder = Folder::locate(Some(temp.path().join("data"))).unwrap();
    folder.make().unwrap();
    folder
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn folder_and_key_are_the_owners_alone_and_the_key_stays() {
    let temp = TempDir::new();
    let folder = folder(&temp);
    assert_eq!(mode_of(folder.path()), 0o700);
    assert!(folder.key().unwrap().is_none());
    let first = folder.key_or_new().unwrap().peer_id();
    assert_eq!(mode_of(&folder.file(KEY)), 0o600);
    assert_eq!(folder.key_or_new().unwrap().peer_id(), first);
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, [KEY], "no drafts are left");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_way_out() {
    let temp = TempDir::new();
    let folder = folder(&temp);
    folder.key_or_new().unwrap();
    for mode in [0o640, 0o604, 0o660] {
        set_mode(&folder.file(KEY), mode);
        let failure = folder.key_or_new().unwrap_err();
        assert_eq!(failure.kind, Kind::Damaged);
        assert!(failure.message.contains("chmod 600"), "{failure}");
        assert!(failure.message.contains(&format!("{mode:o}")), "{failure}");
    }
}

#[test]
fn a_damaged_key_is_named_and_never_replaced() {
    let temp = TempDir::new();
    let folder = folder(&temp);
    let sign_bit_set = (0u8..).find(|&b| SecretKey::from_seed([b; 32]).is_err()).unwrap();
    let wrong_sign = NetworkKey::from_bytes([sign_bit_set; 32]).to_file();
    for text in ["", "abc\n", "zz", &"0".repeat(65), "\u{0}", &wrong_sign] {
        fs::write(folder.file(KEY), text).unwrap();
        set_mode(&folder.file(KEY), 0o600);
        let failure = folder.key_or_new().unwrap_err();
        assert_eq!(failure.kind, Kind::Damaged, "{text:?}");
        assert!(failure.message.contains("put a copy back"), "{failure}");
        assert_eq!(fs::read_to_string(folder.file(KEY)).unwrap(), text);
    }
    fs::write(folder.file(KEY), [0xff; 32]).unwrap();
    assert!(folder.key().unwrap_err().message.contains("not text"));
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    let temp = TempDir::new();
    let folder = folder(&temp);
    set_mode(folder.path(), 0o770);
    let failure = folder.make().unwrap_err();
    assert!(failure.message.contains("chmod 700"), "{failure}");
    set_mode(folder.path(), 0o755);
    folder.make().unwrap();
}

#[test]
fn the_second_lock_names_the_process_that_holds_the_first() {
    let temp = TempDir::new();
    let folder = folder(&temp);
    let lock = folder.lock().unwrap();
    let failure = folder.lock().unwrap_err();
    assert_eq!(failure.kind, Kind::Busy);
    assert!(failure.message.contains(&format!("process {}", std::process::id())), "{failure}");
    drop(lock);
    folder.lock().unwrap();
}

#[test]
fn other_secrets_and_the_network_key_stay_too() {
    let temp = TempDir::new();
    let folder = folder(&temp);
    let first = folder.secret_or_new(CONNECTION_ID_KEY).unwrap();
    assert_eq!(folder.secret_or_new(CONNECTION_ID_KEY).unwrap(), first);
    assert!(folder.network_key().unwrap().is_none());
    assert!(folder.make_network_key().unwrap());
    let key = folder.network_key().unwrap().unwrap();
    assert!(!folder.make_network_key().unwrap());
    assert_eq!(folder.network_key().unwrap().unwrap(), key);
    fs::write(folder.file(NETWORK_KEY), "short").unwrap();
    assert_eq!(folder.make_network_key().unwrap_err().kind, Kind::Damaged);
}

#[test]
fn replacing_leaves_the_new_content_and_no_draft() {
    let temp = TempDir::new();
    let path = temp.path().join("state");
    fs::write(temp.path().join("state.new"), "left by a killed process").unwrap();
    for text in ["one", "two"] {
        replace(&path, text.as_bytes()).unwrap();
        assert_eq!(read_text(&path).unwrap().as_deref(), Some(text));
    }
    assert_eq!(mode_of(&path), 0o600);
    assert!(!temp.path().join("state.new").exists());
}
