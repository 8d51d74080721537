//! The books as one meets them from outside: the command line with its help, and catalog and progress together.

use std::{collections::HashSet, process::Command, time::Duration};

use clap::{CommandFactory, Parser};
use plimsoll::{
    cli::{self, Cli},
    server::{
        catalog::{Catalog, Completion, NewUpload, Words},
        config::{Config, RawConfig},
        owner::{OwnerId, Scope, random_bits},
        progress::{Announce, Begun, Progress},
    },
    wire::{ProgressState, Receipt, UploadId},
};

/// The program under test, in an environment that sets nothing.
fn plimsoll() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PLIMSOLL_")) {
        program.env_remove(name);
    }
    program
}

#[test]
fn every_option_of_serve_says_what_it_is_its_variable_and_its_default() {
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    let mut variables = HashSet::new();
    let options = serve.get_arguments().filter(|option| option.get_id() != "help");
    for option in options {
        let name = option.get_long().unwrap();
        let variable = option.get_env().unwrap_or_else(|| panic!("--{name} has no variable"));
        let expected = format!("PLIMSOLL_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(variable.to_str(), Some(expected.as_str()));
        assert!(variables.insert(expected));
        let help = option.get_long_help().or(option.get_help()).unwrap().to_string();
        let default = option.get_default_values();
        assert!(
            !default.is_empty() || help.to_lowercase().contains("by default"),
            "--{name} hides its default"
        );
        assert!(option.get_value_names().is_some(), "--{name} has no unit");
        assert!(option.get_help_heading().is_some(), "--{name} stands in no group");
    }
    assert_eq!(variables.len(), 26);
    assert!(
        ["ADDR", "DATA", "MAX_FILE_SIZE", "DURABILITY", "PROGRESS_LINGER"]
            .iter()
            .all(|name| variables.contains(&format!("PLIMSOLL_{name}")))
    );

    let output = plimsoll().args(["serve", "--help"]).output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in variables {
        assert!(help.contains(&format!("[env: {variable}]")), "{variable} is not in the help");
    }
    assert!(help.contains("[default: 127.0.0.1:3000]") && help.contains("SIZE is a number of bytes"));
}

#[test]
fn what_is_left_out_is_the_default() {
    let Cli { command: cli::Command::Serve(raw) } = Cli::parse_from(["plimsoll", "serve"]);
    assert_eq!(*raw, RawConfig::default());
    Config::check(*raw).unwrap();
}

#[test]
fn the_command_line_comes_before_the_environment_and_both_are_checked_at_once() {
    let output = plimsoll()
        .args(["serve", "--max-file-size", "much", "--trusted-proxy", "next-door"])
        .env("PLIMSOLL_MAX_FILE_SIZE", "more")
        .env("PLIMSOLL_DURABILITY", "some")
        .env("PLIMSOLL_ALLOW_ORIGIN", "https://fine.example,nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8(output.stderr).unwrap();
    let told: Vec<_> = told.lines().collect();
    assert_eq!(told.len(), 5, "{told:#?}");
    assert_eq!(told[0], "plimsoll: some settings cannot be used:");
    assert!(told[1].starts_with("  --durability (PLIMSOLL_DURABILITY): \"some\" "));
    assert!(told[2].starts_with("  --max-file-size (PLIMSOLL_MAX_FILE_SIZE): \"much\" "));
    assert!(told[3].starts_with("  --allow-origin (PLIMSOLL_ALLOW_ORIGIN): \"nowhere\" "));
    assert!(told[4].starts_with("  --trusted-proxy (PLIMSOLL_TRUSTED_PROXY): \"next-door\" "));
}

/// The life of one upload in both books: what a poller hears never depends on which of them still knows.
#[tokio::test]
async fn the_end_of_an_upload_outlives_memory_and_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let catalog = Catalog::open(&path).await.unwrap();
    let progress = Progress::new(Duration::ZERO);
    let owner = OwnerId::random();
    let announce = Announce {
        id: "my-upload-1".parse().unwrap(),
        scope: Scope::Owner(owner.clone()),
        attempt: 1,
        fingerprint: Some([1; 16]),
        size: Some(3),
        body_size: Some(3),
    };
    let Ok(Begun::Fresh(counter)) = progress.begin(announce.clone()).await else { panic!("a new try") };
    let id = UploadId::from_bits(random_bits());
    let new = NewUpload {
        id: id.clone(),
        owner: owner.clone(),
        words: Words { name: "a.txt".to_owned(), media_type: "text/plain".to_owned(), ..Words::default() },
        field: "file".to_owned(),
    };
    catalog.begin(new).await.unwrap();
    counter.add_body(3);
    counter.add_file(3);
    assert!(counter.processing());
    let receipt = Receipt {
        id: id.clone(),
        name: "a.txt".to_owned(),
        size: 3,
        media_type: "text/plain".to_owned(),
        sha256: None,
        stored_ms: 5,
        url: format!("/files/{id}"),
        ..Receipt::default()
    };
    let completion = Completion { id, size: 3, sha256: None, stored_ms: 5, fields: None };
    let outcome = counter.outcome_done(vec![receipt.clone()]);
    catalog.complete(vec![completion], outcome, Vec::new()).await.unwrap();
    counter.done(vec![receipt.clone()]);
    drop(counter);

    let from_memory = progress.frame(&announce.id, Some(&owner)).unwrap();
    assert_eq!((from_memory.state, from_memory.received), (ProgressState::Done, 3));
    catalog.close().await;
    let catalog = Catalog::open(&path).await.unwrap();
    assert_eq!(catalog.outcome(&announce.id, Some(&owner)).await.unwrap(), Some(from_memory.clone()));
    assert_eq!(catalog.outcome(&announce.id, Some(&OwnerId::random())).await.unwrap(), None);
    assert_eq!(catalog.list(&owner, 10).await.unwrap(), [receipt]);

    // Forgotten by the memory, the id may be used for another upload; pollers take its frames for newer ones.
    progress.sweep();
    assert_eq!(progress.frame(&announce.id, Some(&owner)), None);
    let Ok(Begun::Fresh(counter)) = progress.begin(announce).await else { panic!("a new try") };
    assert!(counter.frame().seq > from_memory.seq);
    catalog
        .discard(
            Vec::new(),
            counter.outcome_failed(plimsoll::wire::ErrorBody::new(
                plimsoll::wire::ErrorCode::Cancelled,
                "Stopped.",
            )),
        )
        .await
        .unwrap();
    let frame = catalog.outcome(&counter.frame().id, Some(&owner)).await.unwrap().unwrap();
    assert_eq!(frame.state, ProgressState::Cancelled);
    catalog.close().await;
}
