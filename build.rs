//! One thing that the linker has to know. Must never know what is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The release build cuts the bundle in two (scripts/split.mjs), and has to tell which numbers in its code are
    // functions: places in the table of functions. From here on hardly any other number is as large; from 1 on, where
    // the table begins otherwise, nearly all are.
    if std::env::var("TARGET").is_ok_and(|target| target.starts_with("wasm32")) {
        println!("cargo::rustc-link-arg-cdylib=--table-base=5003");
    }
}
