//! Numbers, plural categories and moments as the browser writes them in a language (`Intl`, ECMA-402). Must never know
//! a word of ours. What a browser does not have, or a language tag that is none, is `None`.

use std::cell::OnceCell;

use js_sys::{Array, Date, Function, JSON, Object, Reflect};
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue};

/// One language. A browser has one thread, so the wrapper only satisfies the framework's types.
pub(crate) struct Intl(SendWrapper<Formats>);

struct Formats {
    locale: String,
    /// Made when they are needed: they are slow to make and quick to use.
    made: [OnceCell<JsValue>; 5],
}

/// What is made, with which options, and the method that writes. In the order of [`Kind`].
const KINDS: [(&str, &str, &str); 5] = [
    ("NumberFormat", r#"{"useGrouping":"min2"}"#, "format"),
    ("NumberFormat", r#"{"minimumFractionDigits":1}"#, "format"),
    ("NumberFormat", r#"{"style":"percent"}"#, "format"),
    ("PluralRules", "{}", "select"),
    ("DateTimeFormat", r#"{"dateStyle":"medium","timeStyle":"short"}"#, "format"),
];

#[derive(Clone, Copy)]
enum Kind {
    Whole,
    Tenths,
    Percent,
    Plural,
    Moment,
}

impl Intl {
    /// The formats of this language; `None` where the browser has none.
    pub(crate) fn new(lang: &str) -> Option<Self> {
        // A language without a region has digits 0 to 9, as our own arithmetic writes them: what the server has
        // rendered does not change when the browser takes over.
        let locale = if lang.contains('-') { lang.to_owned() } else { [lang, "-u-nu-latn"].concat() };
        let formats = Formats { locale, made: Default::default() };
        formats.write(Kind::Whole, &0.into())?;
        Some(Self(SendWrapper::new(formats)))
    }

    /// The plural category of a number: `zero`, `one`, `two`, `few`, `many` or `other`.
    pub(crate) fn category(&self, n: u32) -> String {
        self.0.write(Kind::Plural, &n.into()).unwrap_or_default()
    }

    /// A whole number.
    pub(crate) fn number(&self, n: u64) -> Option<String> {
        self.0.write(Kind::Whole, &(n as f64).into())
    }

    /// A number of tenths, with one decimal.
    pub(crate) fn tenths(&self, n: u64) -> Option<String> {
        self.0.write(Kind::Tenths, &(n as f64 / 10.0).into())
    }

    /// A percentage.
    pub(crate) fn percent(&self, n: u8) -> Option<String> {
        self.0.write(Kind::Percent, &(f64::from(n) / 100.0).into())
    }

    /// A moment, in milliseconds since 1970 UTC, on the reader's own clock.
    pub(crate) fn moment(&self, ms: u64) -> Option<String> {
        self.0.write(Kind::Moment, &Date::new(&(ms as f64).into()))
    }
}

impl Formats {
    fn write(&self, kind: Kind, value: &JsValue) -> Option<String> {
        let (name, options, method) = KINDS[kind as usize];
        let made = &self.made[kind as usize];
        if made.get().is_none() {
            made.set(self.make(name, options)?).ok()?;
        }
        let made = made.get()?;
        let write: Function = member(made, method)?.dyn_into().ok()?;
        write.call1(made, value).ok()?.as_string()
    }

    fn make(&self, name: &str, options: &str) -> Option<JsValue> {
        let intl = member(&js_sys::global(), "Intl")?;
        let maker: Function = member(&intl, name)?.dyn_into().ok()?;
        let options: Object = JSON::parse(options).ok()?.dyn_into().ok()?;
        Reflect::construct(&maker, &Array::of2(&self.locale.as_str().into(), &options)).ok()
    }
}

fn member(of: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(of, &name.into()).ok()
}
