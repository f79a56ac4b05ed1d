//! Lists the kernel's graphics cards of one vendor that this process may use.
//!
//! `/sys` shows the whole host, also inside a container. A card counts only if its render node is in
//! this process's `/dev`.

use super::super::Machine;

/// The folder of the kernel's graphics and compute cards.
pub(super) const CARDS: &str = "/sys/class/drm";

/// Returns the folders of the vendor's display and compute cards, such as `/sys/class/drm/card0`, in
/// the kernel's order.
///
/// `vendor`: its PCI number as the kernel writes it, `0x1002`.
pub(super) fn cards(machine: &Machine, vendor: &str) -> Vec<String> {
    let numbered = machine.names(CARDS).filter_map(|name| {
        // `card0-HDMI-A-1` is a connector.
        name.strip_prefix("card")?.parse::<u32>().ok()
    });
    let mut numbers: Vec<u32> = numbered.collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| format!("{CARDS}/card{number}"))
        .filter(|card| {
            machine.attribute(&format!("{card}/device/vendor")).as_deref() == Some(vendor)
                && is_display(machine, card)
                && is_ours(machine, card)
        })
        .collect()
}

/// PCI classes: 0x03 display controllers, 0x12 processing accelerators.
fn is_display(machine: &Machine, card: &str) -> bool {
    let class = machine.attribute(&format!("{card}/device/class"));
    class.is_some_and(|class| class.starts_with("0x03") || class.starts_with("0x12"))
}

/// Returns whether the card's render node exists; a card without one counts as well.
fn is_ours(machine: &Machine, card: &str) -> bool {
    let mut nodes = machine
        .names(&format!("{card}/device/drm"))
        .filter(|name| name.starts_with("renderD"))
        .peekable();
    nodes.peek().is_none() || nodes.any(|node| machine.exists(&format!("/dev/dri/{node}")))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::Tree;
    use super::cards;

    fn card(tree: Tree, number: u32, vendor: &str, class: &str) -> Tree {
        let device = format!("/sys/class/drm/card{number}/device");
        tree.file(&format!("{device}/vendor"), vendor).file(&format!("{device}/class"), class)
    }

    #[test]
    fn cards_are_sorted_by_number_and_connectors_are_left_out() {
        let tree = [(10, "0x1002\n"), (2, "0x1002\n"), (1, "0x1a03\n")]
            .into_iter()
            .fold(Tree::new(), |tree, (number, vendor)| card(tree, number, vendor, "0x038000\n"))
            .file("/sys/class/drm/card2-DP-1/device/vendor", "0x1002")
            .file("/sys/class/drm/version", "drm 1.1.0");
        let tree = card(tree, 3, "0x1002", "0x020000");
        let found = cards(&tree.machine(), "0x1002");
        assert_eq!(found, ["/sys/class/drm/card2", "/sys/class/drm/card10"]);
        assert!(cards(&Tree::new().machine(), "0x1002").is_empty());
    }

    #[test]
    fn a_card_that_the_container_was_not_given_is_left_out() {
        let tree = card(Tree::new(), 0, "0x8086", "0x030000")
            .file("/sys/class/drm/card0/device/drm/renderD128/dev", "226:128");
        assert!(cards(&tree.machine(), "0x8086").is_empty());
        let tree = tree.file("/dev/dri/renderD128", "");
        assert_eq!(cards(&tree.machine(), "0x8086").len(), 1);
    }
}
