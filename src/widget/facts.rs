//! All that changes about the attributes of one element, as one attribute: the bundle carries the machinery of an
//! attribute for every kind and every place, so a dozen of them weigh as much as a view of their own. Must never know
//! what an attribute means.

use std::{future::Future, sync::Arc};

use leptos::{
    attr::{Attribute, AttributeValue, NextAttribute},
    prelude::RenderEffect,
    tachys::renderer::{Rndr, types::Element},
};

/// Takes the name of an attribute and its value; `None` takes the attribute away.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(&'static str, Option<String>);

/// The attributes of one element that follow signals.
#[derive(Clone)]
pub(crate) struct Facts(Arc<dyn Fn(Tell<'_>) + Send + Sync>);

/// What `read` tells, again whenever a signal that it reads has changed: always the same names in the same order.
pub(crate) fn facts(read: impl Fn(Tell<'_>) + Send + Sync + 'static) -> Facts {
    Facts(Arc::new(read))
}

/// The value of an attribute that is there or not, and has no more to say.
pub(crate) fn flag(is: bool) -> Option<String> {
    is.then(String::new)
}

impl Facts {
    /// Keeps the element as it is told. What the server has written already is not written again.
    fn follow(self, element: &Element, written: bool) -> RenderEffect<Vec<Option<String>>> {
        let element = element.clone();
        RenderEffect::new(move |shown: Option<Vec<Option<String>>>| {
            let silent = written && shown.is_none();
            let mut shown = shown.unwrap_or_default();
            let mut place = 0;
            (self.0)(&mut |name, value| {
                if shown.len() == place {
                    shown.push(None);
                }
                let shown = &mut shown[place];
                place += 1;
                // Whoever watches the page is told of each attribute that is set, changed or not.
                if *shown == value {
                    return;
                }
                match &value {
                    _ if silent => {}
                    Some(value) => Rndr::set_attribute(&element, name, value),
                    None => Rndr::remove_attribute(&element, name),
                }
                *shown = value;
            });
            shown
        })
    }
}

impl Attribute for Facts {
    const MIN_LENGTH: usize = 0;

    type State = RenderEffect<Vec<Option<String>>>;
    type AsyncOutput = Self;
    type Cloneable = Self;
    type CloneableOwned = Self;

    fn html_len(&self) -> usize {
        0
    }

    fn to_html(self, buf: &mut String, _class: &mut String, _style: &mut String, _inner_html: &mut String) {
        (self.0)(&mut |name, value| value.to_html(name, buf));
    }

    fn hydrate<const FROM_SERVER: bool>(self, element: &Element) -> Self::State {
        self.follow(element, FROM_SERVER)
    }

    fn build(self, element: &Element) -> Self::State {
        self.follow(element, false)
    }

    fn rebuild(self, _state: &mut Self::State) {}

    fn into_cloneable(self) -> Self {
        self
    }

    fn into_cloneable_owned(self) -> Self {
        self
    }

    fn dry_resolve(&mut self) {}

    fn resolve(self) -> impl Future<Output = Self> + Send {
        std::future::ready(self)
    }
}

impl NextAttribute for Facts {
    type Output<A: Attribute> = (Self, A);

    fn add_any_attr<A: Attribute>(self, attr: A) -> (Self, A) {
        (self, attr)
    }
}
