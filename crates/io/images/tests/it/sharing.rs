//! Names, removal, leases, several users of one store.

use std::fs;

use minato_images::{ImageError, Store};

use crate::archives::{Item, Place, docker, layer};

fn numbered(number: usize) -> Vec<u8> {
    let name: &'static str = Box::leak(format!("file-{number}").into_boxed_str());
    layer(&[Item::File(name, 0o644, "x")])
}

#[test]
fn layers_are_shared_and_go_with_their_last_image() {
    let Some(place) = Place::new() else { return };
    let base = numbered(0);
    for (name, own) in [("a", 1), ("b", 2)] {
        place.store.import(&place.file(name, &docker(name, &[base.clone(), numbered(own)]))).unwrap();
    }
    assert_eq!(place.names("layers").len(), 3);
    place.store.remove("a").unwrap();
    assert_eq!(place.names("layers").len(), 2);
    assert!(place.store.resolve("b").unwrap().unwrap().layers.iter().all(|layer| layer.is_dir()));
    place.store.remove("b").unwrap();
    place.assert_empty();
    assert!(matches!(place.store.remove("b"), Err(ImageError::NotFound { .. })));
}

#[test]
fn a_name_moves_to_the_newest_image_and_the_old_one_stays_by_its_digest() {
    let Some(place) = Place::new() else { return };
    let old = place.store.import(&place.file("1", &docker("app", &[numbered(1)]))).unwrap().remove(0);
    let new = place.store.import(&place.file("2", &docker("app", &[numbered(2)]))).unwrap().remove(0);
    assert_eq!(place.store.resolve("app").unwrap().unwrap().digest, new.digest);
    assert!(place.store.resolve(&old.digest).unwrap().unwrap().names.is_empty());
    place.store.tag("app", "other:1").unwrap();
    place.store.remove("app").unwrap();
    assert_eq!(place.store.resolve("other:1").unwrap().unwrap().digest, new.digest);
    place.store.remove(&new.digest).unwrap();
    place.store.remove(&old.digest).unwrap();
    place.assert_empty();
}

#[test]
fn an_image_in_use_is_not_removed() {
    let Some(place) = Place::new() else { return };
    place.store.import(&place.file("1", &docker("app", &[numbered(1)]))).unwrap();
    let image = place.store.lease("app", "container-1").unwrap();
    place.store.lease("app", "container-1").unwrap();
    let error = place.store.remove("app").unwrap_err();
    assert_eq!(error.to_string(), "image \"app\" is in use by 1 container(s): container-1");
    assert!(image.layers[0].is_dir());
    place.store.retain_leases(|holder| holder == "container-1").unwrap();
    assert!(place.store.remove("app").is_err());
    place.store.release(&image.digest, "container-1").unwrap();
    place.store.release(&image.digest, "container-1").unwrap();
    place.store.remove("app").unwrap();
    place.assert_empty();
    assert!(matches!(place.store.lease("app", "x"), Err(ImageError::NotFound { .. })));
}

#[test]
fn imports_and_removals_at_the_same_time() {
    let Some(place) = Place::new() else { return };
    let archives: Vec<_> = (0..8)
        .map(|number| {
            place.file(&number.to_string(), &docker(&format!("app-{number}"), &[numbered(0), numbered(number % 3 + 1)]))
        })
        .collect();
    std::thread::scope(|scope| {
        for (number, archive) in archives.iter().enumerate() {
            let directory = place.directory.path().join("store");
            scope.spawn(move || {
                // As another process would: a store of its own over the same directory.
                let store = Store::open(directory).unwrap();
                for _ in 0..5 {
                    // Another thread may have removed a layer that this one counted on; then it says so.
                    while store.import(archive).is_err() {}
                    let image = store.resolve(&format!("app-{number}")).unwrap().unwrap();
                    assert!(image.layers.iter().all(|layer| layer.is_dir()));
                    store.remove(&format!("app-{number}")).unwrap();
                }
            });
        }
    });
    place.assert_empty();
}

#[test]
fn a_crash_leaves_nothing_that_stays() {
    let Some(place) = Place::new() else { return };
    let store = place.directory.path().join("store");
    // An import that died, and a layer that was renamed into place before the index was written, not complete.
    fs::create_dir_all(store.join("staging/1-1/half")).unwrap();
    let bytes = numbered(1);
    let hex = crate::archives::hex(&bytes);
    fs::create_dir_all(store.join("layers").join(&hex)).unwrap();
    place.store.import(&place.file("1", &docker("app", &[bytes]))).unwrap();
    assert!(place.names("staging").is_empty());
    assert!(place.store.resolve("app").unwrap().unwrap().layers[0].join("file-1").exists());
}

#[test]
fn a_damaged_index_is_told_and_kept() {
    let Some(place) = Place::new() else { return };
    let index = place.directory.path().join("store/index.json");
    for (contents, expected) in [("{", "damaged"), (r#"{"version":99,"images":{},"names":{},"layers":{}}"#, "99")] {
        fs::write(&index, contents).unwrap();
        let error = place.store.list().unwrap_err().to_string();
        assert!(error.contains("index.json") && error.contains(expected), "{error}");
        assert!(Store::open(place.directory.path().join("store")).is_err());
        let archive = place.file("1", &docker("app", &[numbered(1)]));
        assert!(place.store.import(&archive).is_err());
        assert_eq!(fs::read_to_string(&index).unwrap(), contents);
    }
}
