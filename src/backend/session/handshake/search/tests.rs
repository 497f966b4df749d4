use super::*;

const OWN: &str = "2025-11-25";

fn start() -> Start<'static> {
    Start {
        protocol: Protocol::Auto,
        version: OWN,
        has_capabilities: true,
        remembered: None,
    }
}

fn refused(status: Option<u16>, words: &str) -> Failure {
    Failure::Refused(Refusal {
        status,
        of_version: words.contains("version"),
        of_request: words.contains("request"),
        modern: words.contains("modern"),
        named: Vec::new(),
    })
}

fn naming(named: &[&'static str]) -> Failure {
    Failure::Refused(Refusal {
        named: named.to_vec(),
        of_version: true,
        of_request: true,
        ..Refusal::default()
    })
}

/// What is tried with a server that answers by this function, in short.
fn tried(start: &Start<'_>, server: impl Fn(Candidate, usize) -> Failure) -> Vec<String> {
    let mut seen = Vec::new();
    if begins_with_discover(start.protocol, start.remembered) {
        seen.push((Candidate::Discover, server(Candidate::Discover, 0)));
    }
    while let Some((candidate, _)) = next(start, &seen, 0) {
        let failure = server(candidate, seen.len());
        seen.push((candidate, failure));
    }
    let short = |candidate: &Candidate| match candidate {
        Candidate::Discover => "discover".to_owned(),
        Candidate::Initialize(offer) => {
            let bare = if offer.bare { " bare" } else { "" };
            let transport = if offer.http_sse { " sse" } else { "" };
            format!("{}{bare}{transport}", offer.version)
        }
    };
    seen.iter().map(|(candidate, _)| short(candidate)).collect()
}

#[test]
fn versions_are_offered_from_the_newest_to_the_oldest() {
    let all = tried(&start(), |candidate, _| match candidate {
        Candidate::Discover => Failure::NotModern,
        Candidate::Initialize(_) => refused(None, "version"),
    });
    let expected = ["discover", OWN, "2025-06-18", "2025-03-26", "2024-11-05"];
    assert_eq!(all, expected);

    let older = Start {
        version: "2025-03-26",
        ..start()
    };
    let all = tried(&older, |candidate, _| match candidate {
        Candidate::Discover => Failure::NotModern,
        Candidate::Initialize(_) => refused(None, "version"),
    });
    assert_eq!(all, ["discover", "2025-03-26", "2024-11-05"]);
}

#[test]
fn a_version_that_the_server_names_is_next() {
    let all = tried(&start(), |candidate, _| match candidate {
        Candidate::Discover => Failure::NotModern,
        Candidate::Initialize(offer) if offer.version == OWN => {
            naming(&["2025-03-26", "2024-11-05"])
        }
        Candidate::Initialize(_) => Failure::End,
    });
    assert_eq!(all, ["discover", OWN, "2025-03-26"]);
}

#[test]
fn a_refused_post_is_followed_by_the_older_transport() {
    for status in [400, 404, 405, 406, 410, 415, 501] {
        let all = tried(&start(), |candidate, _| match candidate {
            Candidate::Discover => Failure::NotModern,
            Candidate::Initialize(offer) if offer.http_sse => Failure::WithoutSse,
            Candidate::Initialize(_) => refused(Some(status), ""),
        });
        assert_eq!(all, ["discover", OWN, &format!("{OWN} sse")], "{status}");
    }
}

#[test]
fn a_request_that_is_refused_without_a_reason_is_made_simpler() {
    let all = tried(&start(), |candidate, _| match candidate {
        Candidate::Discover => Failure::NotModern,
        Candidate::Initialize(offer) if offer.http_sse => Failure::WithoutSse,
        Candidate::Initialize(_) => refused(Some(400), "request"),
    });
    let expected = [
        "discover",
        OWN,
        "2025-11-25 sse",
        "2025-06-18",
        "2025-03-26",
        "2024-11-05",
        "2025-11-25 bare",
    ];
    assert_eq!(all, expected);
    let without = Start {
        has_capabilities: false,
        ..start()
    };
    let all = tried(&without, |candidate, _| match candidate {
        Candidate::Discover => Failure::NotModern,
        Candidate::Initialize(_) => refused(None, "request"),
    });
    assert!(!all.iter().any(|tried| tried.contains("bare")), "{all:?}");
}

#[test]
fn a_server_that_answered_nothing_about_its_era_is_probed_again_after_a_refusal() {
    for first in [Failure::Silent, Failure::Undecided] {
        for refusal in [
            refused(None, ""),
            refused(Some(400), "modern"),
            Failure::Silent,
        ] {
            let all = tried(&start(), |candidate, nth| match candidate {
                Candidate::Discover if nth == 0 => first.clone(),
                Candidate::Discover => Failure::NotModern,
                Candidate::Initialize(_) => refusal.clone(),
            });
            assert_eq!(all, ["discover", OWN, "discover"], "{first:?} {refusal:?}");
        }
    }
    for first in [Failure::NotModern, Failure::AlsoLegacy, Failure::Later] {
        let all = tried(&start(), |candidate, _| match candidate {
            Candidate::Discover => first.clone(),
            Candidate::Initialize(_) => refused(None, ""),
        });
        assert_eq!(all, ["discover", OWN]);
    }
}

#[test]
fn what_is_remembered_comes_first_and_binds_nobody() {
    let contact = Contact {
        version: Some("2025-03-26".into()),
        http_sse: true,
        ..Contact::default()
    };
    let remembering = Start {
        remembered: Some(&contact),
        ..start()
    };
    let all = tried(&remembering, |candidate, _| match candidate {
        Candidate::Discover => Failure::NotModern,
        Candidate::Initialize(offer) if offer.http_sse => Failure::WithoutSse,
        Candidate::Initialize(_) => refused(None, "version"),
    });
    let expected = [
        "2025-03-26 sse",
        "2025-03-26",
        OWN,
        "2025-06-18",
        "2024-11-05",
        "discover",
    ];
    assert_eq!(all, expected);
}

#[test]
fn the_config_decides_the_era() {
    let server = |candidate, _| match candidate {
        Candidate::Discover => Failure::Undecided,
        Candidate::Initialize(_) => refused(None, ""),
    };
    let of = |protocol| {
        tried(
            &Start {
                protocol,
                ..start()
            },
            server,
        )
    };
    assert_eq!(of(Protocol::Modern), ["discover"]);
    assert_eq!(of(Protocol::Legacy), [OWN]);
}

/// Servers that say no at random: the search ends within its requests, and offers nothing twice.
#[test]
fn every_search_ends() {
    let answers = [
        Failure::NotModern,
        Failure::AlsoLegacy,
        Failure::Undecided,
        Failure::Silent,
        refused(Some(400), "request"),
        refused(Some(404), ""),
        refused(Some(500), "version"),
        refused(None, "version request"),
        naming(&["2025-06-18"]),
        naming(&["2025-03-26", "2024-11-05"]),
        refused(Some(400), "modern version"),
        Failure::WithoutSse,
    ];
    for seed in 0..20_000_usize {
        let all = tried(&start(), |candidate, nth| {
            let drawn = seed.wrapping_mul(2_654_435_761).rotate_left(nth as u32 * 7) >> 5;
            match candidate {
                Candidate::Discover => answers[drawn % 4].clone(),
                Candidate::Initialize(offer) if !offer.http_sse => answers[3 + drawn % 8].clone(),
                Candidate::Initialize(_) => answers[3 + drawn % 9].clone(),
            }
        });
        let mut offers: Vec<&String> = all.iter().filter(|tried| *tried != "discover").collect();
        let discovers = all.len() - offers.len();
        // The last could have been confirmed.
        assert!(discovers <= 2 && all.len() < MAX_REQUESTS, "{all:?}");
        let count = offers.len();
        offers.sort();
        offers.dedup();
        assert_eq!(offers.len(), count, "{all:?}");
    }
}
