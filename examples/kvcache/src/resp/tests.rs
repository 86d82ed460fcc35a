//! Requests whole, in pieces, and malformed.

use proptest::prelude::*;

use super::*;

fn parse(bytes: &[u8]) -> Result<Option<(usize, Vec<Vec<u8>>)>, ProtocolError> {
    let mut parser = Parser::default();
    Ok(parser.parse(bytes)?.map(|len| (len, words(&parser, bytes))))
}

fn words(parser: &Parser, bytes: &[u8]) -> Vec<Vec<u8>> {
    let words = parser.arguments().iter();
    words.map(|range| bytes[range.clone()].to_vec()).collect()
}

#[test]
fn array_and_inline_requests_give_their_words() {
    let request = b"*2\r\n$3\r\nGET\r\n$5\r\na\r\nbc\r\nnext";
    let words = vec![b"GET".to_vec(), b"a\r\nbc".to_vec()];
    assert_eq!(parse(request), Ok(Some((request.len() - 4, words))));
    let words = vec![b"GET".to_vec(), b"abc".to_vec()];
    assert_eq!(parse(b"  GET   abc \r\n"), Ok(Some((14, words))));
    assert_eq!(parse(b"\r\n"), Ok(Some((2, vec![]))));
    assert_eq!(parse(b"*0\r\n"), Ok(Some((4, vec![]))));
    assert_eq!(parse(b"*-1\r\n"), Ok(Some((5, vec![]))));
}

#[test]
fn malformed_requests_are_told_apart() {
    let error = |bytes: &[u8]| parse(bytes).unwrap_err();
    assert_eq!(error(b"*x\r\n"), ProtocolError::ArgumentCount);
    assert_eq!(error(b"*65537\r\n"), ProtocolError::ArgumentCount);
    assert_eq!(
        error(b"*99999999999999999999999999\r\n"),
        ProtocolError::ArgumentCount
    );
    assert_eq!(error(b"*1\rx"), ProtocolError::ArgumentCount);
    assert_eq!(
        error(b"*1\r\n:5\r\n"),
        ProtocolError::NotABulk { found: b':' }
    );
    assert_eq!(error(b"*1\r\n$-1\r\n"), ProtocolError::BulkLength);
    assert_eq!(error(b"*1\r\n$16777217\r\n"), ProtocolError::BulkLength);
    assert_eq!(error(b"*1\r\n$3\r\nabcd\r\n"), ProtocolError::BulkEnd);
    assert_eq!(error(&[b'a'; MAX_LINE_BYTES]), ProtocolError::LineTooLong);
}

#[test]
fn words_too_long_together_are_refused_before_they_arrive() {
    let mut request = b"*4\r\n".to_vec();
    for _ in 0..2 {
        bulk(&mut request, &vec![b'x'; MAX_BULK_BYTES]);
    }
    request.extend_from_slice(b"$1\r\n");
    assert_eq!(parse(&request), Err(ProtocolError::RequestTooLong));
}

#[test]
fn error_replies_stay_on_one_line() {
    let mut out = Vec::new();
    error(&mut out, "ERR a\r\nb");
    assert_eq!(out, b"-ERR a  b\r\n");
}

proptest! {
    #[test]
    fn pieces_give_what_the_whole_gives(
        expected in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        cuts in prop::collection::vec(0usize..400, 0..6),
    ) {
        let mut request = Vec::new();
        array(&mut request, expected.len());
        for word in &expected {
            bulk(&mut request, word);
        }
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < request.len()).collect();
        cuts.sort_unstable();
        let mut parser = Parser::default();
        for cut in cuts {
            prop_assert_eq!(parser.parse(&request[..cut]), Ok(None));
        }
        prop_assert_eq!(parser.parse(&request), Ok(Some(request.len())));
        prop_assert_eq!(words(&parser, &request), expected);
    }

    #[test]
    fn no_input_makes_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut parser = Parser::default();
        for end in 0..=bytes.len() {
            if !matches!(parser.parse(&bytes[..end]), Ok(None)) {
                break;
            }
        }
    }
}
