//! The one place where the browser and the server meet: what is named here is the browser's in the browser, and the
//! inert twin's everywhere else. Callers write no gate and know no difference;
//! so the markup is the same on both sides, and hydration is silent. Must never hold logic of its own.

#[cfg(feature = "hydrate")]
pub(crate) use crate::browser::{
    File, Intl, Questions, Runtime, category, seed, setup, texts, write_setup, write_texts,
};

#[cfg(not(feature = "hydrate"))]
#[path = "inert.rs"]
mod inert;
#[cfg(not(feature = "hydrate"))]
pub(crate) use inert::{
    File, Intl, Questions, Runtime, category, seed, setup, texts, write_setup, write_texts,
};
