//! `hostPath`: a path of the node, checked for what the pod expects there.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Checks the path against the volume's `type`, creating what the type says is to be created.
pub(super) fn check(path: &Path, kind: &str) -> Result<(), String> {
    let shown = path.display();
    let found = fs::metadata(path).ok().map(|metadata| metadata.file_type());
    let create_directory = || {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.map_err(|error| format!("cannot create directory {shown}: {error}"))
    };
    match (kind, found) {
        ("", Some(_)) => Ok(()),
        ("" | "DirectoryOrCreate", None) => create_directory(),
        ("FileOrCreate", None) => {
            let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
            made.map(drop).map_err(|error| format!("cannot create file {shown}: {error}"))
        }
        ("Directory" | "DirectoryOrCreate", Some(found)) if found.is_dir() => Ok(()),
        ("File" | "FileOrCreate", Some(found)) if found.is_file() => Ok(()),
        ("Socket", Some(found)) if found.is_socket() => Ok(()),
        ("CharDevice", Some(found)) if found.is_char_device() => Ok(()),
        ("BlockDevice", Some(found)) if found.is_block_device() => Ok(()),
        ("Directory" | "DirectoryOrCreate", _) => Err(format!("{shown} is not a directory")),
        ("File" | "FileOrCreate", _) => Err(format!("{shown} is not a file")),
        ("Socket", _) => Err(format!("{shown} is not a socket file")),
        ("CharDevice", _) => Err(format!("{shown} is not a character device")),
        ("BlockDevice", _) => Err(format!("{shown} is not a block device")),
        _ => Err(format!("{kind} is an invalid hostPath type")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let none = |name: &str| directory.path().join(name);
        for (path, kind, ok) in [
            (directory.path().to_owned(), "", true),
            (directory.path().to_owned(), "Directory", true),
            (directory.path().to_owned(), "File", false),
            (file.clone(), "File", true),
            (file.clone(), "Directory", false),
            (file.clone(), "Socket", false),
            (none("a"), "Directory", false),
            (none("a"), "File", false),
            (none("b"), "DirectoryOrCreate", true),
            (none("c"), "FileOrCreate", true),
            ("/dev/null".into(), "CharDevice", true),
            ("/dev/null".into(), "BlockDevice", false),
            (file, "Nonsense", false),
        ] {
            assert_eq!(check(&path, kind).is_ok(), ok, "{} {kind}", path.display());
        }
        assert!(none("b").is_dir() && none("c").is_file());
    }
}
