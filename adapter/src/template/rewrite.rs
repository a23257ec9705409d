//! Parsing, and the tree changes that make the engine print and fail as Go does.
//!
//! Three changes: a field chain becomes a call of [`functions::FIELD`], which is strict; a printed
//! action gets [`functions::PRINT`] as its last stage; and every root name is noted, so that only
//! what a template uses is converted when it is rendered.

use std::collections::BTreeSet;
use std::sync::Arc;

use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, DefineNode, Expr, ListNode, Node, Parser, PipeNode,
};
use gotmpl::{MissingKey, Template as Engine, Value as TemplateValue};

use super::{Scope, TemplateError, functions};

/// The name under which the template's own body is registered.
const BODY: &str = "@body";

/// A parsed and rewritten template.
pub(super) struct Parsed {
    body: ListNode,
    defines: Vec<DefineNode>,
    pub(super) roots: BTreeSet<String>,
    pub(super) simple_roots: BTreeSet<String>,
    pub(super) functions: BTreeSet<String>,
    /// Field chains that begin at the root, whatever the dot is where they stand.
    pub(super) paths: BTreeSet<Vec<String>>,
    /// How many blocks with a dot of their own are open, while the tree is walked.
    inside: usize,
    whole_dot: bool,
}

pub(super) fn parse(source: &str) -> Result<Parsed, TemplateError> {
    let parse_error = |error: gotmpl::TemplateError| TemplateError::Parse(error.to_string());
    let (body, defines) = Parser::new(source, "{{", "}}")
        .and_then(Parser::parse)
        .map_err(parse_error)?;
    let mut parsed = Parsed {
        body: ListNode {
            pos: body.pos,
            nodes: Vec::new(),
        },
        defines: Vec::new(),
        roots: BTreeSet::new(),
        simple_roots: simple_roots(&body),
        functions: BTreeSet::new(),
        paths: BTreeSet::new(),
        inside: 0,
        whole_dot: false,
    };
    let mut body = body;
    parsed.list(&mut body);
    parsed.body = body;
    parsed.inside = 1;
    for mut define in defines {
        parsed.list(&mut define.body);
        parsed.defines.push(define);
    }
    Ok(parsed)
}

/// Roots of actions that are one field chain, optionally piped through plain functions.
fn simple_roots(body: &ListNode) -> BTreeSet<String> {
    let mut roots = BTreeSet::new();
    for node in &body.nodes {
        let Node::Action(action) = node else { continue };
        if !action.pipe.decl.is_empty() {
            continue;
        }
        let Some((first, rest)) = action.pipe.commands.split_first() else {
            continue;
        };
        let plain_functions = rest
            .iter()
            .all(|command| matches!(command.args.first(), Some(Expr::Identifier(..))));
        if let [Expr::Field(_, fields)] = first.args.as_slice()
            && plain_functions
            && let Some(root) = fields.first()
        {
            roots.insert(root.to_string());
        }
    }
    roots
}

impl Parsed {
    fn list(&mut self, list: &mut ListNode) {
        for node in &mut list.nodes {
            match node {
                Node::List(inner) => self.list(inner),
                Node::Action(action) => self.action(action),
                Node::If(branch) => self.branch(branch, false),
                Node::Range(branch) | Node::With(branch) => self.branch(branch, true),
                Node::Template(call) => {
                    if let Some(pipe) = &mut call.pipe {
                        self.pipe(pipe);
                    }
                }
                Node::Define(define) => {
                    self.inside += 1;
                    self.list(&mut define.body);
                    self.inside -= 1;
                }
                Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
            }
        }
    }

    fn action(&mut self, action: &mut ActionNode) {
        self.pipe(&mut action.pipe);
        if action.pipe.decl.is_empty() {
            let pos = action.pipe.pos;
            action.pipe.commands.push(CommandNode {
                pos,
                args: vec![Expr::Identifier(pos, functions::PRINT.into())],
            });
        }
    }

    fn branch(&mut self, branch: &mut BranchNode, has_own_dot: bool) {
        self.pipe(&mut branch.pipe);
        self.inside += usize::from(has_own_dot);
        self.list(&mut branch.body);
        self.inside -= usize::from(has_own_dot);
        if let Some(body) = &mut branch.else_body {
            self.list(body);
        }
    }

    fn pipe(&mut self, pipe: &mut PipeNode) {
        for command in &mut pipe.commands {
            if let Some(Expr::Identifier(_, name)) = command.args.first() {
                self.functions.insert(name.to_string());
            }
            for argument in &mut command.args {
                self.expression(argument);
            }
        }
    }

    fn expression(&mut self, expression: &mut Expr) {
        match expression {
            Expr::Field(pos, fields) => {
                if let Some(root) = fields.first() {
                    self.roots.insert(root.to_string());
                }
                if self.inside == 0 {
                    self.paths.insert(names(fields));
                }
                let pos = *pos;
                let fields = std::mem::take(fields);
                *expression = field_call(pos, Expr::Dot(pos), &fields);
            }
            Expr::Variable(pos, name, fields) => {
                let (pos, name) = (*pos, name.clone());
                if name.as_str() == "$" {
                    match fields.first() {
                        Some(root) => {
                            self.roots.insert(root.to_string());
                            self.paths.insert(names(fields));
                        }
                        None => self.whole_dot = true,
                    }
                }
                if !fields.is_empty() {
                    let fields = std::mem::take(fields);
                    *expression = field_call(pos, Expr::Variable(pos, name, Vec::new()), &fields);
                }
            }
            Expr::Dot(_) => self.whole_dot = true,
            Expr::Pipe(_, pipe) => self.pipe(pipe),
            Expr::Chain(pos, inner, fields) => {
                self.expression(inner);
                if !matches!(inner.as_ref(), Expr::Identifier(..)) {
                    let pos = *pos;
                    let fields = std::mem::take(fields);
                    let base = std::mem::replace(inner.as_mut(), Expr::Nil(pos));
                    *expression = field_call(pos, base, &fields);
                }
            }
            Expr::Identifier(_, name) => {
                self.functions.insert(name.to_string());
            }
            Expr::String(..) | Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_) => {}
        }
    }

    pub(super) fn render(&self, scope: &dyn Scope) -> Result<String, TemplateError> {
        let render_error = |error: gotmpl::TemplateError| TemplateError::Render(error.to_string());
        let mut engine = Engine::new("")
            .missing_key(MissingKey::Error)
            .funcs(functions::table(scope.now()))
            .parse(&format!("{{{{template {BODY:?} .}}}}"))
            .map_err(render_error)?
            .add_parse_tree(BODY, self.body.clone());
        for define in &self.defines {
            engine = engine.add_parse_tree(&define.name, define.body.clone());
        }
        let names: Vec<String> = if self.whole_dot {
            scope.names()
        } else {
            self.roots.iter().cloned().collect()
        };
        let roots = names
            .into_iter()
            .filter_map(|name| {
                let value = scope.root(&name)?;
                Some((Arc::from(name), value))
            })
            .collect();
        engine
            .execute_to_string(&TemplateValue::Map(Arc::new(roots)))
            .map_err(render_error)
    }
}

fn names(fields: &[gotmpl::parse::SmolStr]) -> Vec<String> {
    fields.iter().map(ToString::to_string).collect()
}

fn field_call(pos: gotmpl::parse::Pos, base: Expr, fields: &[gotmpl::parse::SmolStr]) -> Expr {
    let mut args = vec![Expr::Identifier(pos, functions::FIELD.into()), base];
    args.extend(
        fields
            .iter()
            .map(|field| Expr::String(pos, Arc::from(field.as_str()))),
    );
    Expr::Pipe(
        pos,
        PipeNode {
            pos,
            decl: Vec::new(),
            commands: vec![CommandNode { pos, args }],
            is_assign: false,
        },
    )
}
