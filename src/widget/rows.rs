//! The rows of the list as one view that is kept in order by hand: what stays is never taken out of the page on the
//! way, because a row that is taken out and put back loses the keyboard's focus, and with it the place of whoever works
//! with the keyboard or a screen reader. Must never be drawn with rows by the server: they appear in the browser only,
//! so the bundle carries the code that builds a row and not, a second time, code that would find one in the page.

use leptos::{
    attr::{Attribute, any_attribute::AnyAttribute},
    prelude::{Mountable, Owner, Render, RenderHtml},
    tachys::{
        hydration::Cursor,
        renderer::{
            Rndr,
            types::{Element, Node, Placeholder},
        },
        view::{Position, PositionState, add_attr::AddAnyAttr},
    },
};

use crate::engine::event::FileId;

use super::{
    controller::Controller,
    file_row::{FileRow, FileRowProps, Row},
};

/// The rows as they should be.
pub(crate) struct Rows {
    /// Each once.
    pub(crate) rows: Vec<Row>,
    /// Where their wishes go.
    pub(crate) controller: Controller,
    /// Lives as long as the list.
    pub(crate) owner: Owner,
}

/// The rows as they are in the page.
pub(crate) struct Drawn {
    rows: Vec<DrawnRow>,
    /// Stands after the last.
    end: Placeholder,
}

struct DrawnRow {
    id: FileId,
    view: Box<dyn Mountable>,
    owner: Owner,
}

impl Rows {
    #[inline(never)]
    fn draw(&self, row: Row) -> DrawnRow {
        let owner = self.owner.with(Owner::new);
        let id = row.id;
        let controller = self.controller.clone();
        let view = owner.with(|| FileRow(FileRowProps { row, controller }).build());
        DrawnRow { id, view: Box::new(view), owner }
    }

    fn rebuild_in(mut self, drawn: &mut Drawn) {
        let rows = std::mem::take(&mut self.rows);
        drawn.rows.retain_mut(|old| {
            let stays = rows.iter().any(|row| row.id == old.id);
            if !stays {
                old.view.unmount();
                old.owner.cleanup();
            }
            stays
        });
        for (at, row) in rows.into_iter().enumerate() {
            let mut next = match drawn.rows[at..].iter().position(|old| old.id == row.id) {
                Some(0) => continue,
                Some(further) => drawn.rows.remove(at + further),
                None => self.draw(row),
            };
            match drawn.rows.get(at) {
                Some(after) => after.view.insert_before_this(&mut *next.view),
                None => drawn.end.insert_before_this(&mut *next.view),
            };
            drawn.rows.insert(at, next);
        }
    }
}

impl Render for Rows {
    type State = Drawn;

    fn build(self) -> Drawn {
        let rows = self.rows.iter().cloned().map(|row| self.draw(row)).collect();
        Drawn { rows, end: Rndr::create_placeholder() }
    }

    fn rebuild(self, drawn: &mut Drawn) {
        self.rebuild_in(drawn);
    }
}

impl AddAnyAttr for Rows {
    type Output<A: Attribute> = Self;

    fn add_any_attr<A: Attribute>(self, _attr: A) -> Self {
        self
    }
}

impl RenderHtml for Rows {
    type AsyncOutput = Self;
    type Owned = Self;

    const MIN_LENGTH: usize = 0;

    fn dry_resolve(&mut self) {}

    async fn resolve(self) -> Self {
        self
    }

    fn to_html_with_buf(
        self,
        buf: &mut String,
        position: &mut Position,
        _escape: bool,
        _mark_branches: bool,
        _extra_attrs: Vec<AnyAttribute>,
    ) {
        buf.push_str("<!>");
        *position = Position::NextChild;
    }

    fn hydrate<const FROM_SERVER: bool>(self, cursor: &Cursor, position: &PositionState) -> Drawn {
        let end = cursor.next_placeholder(position);
        position.set(Position::NextChild);
        let mut drawn = Drawn { rows: Vec::new(), end };
        self.rebuild_in(&mut drawn);
        drawn
    }

    fn into_owned(self) -> Self {
        self
    }
}

impl Mountable for Drawn {
    fn mount(&mut self, parent: &Element, marker: Option<&Node>) {
        for row in &mut self.rows {
            row.view.mount(parent, marker);
        }
        self.end.mount(parent, marker);
    }

    fn unmount(&mut self) {
        for row in &mut self.rows {
            row.view.unmount();
        }
        self.end.unmount();
    }

    fn insert_before_this(&self, child: &mut dyn Mountable) -> bool {
        match self.rows.first() {
            Some(first) => first.view.insert_before_this(child),
            None => self.end.insert_before_this(child),
        }
    }

    fn elements(&self) -> Vec<Element> {
        self.rows.iter().flat_map(|row| row.view.elements()).collect()
    }
}
