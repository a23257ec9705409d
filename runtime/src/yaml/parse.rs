//! From parser events to positioned nodes.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Entry, Node, NodeKind, Position, Scalar, YamlError};

/// The most nodes one document may hold, aliases expanded. Adapter files have hundreds; the limit
/// only stops alias bombs in rendered text.
pub const NODE_LIMIT: usize = 200_000;

/// The deepest nesting accepted, so that reading cannot exhaust the stack.
const DEPTH_LIMIT: usize = 200;

/// Reads the first document of `text`; `None` when there is none or it is empty.
///
/// Later documents are ignored, as the adapter contract says.
///
/// # Errors
/// When the text is not YAML, repeats a key, or exceeds the limits.
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        let Some((event, span)) = reader.next()? else {
            return Ok(None);
        };
        match event {
            Event::DocumentStart(..) => break,
            Event::StreamEnd => return Ok(None),
            _ => {
                let _ = span;
            }
        }
    }
    let Some((event, span)) = reader.next()? else {
        return Ok(None);
    };
    if matches!(event, Event::DocumentEnd | Event::StreamEnd) {
        return Ok(None);
    }
    let node = reader.node(event, span, 0)?;
    // A document of comments only is read as one empty plain scalar.
    if let NodeKind::Scalar(scalar) = &node.kind
        && scalar.plain
        && scalar.tag.is_none()
        && scalar.text.is_empty()
    {
        return Ok(None);
    }
    Ok(Some(node))
}

struct Reader<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn tag_name(tag: Option<&Tag>) -> Option<String> {
    let text = tag?.to_string();
    let name = text
        .strip_prefix("tag:yaml.org,2002:")
        .or_else(|| text.strip_prefix("!!"))
        .unwrap_or(&text);
    Some(name.to_owned())
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, YamlError> {
        loop {
            match self.parser.next() {
                None => return Ok(None),
                Some(Ok((Event::StreamStart | Event::Anchor(..) | Event::Comment(..), _))) => {}
                Some(Ok(pair)) => return Ok(Some(pair)),
                Some(Err(error)) => {
                    return Err(YamlError {
                        position: Position {
                            line: error.marker().line(),
                            column: error.marker().col() + 1,
                        },
                        message: error.info(),
                    });
                }
            }
        }
    }

    fn expect_next(&mut self, at: Position) -> Result<(Event<'t>, Span), YamlError> {
        self.next()?.ok_or_else(|| YamlError {
            position: at,
            message: "the document ends too early".to_owned(),
        })
    }

    fn count(&mut self, at: Position, by: usize) -> Result<(), YamlError> {
        self.nodes += by;
        if self.nodes > NODE_LIMIT {
            return Err(YamlError {
                position: at,
                message: format!("the document has more than {NODE_LIMIT} nodes"),
            });
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let at = position(&span);
        self.count(at, 1)?;
        if depth > DEPTH_LIMIT {
            return Err(YamlError {
                position: at,
                message: format!("nesting is deeper than {DEPTH_LIMIT} levels"),
            });
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, tag) => (
                anchor,
                NodeKind::Scalar(Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    tag: tag_name(tag.as_deref()),
                }),
            ),
            Event::SequenceStart(_, anchor, _) => (anchor, self.sequence(at, depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.mapping(at, depth)?),
            Event::Alias(anchor) => {
                let node = self
                    .anchors
                    .get(&anchor)
                    .cloned()
                    .ok_or_else(|| YamlError {
                        position: at,
                        message: "the alias names no anchor before it".to_owned(),
                    })?;
                self.count(at, size(&node))?;
                return Ok(node);
            }
            other => {
                return Err(YamlError {
                    position: at,
                    message: format!("unexpected {other:?}"),
                });
            }
        };
        let node = Node { position: at, kind };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, at: Position, depth: usize) -> Result<NodeKind, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.expect_next(at)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(NodeKind::Sequence(items));
            }
            items.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, at: Position, depth: usize) -> Result<NodeKind, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merges: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.expect_next(at)?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.expect_next(key.position)?;
            let value = self.node(event, span, depth + 1)?;
            let NodeKind::Scalar(scalar) = key.kind else {
                return Err(YamlError {
                    position: key.position,
                    message: "a mapping key must be a scalar".to_owned(),
                });
            };
            if scalar.plain && scalar.text == "<<" {
                merges.push(value);
                continue;
            }
            if entries.iter().any(|entry| entry.key == scalar.text) {
                return Err(YamlError {
                    position: key.position,
                    message: format!("mapping key {:?} already defined", scalar.text),
                });
            }
            entries.push(Entry {
                key: scalar.text,
                position: key.position,
                value,
            });
        }
        for merge in merges {
            apply_merge(&mut entries, merge)?;
        }
        Ok(NodeKind::Mapping(entries))
    }
}

fn apply_merge(entries: &mut Vec<Entry>, merge: Node) -> Result<(), YamlError> {
    match merge.kind {
        NodeKind::Mapping(merged) => {
            for entry in merged {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        NodeKind::Sequence(items) => {
            for item in items {
                apply_merge(entries, item)?;
            }
            Ok(())
        }
        NodeKind::Scalar(_) => Err(YamlError {
            position: merge.position,
            message: "a merge key needs a mapping or a sequence of mappings".to_owned(),
        }),
    }
}

fn size(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Scalar(_) => 1,
        NodeKind::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        NodeKind::Mapping(entries) => {
            1 + entries
                .iter()
                .map(|entry| size(&entry.value))
                .sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn aliases_and_merge_keys_work() {
        let node = parse("base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\nagain: *b\n")
            .unwrap()
            .unwrap();
        assert_eq!(
            node.to_value(),
            json!({"base": {"a": 1, "b": 2}, "use": {"a": 1, "b": 3}, "again": {"a": 1, "b": 2}})
        );
    }

    #[test]
    fn a_duplicate_key_is_refused_with_its_place() {
        let error = parse("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 3, column 1: mapping key \"a\" already defined"
        );
    }

    #[test]
    fn only_the_first_document_counts() {
        let node = parse("a: 1\n---\na: 2\n").unwrap().unwrap();
        assert_eq!(node.to_value(), json!({"a": 1}));
    }

    #[test]
    fn comments_may_stand_anywhere() {
        let parsed = |text: &str| parse(text).unwrap().unwrap().to_value();
        let commented = "# top\na: 1 # behind\n# between\nlist:\n  # first\n  - {b: 2}\n  # last\n";
        assert_eq!(parsed(commented), parsed("a: 1\nlist:\n  - {b: 2}\n"));
    }

    #[test]
    fn an_empty_document_is_none() {
        assert!(parse("").unwrap().is_none());
        assert!(parse("# only a comment\n").unwrap().is_none());
        assert!(parse("---\n").unwrap().unwrap().is_null());
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let previous = level - 1;
            let list = vec![format!("*a{previous}"); 10].join(", ");
            text = format!("{text}a{level}: &a{level} [{list}]\n");
        }
        assert!(parse(&text).unwrap_err().message.contains("more than"));
    }
}
