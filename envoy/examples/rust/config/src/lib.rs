//! Reads a plugin's configuration: `pluginConfig` of its entry, or `-S config-var` under `wasmtime serve`.

wit_bindgen::generate!({ world: "configuration", path: "../../wit", generate_all });

use wasi::config::store;

/// The value of a key; none if there is no such key, or nothing could be read.
pub fn get(key: &str) -> Option<String> {
    store::get(key).ok().flatten()
}

/// All keys with their values.
pub fn all() -> Vec<(String, String)> {
    store::get_all().unwrap_or_default()
}
