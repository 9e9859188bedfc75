//! What the broker writes into the reply subject of a delivered record.

/// The numbers of `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<nanos>.<pending>[.…]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeliverySubject {
    pub(super) num_delivered: u64,
    pub(super) sequence: u64,
    pub(super) consumer_sequence: u64,
    pub(super) stored_at_unix_nanos: u64,
    /// Records that match and are not delivered yet.
    pub(super) num_pending: u64,
}

/// Tokens of the short form, and of the long one without the optional end.
const NUM_SHORT: usize = 9;
const NUM_LONG: usize = 11;

impl DeliverySubject {
    /// `None` for a subject that is no delivery's.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.split('.').collect();
        let first = match tokens.len() {
            NUM_SHORT => 4,
            len if len >= NUM_LONG => 6,
            _ => return None,
        };
        if tokens[..2] != ["$JS", "ACK"] {
            return None;
        }
        let number = |index: usize| tokens[first + index].parse().ok();
        Some(Self {
            num_delivered: number(0)?,
            sequence: number(1)?,
            consumer_sequence: number(2)?,
            stored_at_unix_nanos: number(3)?,
            num_pending: number(4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let expected = Some(DeliverySubject {
            num_delivered: 1,
            sequence: 22,
            consumer_sequence: 3,
            stored_at_unix_nanos: 44,
            num_pending: 5,
        });
        assert_eq!(DeliverySubject::parse("$JS.ACK.INFERENCE.router.1.22.3.44.5"), expected);
        assert_eq!(DeliverySubject::parse("$JS.ACK._.hash.INFERENCE.router.1.22.3.44.5"), expected);
        assert_eq!(DeliverySubject::parse("$JS.ACK._.hash.INFERENCE.router.1.22.3.44.5.token"), expected);
        assert_eq!(DeliverySubject::parse("$JS.ACK.INFERENCE.router.1.22.3.44"), None);
        assert_eq!(DeliverySubject::parse("_INBOX.a.b.c.d.e.f.g.h"), None);
    }
}
