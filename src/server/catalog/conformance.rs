//! What every catalog must do, as one list: each backend runs all of it. Must never know which backend it runs on.

use super::*;
use crate::{
    server::owner::Scope,
    wire::{ErrorBody, ProgressState},
};

/// Runs the whole list, each behaviour on a catalog of its own, which `open` makes empty.
pub(super) async fn run(open: impl AsyncFn() -> Catalog) {
    complete_is_what_is_found_and_listed(&open().await).await;
    what_is_not_complete_is_not_found(&open().await).await;
    complete_is_final(&open().await).await;
    a_form_is_completed_whole_or_not_at_all(&open().await).await;
    discarding_forgets_what_is_received_and_nothing_else(&open().await).await;
    deleting_has_two_steps(&open().await).await;
    an_id_is_begun_once(&open().await).await;
    lists_show_ones_own_newest_first(&open().await).await;
    owners_have_what_they_completed(&open().await).await;
    outcomes_are_scoped(&open().await).await;
    the_latest_outcome_stays(&open().await).await;
    old_outcomes_are_forgotten(&open().await).await;
    names_are_only_words(&open().await).await;
    one_bad_operation_sinks_no_other(&open().await).await;
    numbers_no_database_can_hold_are_refused(&open().await).await;
    a_caller_that_goes_away_undoes_nothing(&open().await).await;
    pieces_are_what_they_were_begun_as(&open().await).await;
    checkpoints_lead_on_from_the_last(&open().await).await;
    an_earlier_writer_is_not_believed(&open().await).await;
    only_what_is_sealed_becomes_complete(&open().await).await;
    an_end_in_pieces_is_an_end(&open().await).await;
    only_what_had_its_time_expires(&open().await).await;
    what_is_left_of_pieces_is_forgotten_in_time(&open().await).await;
    pieces_take_their_share(&open().await).await;
    unfinished_pieces_are_listed_in_parts(&open().await).await;
    one_may_have_so_many_unfinished(&open().await).await;
    pieces_under_way_can_be_watched(&open().await).await;
    events_are_due_until_they_are_delivered(&open().await).await;
    closed_it_answers_so(open().await).await;
}

/// What a crash would leave behind; every row of it can be read.
pub(super) async fn unfinished(catalog: &Catalog) -> Vec<(UploadId, Unfinished)> {
    let rows = catalog.unfinished(0, 100).await.unwrap();
    rows.into_iter().map(|(_, row)| row.unwrap()).collect()
}

async fn complete_is_what_is_found_and_listed(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    assert_eq!(unfinished(catalog).await, [(id(1), Unfinished::Receiving)]);
    let sha256 = Some("ab".repeat(32));
    let fields = vec![("album".to_owned(), "<é>".to_owned()), ("album".to_owned(), String::new())];
    let completion = Completion { sha256: sha256.clone(), fields: Some(fields.clone()), ..done(1, 77) };
    catalog.complete(vec![completion], None, Vec::new()).await.unwrap();
    let receipt = Receipt {
        id: id(1),
        name: "name 1".to_owned(),
        size: 77,
        media_type: "text/plain".to_owned(),
        sha256,
        stored_ms: 1_700_000_000_001,
        url: format!("/files/{}", id(1)),
        fields,
        ..Receipt::default()
    };
    let stored = Stored { receipt: receipt.clone(), owner: owner(1) };
    assert_eq!(catalog.find(&id(1)).await.unwrap(), Some(stored));
    assert_eq!(catalog.list(&owner(1), 10).await.unwrap(), [receipt]);
    assert!(catalog.unfinished(0, 100).await.unwrap().is_empty());
}

async fn what_is_not_complete_is_not_found(catalog: &Catalog) {
    assert_eq!(catalog.find(&id(1)).await.unwrap(), None);
    catalog.begin(new(1, 1)).await.unwrap();
    assert_eq!(catalog.find(&id(1)).await.unwrap(), None);
    assert!(catalog.list(&owner(1), 10).await.unwrap().is_empty());
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 0);
}

/// Promise 11.
async fn complete_is_final(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    catalog.complete(vec![done(1, 77)], None, Vec::new()).await.unwrap();
    let before = catalog.find(&id(1)).await.unwrap();
    let again = catalog.complete(vec![done(1, 78)], None, Vec::new()).await;
    assert!(matches!(again, Err(CatalogError::NotReceiving(which)) if which == id(1)));
    catalog.discard(vec![id(1)], None).await.unwrap();
    catalog.finish_delete(&id(1)).await.unwrap();
    assert!(matches!(catalog.begin(new(1, 2)).await, Err(CatalogError::Exists(_))));
    assert_eq!(catalog.find(&id(1)).await.unwrap(), before);
    assert!(catalog.unfinished(0, 100).await.unwrap().is_empty());
}

async fn a_form_is_completed_whole_or_not_at_all(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    catalog.begin(new(2, 1)).await.unwrap();
    let outcome = outcome(Scope::Anyone, 1, ProgressState::Done);
    let all = vec![done(1, 1), done(2, 2), done(3, 3)];
    let result = catalog.complete(all, Some(outcome.clone()), Vec::new()).await;
    assert!(matches!(result, Err(CatalogError::NotReceiving(which)) if which == id(3)));
    assert_eq!(catalog.find(&id(1)).await.unwrap(), None);
    assert_eq!(catalog.outcome(&outcome.frame.id, None).await.unwrap(), None);
    assert_eq!(catalog.unfinished(0, 100).await.unwrap().len(), 2);

    catalog.complete(vec![done(1, 1), done(2, 2)], Some(outcome.clone()), Vec::new()).await.unwrap();
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 3);
    assert_eq!(catalog.outcome(&outcome.frame.id, None).await.unwrap(), Some(outcome.frame));
}

async fn discarding_forgets_what_is_received_and_nothing_else(catalog: &Catalog) {
    for n in 1..=3 {
        catalog.begin(new(n, 1)).await.unwrap();
    }
    catalog.complete(vec![done(1, 1), done(2, 1)], None, Vec::new()).await.unwrap();
    assert!(catalog.begin_delete(&id(2)).await.unwrap());
    let outcome = outcome(Scope::Anyone, 1, ProgressState::Failed);
    catalog.discard((1..=4).map(id).collect(), Some(outcome.clone())).await.unwrap();
    assert!(catalog.find(&id(1)).await.unwrap().is_some());
    assert_eq!(unfinished(catalog).await, [(id(2), Unfinished::Deleting)]);
    assert_eq!(catalog.outcome(&outcome.frame.id, None).await.unwrap(), Some(outcome.frame));
    // Discarded is forgotten: it cannot be completed any more, and its id is free.
    assert!(matches!(
        catalog.complete(vec![done(3, 1)], None, Vec::new()).await,
        Err(CatalogError::NotReceiving(_))
    ));
    catalog.begin(new(3, 1)).await.unwrap();
    catalog.discard(Vec::new(), None).await.unwrap();
}

async fn deleting_has_two_steps(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    assert!(!catalog.begin_delete(&id(1)).await.unwrap());
    catalog.complete(vec![done(1, 5)], None, Vec::new()).await.unwrap();
    let which = id(1);
    let (first, second) = tokio::join!(catalog.begin_delete(&which), catalog.begin_delete(&which));
    assert_ne!(first.unwrap(), second.unwrap(), "one of the two has deleted it");
    assert_eq!(catalog.find(&id(1)).await.unwrap(), None);
    assert!(catalog.list(&owner(1), 10).await.unwrap().is_empty());
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 0);
    assert_eq!(unfinished(catalog).await, [(id(1), Unfinished::Deleting)]);
    assert!(matches!(
        catalog.complete(vec![done(1, 5)], None, Vec::new()).await,
        Err(CatalogError::NotReceiving(_))
    ));
    catalog.finish_delete(&id(1)).await.unwrap();
    catalog.finish_delete(&id(1)).await.unwrap();
    assert!(catalog.unfinished(0, 100).await.unwrap().is_empty());
    assert!(!catalog.begin_delete(&id(1)).await.unwrap());
}

async fn an_id_is_begun_once(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    assert!(matches!(catalog.begin(new(1, 2)).await, Err(CatalogError::Exists(which)) if which == id(1)));
    catalog.complete(vec![done(1, 1)], None, Vec::new()).await.unwrap();
    assert_eq!(catalog.find(&id(1)).await.unwrap().unwrap().owner, owner(1));
}

async fn lists_show_ones_own_newest_first(catalog: &Catalog) {
    // Two of one time, as in one form: the later one of the form comes first. And one that began first but ended last.
    for (n, of, stored_ms) in [(1, 1, 40), (2, 1, 10), (3, 1, 20), (4, 1, 20), (5, 2, 30)] {
        catalog.begin(new(n, of)).await.unwrap();
        catalog.complete(vec![Completion { stored_ms, ..done(n, 1) }], None, Vec::new()).await.unwrap();
    }
    let ids = |list: Vec<Receipt>| list.into_iter().map(|receipt| receipt.id).collect::<Vec<_>>();
    assert_eq!(ids(catalog.list(&owner(1), 10).await.unwrap()), [id(1), id(4), id(3), id(2)]);
    assert_eq!(ids(catalog.list(&owner(1), 2).await.unwrap()), [id(1), id(4)]);
    assert_eq!(ids(catalog.list(&owner(2), 10).await.unwrap()), [id(5)]);
    assert!(catalog.list(&owner(3), 10).await.unwrap().is_empty());
    assert!(catalog.list(&owner(1), 0).await.unwrap().is_empty());
}

async fn owners_have_what_they_completed(catalog: &Catalog) {
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 0);
    let large = 100 << 30;
    for (n, of) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        catalog.begin(new(n, of)).await.unwrap();
    }
    catalog.complete(vec![done(1, large), done(2, 1), done(3, 9)], None, Vec::new()).await.unwrap();
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), large + 1);
    assert_eq!(catalog.owned_bytes(&owner(2)).await.unwrap(), 9);
}

async fn outcomes_are_scoped(catalog: &Catalog) {
    let of = |scope, seq| outcome(scope, seq, ProgressState::Failed);
    let (first, second) = (of(Scope::Owner(owner(1)), 1), of(Scope::Owner(owner(2)), 2));
    let progress = first.frame.id.clone();
    catalog.discard(Vec::new(), Some(first.clone())).await.unwrap();
    catalog.discard(Vec::new(), Some(second.clone())).await.unwrap();
    let seen = async |viewer: Option<u8>| {
        catalog.outcome(&progress, viewer.map(owner).as_ref()).await.unwrap().map(|frame| frame.seq)
    };
    assert_eq!(seen(Some(1)).await, Some(1));
    assert_eq!(seen(Some(2)).await, Some(2));
    assert_eq!(seen(Some(3)).await, None);
    assert_eq!(seen(None).await, None);
    let ended = async |scope| catalog.ended(&progress, &scope, 0).await.unwrap();
    assert_eq!(ended(Scope::Owner(owner(1))).await, Some(first.clone()));
    let long_ago = catalog.ended(&progress, &first.scope, i64::MAX as u64).await.unwrap();
    assert_eq!(long_ago, Some(Outcome { fingerprint: None, ..first }));
    assert_eq!(ended(Scope::Anyone).await, None);
    catalog.discard(Vec::new(), Some(of(Scope::Anyone, 3))).await.unwrap();
    assert_eq!(ended(Scope::Anyone).await, Some(of(Scope::Anyone, 3)));
    assert_eq!(ended(Scope::Owner(owner(3))).await, None, "it is not looked for elsewhere");
    assert_eq!(seen(Some(1)).await, Some(1));
    assert_eq!(seen(Some(3)).await, Some(3));
    assert_eq!(seen(None).await, Some(3));
}

async fn the_latest_outcome_stays(catalog: &Catalog) {
    let outcomes = [5, 7, 6].map(|seq| outcome(Scope::Anyone, seq, ProgressState::Failed));
    let progress = outcomes[0].frame.id.clone();
    for outcome in outcomes {
        catalog.discard(Vec::new(), Some(outcome)).await.unwrap();
    }
    assert_eq!(catalog.outcome(&progress, None).await.unwrap().unwrap().seq, 7);
}

async fn old_outcomes_are_forgotten(catalog: &Catalog) {
    let outcome = outcome(Scope::Anyone, 1, ProgressState::Failed);
    let progress = outcome.frame.id.clone();
    catalog.begin(new(1, 1)).await.unwrap();
    catalog.complete(vec![done(1, 1)], Some(outcome), Vec::new()).await.unwrap();
    catalog.forget_outcomes_before(1_600_000_000_000).await.unwrap();
    assert!(catalog.outcome(&progress, None).await.unwrap().is_some());
    catalog.forget_outcomes_before(i64::MAX as u64).await.unwrap();
    assert_eq!(catalog.outcome(&progress, None).await.unwrap(), None);
    assert!(catalog.find(&id(1)).await.unwrap().is_some());
}

/// Promise 6.
async fn names_are_only_words(catalog: &Catalog) {
    let hostile = "'); DROP TABLE uploads; -- \"été\" \u{202e}../../etc/passwd\n\0";
    let path = format!("{hostile}/{hostile}");
    let fields = vec![(hostile.to_owned(), hostile.to_owned())];
    let said = Words { path, fields, ..words(hostile) };
    let words = NewUpload { words: said.clone(), field: hostile.to_owned(), ..new(1, 1) };
    catalog.begin(words).await.unwrap();
    catalog.complete(vec![done(1, 1)], None, Vec::new()).await.unwrap();
    assert_eq!(catalog.find(&id(1)).await.unwrap().unwrap().receipt.name, hostile);
}

async fn one_bad_operation_sinks_no_other(catalog: &Catalog) {
    // All asked at once, so that they share commits.
    let asked = (0..60).map(|n| async move {
        // Every third is one that cannot be carried out.
        let began = catalog.begin(new(if n % 3 == 0 { 200 } else { n }, 1)).await;
        (n, began.is_ok())
    });
    let began = futures_util::future::join_all(asked).await;
    let bad = began.iter().filter(|(n, ok)| n % 3 == 0 && *ok).count();
    assert_eq!(bad, 1, "one of those with the same id");
    assert!(began.iter().all(|(n, ok)| n % 3 == 0 || *ok), "{began:?}");
    assert_eq!(catalog.unfinished(0, 100).await.unwrap().len(), 41);
}

async fn numbers_no_database_can_hold_are_refused(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    let result = catalog.complete(vec![done(1, u64::MAX)], None, Vec::new()).await;
    assert!(matches!(result, Err(CatalogError::TooLarge(u64::MAX))));
    assert_eq!(unfinished(catalog).await, [(id(1), Unfinished::Receiving)]);
}

async fn a_caller_that_goes_away_undoes_nothing(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    {
        let mut completing = Box::pin(catalog.complete(vec![done(1, 1)], None, Vec::new()));
        assert!(futures_util::poll!(&mut completing).is_pending());
    }
    // Operations are carried out in their order: this one comes after.
    catalog.begin(new(2, 1)).await.unwrap();
    assert!(catalog.find(&id(1)).await.unwrap().is_some());
}

/// Upload `n` in pieces, of owner 1, of this length.
fn new_pieces(n: u8, length: Option<u64>) -> NewPieces {
    let terms = Terms {
        id: id(n),
        owner: owner(1),
        open_to_all: false,
        protocol: Protocol::Tus,
        metadata: Some(String::new()),
        concat: None,
        is_part: false,
        progress_id: id(n).as_str().parse().unwrap(),
        want_sha256: true,
        expected_sha256: Some("ab".repeat(32)),
    };
    let fields = vec![("album".to_owned(), "x".to_owned())];
    let words = Words { path: "a/b".to_owned(), fields, ..words(&format!("name {n}")) };
    NewPieces {
        terms,
        words,
        length,
        expires_ms: 2_000,
        peer: None,
        admitted: Admitted { max_length: Some(77), max_request: None },
        joined_of: Vec::new(),
        max_unfinished: None,
    }
}

async fn under_way(catalog: &Catalog) -> Vec<Pieces> {
    let rows = catalog.pieces_under_way(0, 100).await.unwrap();
    rows.into_iter().map(|(_, pieces)| pieces.unwrap()).collect()
}

/// Bytes that have come to upload `n`, by this writer.
fn came(n: u8, epoch: u64, range: std::ops::Range<u64>) -> Progressed {
    Progressed {
        id: id(n),
        epoch,
        appended_from: range.start,
        checkpoint: Checkpoint { range, crc32c: 7 },
        length: None,
        seal: false,
        expires_ms: 0,
    }
}

fn all_came(n: u8, epoch: u64, range: std::ops::Range<u64>) -> Progressed {
    Progressed { length: Some(range.end), seal: true, ..came(n, epoch, range) }
}

async fn pieces_are_what_they_were_begun_as(catalog: &Catalog) {
    let new = new_pieces(1, Some(10));
    catalog.begin_pieces(new.clone()).await.unwrap();
    assert!(matches!(catalog.begin_pieces(new.clone()).await, Err(CatalogError::Exists(_))));
    let pieces = catalog.pieces(&id(1)).await.unwrap().unwrap();
    assert_eq!(pieces.terms, new.terms);
    assert_eq!((pieces.state, pieces.length, pieces.durable), (PiecesState::Open, Some(10), 0));
    assert_eq!(pieces.expires_ms, 2_000);
    assert_eq!(pieces.admitted, Admitted { max_length: Some(77), max_request: None });
    assert_eq!(catalog.words(&id(1)).await.unwrap(), Some(new.words));
    assert_eq!(under_way(catalog).await, [pieces]);
    assert!(catalog.unfinished(0, 100).await.unwrap().is_empty(), "a crash leaves it where it is");
    catalog.discard(vec![id(1)], None).await.unwrap();
    assert!(catalog.pieces(&id(1)).await.unwrap().is_some(), "only what came in one go is discarded");
    assert_eq!(catalog.find(&id(1)).await.unwrap(), None);
    assert_eq!(catalog.pieces(&id(2)).await.unwrap(), None);
    assert_eq!(catalog.take_up(&id(2)).await.unwrap(), None);
}

/// Promise 2.
async fn checkpoints_lead_on_from_the_last(catalog: &Catalog) {
    catalog.begin_pieces(new_pieces(1, Some(10))).await.unwrap();
    let epoch = catalog.take_up(&id(1)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(Progressed { expires_ms: 5_000, ..came(1, epoch, 0..4) }).await.unwrap());
    for wrong in [0..4, 0..6, 3..5, 5..6] {
        assert!(!catalog.checkpoint(came(1, epoch, wrong.clone())).await.unwrap(), "{wrong:?}");
    }
    assert!(catalog.checkpoint(came(1, epoch, 4..7)).await.unwrap());
    // One that brings nothing leaves what is to be looked at after a crash.
    assert!(catalog.checkpoint(came(1, epoch, 7..7)).await.unwrap());
    let pieces = catalog.pieces(&id(1)).await.unwrap().unwrap();
    assert_eq!((pieces.durable, pieces.appended_from), (7, 4));
    assert_eq!(pieces.checked, Checkpoint { range: 4..7, crc32c: 7 });
    assert_eq!(pieces.expires_ms, 5_000, "its time is lengthened, never shortened");
    // More than there should be, or sealed before it is whole, is no word of any writer.
    assert!(catalog.checkpoint(came(1, epoch, 7..11)).await.is_err());
    assert!(catalog.checkpoint(Progressed { seal: true, ..came(1, epoch, 7..8) }).await.is_err());
    assert_eq!(catalog.pieces(&id(1)).await.unwrap().unwrap(), pieces);
}

async fn an_earlier_writer_is_not_believed(catalog: &Catalog) {
    catalog.begin_pieces(new_pieces(1, None)).await.unwrap();
    let first = catalog.take_up(&id(1)).await.unwrap().unwrap().epoch;
    let second = catalog.take_up(&id(1)).await.unwrap().unwrap().epoch;
    assert!(second > first);
    assert!(!catalog.checkpoint(came(1, first, 0..4)).await.unwrap());
    assert!(!catalog.checkpoint(all_came(1, first, 0..4)).await.unwrap());
    assert!(catalog.checkpoint(came(1, second, 0..3)).await.unwrap());
    assert_eq!(catalog.pieces(&id(1)).await.unwrap().unwrap().durable, 3);
}

async fn only_what_is_sealed_becomes_complete(catalog: &Catalog) {
    catalog.begin_pieces(new_pieces(1, None)).await.unwrap();
    let epoch = catalog.take_up(&id(1)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(came(1, epoch, 0..4)).await.unwrap());
    let early = catalog.complete(vec![done(1, 4)], None, Vec::new()).await;
    assert!(matches!(early, Err(CatalogError::NotReceiving(which)) if which == id(1)));
    assert!(catalog.checkpoint(all_came(1, epoch, 4..9)).await.unwrap());
    assert!(!catalog.checkpoint(came(1, epoch, 9..10)).await.unwrap(), "sealed is sealed");
    assert_eq!(catalog.take_up(&id(1)).await.unwrap(), None);
    assert!(!catalog.end_pieces(&id(1), PiecesEnd::Cancelled, None).await.unwrap());
    let short = catalog.complete(vec![done(1, 8)], None, Vec::new()).await;
    assert!(matches!(short, Err(CatalogError::NotReceiving(_))), "{short:?}");
    catalog.complete(vec![done(1, 9)], None, Vec::new()).await.unwrap();
    assert!(catalog.complete(vec![done(1, 9)], None, Vec::new()).await.is_err(), "once");
    let pieces = catalog.pieces(&id(1)).await.unwrap().unwrap();
    assert_eq!((pieces.state, pieces.length, pieces.durable), (PiecesState::Complete, Some(9), 9));
    let failed = PiecesEnd::Failed(ErrorBody::new(ErrorCode::StorageFailed, "No."));
    assert!(!catalog.end_pieces(&id(1), failed, None).await.unwrap(), "a finished file is finished");
    assert_eq!(catalog.find(&id(1)).await.unwrap().unwrap().receipt.size, 9);
    assert!(under_way(catalog).await.is_empty());
    assert!(catalog.begin_delete(&id(1)).await.unwrap());
    catalog.finish_delete(&id(1)).await.unwrap();
    assert_eq!(catalog.pieces(&id(1)).await.unwrap().unwrap().state, PiecesState::Cancelled);
}

async fn an_end_in_pieces_is_an_end(catalog: &Catalog) {
    let error = ErrorBody::new(ErrorCode::DigestMismatch, "It is another file.");
    let outcome = outcome(Scope::Anyone, 1, ProgressState::Failed);
    catalog.begin_pieces(new_pieces(1, None)).await.unwrap();
    catalog.begin_pieces(new_pieces(2, None)).await.unwrap();
    let epoch = catalog.take_up(&id(1)).await.unwrap().unwrap().epoch;
    assert!(catalog.end_pieces(&id(2), PiecesEnd::Cancelled, None).await.unwrap());
    assert!(catalog.checkpoint(all_came(1, epoch, 0..4)).await.unwrap());
    let failed = || PiecesEnd::Failed(error.clone());
    assert!(catalog.end_pieces(&id(1), failed(), Some(outcome.clone())).await.unwrap());
    assert!(!catalog.end_pieces(&id(1), PiecesEnd::Cancelled, None).await.unwrap(), "the first counts");
    let pieces = catalog.pieces(&id(1)).await.unwrap().unwrap();
    assert_eq!((pieces.state, pieces.error), (PiecesState::Failed, Some(error.clone())));
    assert_eq!(catalog.pieces(&id(2)).await.unwrap().unwrap().state, PiecesState::Cancelled);
    assert_eq!(catalog.outcome(&outcome.frame.id, None).await.unwrap(), Some(outcome.frame));
    assert!(!catalog.checkpoint(came(1, epoch, 4..5)).await.unwrap());
    assert_eq!(catalog.take_up(&id(1)).await.unwrap(), None);
    assert!(catalog.complete(vec![done(1, 4)], None, Vec::new()).await.is_err());
    assert!(under_way(catalog).await.is_empty());
    assert!(catalog.unfinished(0, 100).await.unwrap().is_empty());
}

async fn only_what_had_its_time_expires(catalog: &Catalog) {
    for n in 1..=3 {
        catalog.begin_pieces(new_pieces(n, None)).await.unwrap();
    }
    let epoch = catalog.take_up(&id(2)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(Progressed { expires_ms: 9_000, ..came(2, epoch, 0..4) }).await.unwrap());
    let epoch = catalog.take_up(&id(3)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(all_came(3, epoch, 0..4)).await.unwrap());
    assert!(catalog.pieces_expired(1_999, None, 9).await.unwrap().is_empty());
    assert_eq!(catalog.pieces_expired(2_000, None, 9).await.unwrap(), [(2_000, id(1).to_string())]);
    let expire =
        async |n, now_ms| catalog.end_pieces(&id(n), PiecesEnd::Expired { now_ms }, None).await.unwrap();
    assert!(!expire(1, 1_999).await && expire(1, 2_000).await);
    assert!(!expire(2, 8_999).await, "somebody has gone on with it");
    assert!(!expire(3, u64::MAX >> 1).await, "it is to become a file");
    assert_eq!(catalog.pieces(&id(1)).await.unwrap().unwrap().state, PiecesState::Expired);
}

async fn what_is_left_of_pieces_is_forgotten_in_time(catalog: &Catalog) {
    for n in 1..=3 {
        catalog.begin_pieces(new_pieces(n, None)).await.unwrap();
    }
    assert!(catalog.end_pieces(&id(1), PiecesEnd::Cancelled, None).await.unwrap());
    let epoch = catalog.take_up(&id(2)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(all_came(2, epoch, 0..4)).await.unwrap());
    catalog.complete(vec![done(2, 4)], None, Vec::new()).await.unwrap();
    catalog.forget_outcomes_before(1_600_000_000_000).await.unwrap();
    assert!(catalog.pieces(&id(1)).await.unwrap().is_some());
    catalog.forget_outcomes_before(i64::MAX as u64).await.unwrap();
    assert_eq!(catalog.pieces(&id(1)).await.unwrap(), None);
    assert!(catalog.pieces(&id(2)).await.unwrap().is_some(), "its file is there");
    assert!(catalog.pieces(&id(3)).await.unwrap().is_some(), "it may go on");
}

async fn pieces_take_their_share(catalog: &Catalog) {
    catalog.begin_pieces(new_pieces(1, Some(100))).await.unwrap();
    catalog.begin_pieces(new_pieces(2, None)).await.unwrap();
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 100);
    let epoch = catalog.take_up(&id(2)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(came(2, epoch, 0..4)).await.unwrap());
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 104);
    assert!(catalog.checkpoint(all_came(2, epoch, 4..5)).await.unwrap());
    catalog.complete(vec![done(2, 5)], None, Vec::new()).await.unwrap();
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 105, "counted once");
    assert!(catalog.end_pieces(&id(1), PiecesEnd::Cancelled, None).await.unwrap());
    assert_eq!(catalog.owned_bytes(&owner(1)).await.unwrap(), 5);
    assert_eq!(catalog.owned_bytes(&owner(2)).await.unwrap(), 0);
}

/// What is unfinished is listed in parts that lead on from one another, also where many have one time.
async fn unfinished_pieces_are_listed_in_parts(catalog: &Catalog) {
    for n in 1..=7 {
        let expires_ms = if n < 3 { 9_000 } else { 1_000 };
        catalog.begin_pieces(NewPieces { expires_ms, ..new_pieces(n, None) }).await.unwrap();
    }
    assert!(catalog.end_pieces(&id(4), PiecesEnd::Cancelled, None).await.unwrap());
    let mut listed = Vec::new();
    let mut last = 0;
    loop {
        let part = catalog.pieces_under_way(last, 2).await.unwrap();
        assert!(part.len() <= 2);
        let Some((number, _)) = part.last() else { break };
        last = *number;
        listed.extend(part.into_iter().map(|(_, pieces)| pieces.unwrap().terms.id));
    }
    assert_eq!(listed, [1, 2, 3, 5, 6, 7].map(id));
    let mut expired: Vec<(u64, String)> = Vec::new();
    loop {
        let part = catalog.pieces_expired(9_000, expired.last(), 2).await.unwrap();
        if part.is_empty() {
            break;
        }
        expired.extend(part);
    }
    let times: Vec<u64> = expired.iter().map(|(ms, _)| *ms).collect();
    assert_eq!(times, [1_000, 1_000, 1_000, 1_000, 9_000, 9_000]);
    let mut ids: Vec<_> = expired.into_iter().map(|(_, id)| id).collect();
    ids.sort();
    let mut all: Vec<_> = listed.iter().map(UploadId::to_string).collect();
    all.sort();
    assert_eq!(ids, all, "each once");
    assert!(catalog.is_under_way(&id(1)).await.unwrap() && !catalog.is_under_way(&id(4)).await.unwrap());
}

async fn one_may_have_so_many_unfinished(catalog: &Catalog) {
    let begin = async |n: u8, of: u8, peer: &str, open_to_all: bool, max: Option<u32>| {
        let new = new_pieces(n, None);
        let terms = Terms { owner: owner(of), open_to_all, ..new.terms };
        let peer = Some(peer.to_owned());
        let max_unfinished = max.map(|max| MaxUnfinished { of_owner: max, of_peer: 10 * max });
        match catalog.begin_pieces(NewPieces { terms, peer, max_unfinished, ..new }).await {
            Ok(()) => None,
            Err(CatalogError::TooManyUnfinished { max, .. }) => {
                assert!(catalog.pieces(&id(n)).await.unwrap().is_none(), "nothing is left of it");
                assert_eq!(catalog.words(&id(n)).await.unwrap(), None);
                Some(max)
            }
            other => panic!("{other:?}"),
        }
    };
    // Of one owner, wherever that one is.
    assert_eq!(begin(1, 1, "a", false, Some(2)).await, None);
    assert_eq!(begin(2, 1, "b", false, Some(2)).await, None);
    assert_eq!(begin(3, 1, "c", false, Some(2)).await, Some(2));
    assert_eq!(begin(3, 1, "c", false, None).await, None);
    assert_eq!(begin(4, 2, "c", false, Some(2)).await, None);
    // From one place, whoever is somebody else each time, by a cookie or without.
    for n in 0..20 {
        assert_eq!(begin(20 + n, 20 + n, "d", n % 2 == 0, Some(2)).await, None);
    }
    assert_eq!(begin(40, 40, "d", false, Some(2)).await, Some(20));
    assert_eq!(begin(40, 40, "d", true, Some(2)).await, Some(20));
    assert_eq!(begin(40, 40, "e", true, Some(2)).await, None);
    // What has ended counts no more, in whatever way it ended.
    assert!(catalog.end_pieces(&id(20), PiecesEnd::Cancelled, None).await.unwrap());
    assert_eq!(begin(41, 41, "d", true, Some(2)).await, None);
    assert_eq!(begin(42, 42, "d", true, Some(2)).await, Some(20));
    let epoch = catalog.take_up(&id(41)).await.unwrap().unwrap().epoch;
    assert!(catalog.checkpoint(all_came(41, epoch, 0..4)).await.unwrap());
    assert_eq!(begin(42, 42, "d", true, Some(2)).await, Some(20), "it is to be completed still");
    catalog.complete(vec![done(41, 4)], None, Vec::new()).await.unwrap();
    assert_eq!(begin(42, 42, "d", true, Some(2)).await, None);
}

async fn pieces_under_way_can_be_watched(catalog: &Catalog) {
    let new = new_pieces(1, Some(10));
    let open =
        NewPieces { terms: Terms { open_to_all: true, ..new_pieces(2, None).terms }, ..new_pieces(2, None) };
    catalog.begin_pieces(new.clone()).await.unwrap();
    catalog.begin_pieces(open.clone()).await.unwrap();
    let seen = async |of: &NewPieces, viewer: Option<OwnerId>| {
        catalog.standing(&of.terms.progress_id, viewer.as_ref()).await.unwrap()
    };
    let frame = seen(&new, Some(owner(1))).await.unwrap();
    assert_eq!((frame.state, frame.received, frame.size), (ProgressState::Receiving, 0, Some(10)));
    assert!(seen(&new, Some(owner(2))).await.is_none() && seen(&new, None).await.is_none());
    assert!(seen(&open, None).await.is_some());
    assert!(catalog.end_pieces(&id(2), PiecesEnd::Cancelled, None).await.unwrap());
    assert!(seen(&open, None).await.is_none());
}

async fn events_are_due_until_they_are_delivered(catalog: &Catalog) {
    let event = |n: u8| FinishEvent { event_id: id(n), event: format!("event {n}") };
    assert_eq!(catalog.next_delivery().await.unwrap(), None);
    catalog.begin(new(1, 1)).await.unwrap();
    catalog.begin(new(2, 1)).await.unwrap();
    let refused = catalog.complete(vec![done(1, 1), done(9, 1)], None, vec![event(8)]).await;
    assert!(refused.is_err());
    assert!(catalog.undelivered(1, 9).await.unwrap().is_empty(), "no file, no event");
    catalog.complete(vec![done(1, 1), done(2, 1)], None, vec![event(1), event(2)]).await.unwrap();
    let due = catalog.undelivered(1, 9).await.unwrap();
    let told: Vec<_> = due.iter().map(|due| (due.event_id.clone(), due.event.as_str(), due.tries)).collect();
    assert_eq!(told, [(id(1), "event 1", 0), (id(2), "event 2", 0)]);
    assert_eq!(catalog.undelivered(1, 1).await.unwrap(), due[..1]);
    catalog.deliver_later(&id(1), 500).await.unwrap();
    catalog.delivered(&id(2)).await.unwrap();
    assert!(catalog.undelivered(499, 9).await.unwrap().is_empty());
    assert_eq!(catalog.next_delivery().await.unwrap(), Some(500));
    let again = catalog.undelivered(500, 9).await.unwrap();
    assert_eq!((again.len(), &again[0].event_id, again[0].tries), (1, &id(1), 1));
    catalog.delivered(&id(1)).await.unwrap();
    assert_eq!(catalog.next_delivery().await.unwrap(), None);
}

async fn closed_it_answers_so(catalog: Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    let clone = catalog.clone();
    let also = catalog.clone();
    tokio::join!(catalog.close(), also.close());
    assert!(matches!(clone.begin(new(2, 1)).await, Err(CatalogError::Closed)));
    let found = clone.find(&id(1)).await;
    assert!(matches!(found, Err(CatalogError::Closed)), "{found:?}");
    let refusal = Refusal::from(found.unwrap_err());
    assert_eq!(refusal.code(), ErrorCode::ShuttingDown);
}

pub(super) fn id(n: u8) -> UploadId {
    UploadId::from_bits([n; 16])
}

pub(super) fn owner(n: u8) -> OwnerId {
    OwnerId::from_bits([n; 16])
}

fn words(name: &str) -> Words {
    Words { name: name.to_owned(), media_type: "text/plain".to_owned(), ..Words::default() }
}

/// Upload `n`, of owner `of`.
pub(super) fn new(n: u8, of: u8) -> NewUpload {
    NewUpload { id: id(n), owner: owner(of), words: words(&format!("name {n}")), field: "file".to_owned() }
}

pub(super) fn done(n: u8, size: u64) -> Completion {
    Completion { id: id(n), size, sha256: None, stored_ms: 1_700_000_000_001, fields: None }
}

/// An outcome of one and the same progress id.
pub(super) fn outcome(scope: Scope, seq: u64, state: ProgressState) -> Outcome {
    let error = ErrorBody::new(ErrorCode::TimedOut, "Nothing arrived for 60 seconds.");
    let failed = state == ProgressState::Failed;
    let progress: ProgressId = "progress-1".parse().unwrap();
    let frame = ProgressFrame {
        attempt: 1,
        seq,
        state,
        received: 5,
        error: failed.then_some(error),
        ..ProgressFrame::unknown(progress)
    };
    Outcome { scope, frame, fingerprint: Some([seq as u8; 16]) }
}
