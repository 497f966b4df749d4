//! The floors as they are described: in the table and the picture of ARCHITECTURE.md, and in the list of
//! `src/lib.rs`. Each names the rooms of [`FLOORS`], in its order.

use std::path::Path;

use super::FLOORS;

type Floors = Vec<Vec<String>>;

fn text_of(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The rows of the table. One with a number begins a floor; rooms are named by their paths.
fn of_table(page: &str) -> Floors {
    let mut floors = Floors::new();
    let table = page
        .lines()
        .skip_while(|line| !line.starts_with("| floor |"));
    for row in table.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if !cells[1].is_empty() {
            floors.push(Vec::new());
            assert_eq!(cells[1], floors.len().to_string(), "{row}");
        }
        let floor = floors.last_mut().unwrap();
        let paths = cells[2]
            .split('`')
            .filter_map(|word| word.strip_prefix("src/"));
        for path in paths {
            let room = path.trim_end_matches('/').trim_end_matches(".rs");
            // The binary is the program's root, and no room.
            if room != "main" && !floor.iter().any(|known| known == room) {
                floor.push(room.to_owned());
            }
        }
    }
    floors
}

/// The rooms of the picture: those that `&` joins are one floor.
fn of_picture(page: &str) -> Floors {
    let mut floors = Floors::new();
    let picture = page
        .lines()
        .skip_while(|line| *line != "```mermaid")
        .skip(2);
    // The last line joins groups of floors.
    let lines = picture.take_while(|line| line.starts_with("  "));
    let rooms = lines.filter(|line| line.starts_with("    "));
    for floor in rooms.flat_map(|line| line.split("-->")) {
        let floor: Vec<String> = floor.split('&').map(|room| room.trim().into()).collect();
        if !floors.contains(&floor) {
            floors.push(floor);
        }
    }
    floors
}

/// The items of the list, with the rooms that each names in backticks.
fn of_list(text: &str) -> Floors {
    let is_room = |word: &&str| FLOORS.iter().any(|floor| floor.contains(word));
    let items = text.split("\n//! - ").skip(1);
    let items = items.map(|item| item.split("\n//!\n").next().unwrap());
    let rooms = items.map(|item| item.split('`').filter(is_room).map(str::to_owned).collect());
    rooms.collect()
}

#[test]
fn the_floors_are_the_same_wherever_they_are_described() {
    let page = text_of("ARCHITECTURE.md");
    assert_eq!(of_table(&page), FLOORS, "the table of ARCHITECTURE.md");
    assert_eq!(of_picture(&page), FLOORS, "the picture of ARCHITECTURE.md");
    assert_eq!(of_list(&text_of("src/lib.rs")), FLOORS, "src/lib.rs");
}
