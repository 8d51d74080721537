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
    closed_it_answers_so(open().await).await;
}

async fn complete_is_what_is_found_and_listed(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    assert_eq!(catalog.unfinished().await.unwrap(), [(id(1), Unfinished::Receiving)]);
    let sha256 = Some("ab".repeat(32));
    let completion = Completion { sha256: sha256.clone(), ..done(1, 77) };
    catalog.complete(vec![completion], None, Vec::new()).await.unwrap();
    let receipt = Receipt {
        id: id(1),
        name: "name 1".to_owned(),
        size: 77,
        media_type: "text/plain".to_owned(),
        sha256,
        stored_ms: 1_700_000_000_001,
        url: format!("/files/{}", id(1)),
    };
    let stored = Stored { receipt: receipt.clone(), owner: owner(1) };
    assert_eq!(catalog.find(&id(1)).await.unwrap(), Some(stored));
    assert_eq!(catalog.list(&owner(1), 10).await.unwrap(), [receipt]);
    assert!(catalog.unfinished().await.unwrap().is_empty());
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
    assert!(catalog.unfinished().await.unwrap().is_empty());
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
    assert_eq!(catalog.unfinished().await.unwrap().len(), 2);

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
    assert_eq!(catalog.unfinished().await.unwrap(), [(id(2), Unfinished::Deleting)]);
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
    assert_eq!(catalog.unfinished().await.unwrap(), [(id(1), Unfinished::Deleting)]);
    assert!(matches!(
        catalog.complete(vec![done(1, 5)], None, Vec::new()).await,
        Err(CatalogError::NotReceiving(_))
    ));
    catalog.finish_delete(&id(1)).await.unwrap();
    catalog.finish_delete(&id(1)).await.unwrap();
    assert!(catalog.unfinished().await.unwrap().is_empty());
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
    catalog.discard(Vec::new(), Some(of(Scope::Anyone, 3))).await.unwrap();
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
    let words = NewUpload { name: hostile.to_owned(), field: hostile.to_owned(), ..new(1, 1) };
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
    assert_eq!(catalog.unfinished().await.unwrap().len(), 41);
}

async fn numbers_no_database_can_hold_are_refused(catalog: &Catalog) {
    catalog.begin(new(1, 1)).await.unwrap();
    let result = catalog.complete(vec![done(1, u64::MAX)], None, Vec::new()).await;
    assert!(matches!(result, Err(CatalogError::TooLarge(u64::MAX))));
    assert_eq!(catalog.unfinished().await.unwrap(), [(id(1), Unfinished::Receiving)]);
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

/// Upload `n`, of owner `of`.
pub(super) fn new(n: u8, of: u8) -> NewUpload {
    NewUpload {
        id: id(n),
        owner: owner(of),
        name: format!("name {n}"),
        media_type: "text/plain".to_owned(),
        field: "file".to_owned(),
    }
}

pub(super) fn done(n: u8, size: u64) -> Completion {
    Completion { id: id(n), size, sha256: None, stored_ms: 1_700_000_000_001 }
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
    Outcome { scope, frame }
}
