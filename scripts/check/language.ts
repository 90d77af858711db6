/**
 * Checks the wording of comments and names:
 * texts use the terms of the glossary, comments start with a subject or a verb, variables have a noun as their name, and functions do not end in a preposition after a participle.
 */
import ts from "typescript";
import { findAvoidedWords } from "./glossary.ts";
import { type Finding, lineOf, type Source } from "./sources.ts";

const fragment = /^(?:What|Of|Where|From)\b/;

/** Participles, pronouns, prepositions and adjectives that do not name the content of a variable. */
const banned = new Set(
  "own found one its of known given made taken said told wanted left held others what whole behind apart gone".split(
    " ",
  ),
);

/** "judgedIn", "keptBy": a participle and a preposition instead of a verb. */
const participle =
  /(?:[a-z](?<!spe)ed|kept|held|made|said|told|found|taken|given|known|left|swept|drawn|learnt|cut|set)(?:In|At|By|On|Of|For|With|From|To)$/;

/** Public names (docs/surface), which do not change. */
const publicNames = new Set(["tiedTo"]);

export function checkLanguage(sources: readonly Source[]): Finding[] {
  return sources.filter(({ file }) => !file.endsWith(".generated.ts")).flatMap(checkSource);
}

function checkSource({ file, syntax }: Source): Finding[] {
  const findings: Finding[] = [];
  const add = (line: number, text: string): void => void findings.push({ file, line, rule: "language", text });
  for (const { text, line } of commentsOf(syntax)) {
    if (fragment.test(text))
      add(line, `the comment "${text.slice(0, 40)}…" starts with a fragment: write subject, verb, object.`);
  }
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) || ts.isBindingElement(node)) {
      const isRenamed = !ts.isBindingElement(node) || node.propertyName !== undefined || isArrayElement(node);
      if (ts.isIdentifier(node.name) && isRenamed && banned.has(node.name.text))
        add(lineOf(syntax, node), `"${node.name.text}" does not name its content: use a noun.`);
    }
    const name = functionName(node);
    if (name !== undefined && participle.test(name) && !publicNames.has(name))
      add(lineOf(syntax, node), `"${name}" ends in a preposition after a participle: start with a verb.`);
    ts.forEachChild(node, visit);
  };
  visit(syntax);
  // The sentences of `own-text` are data.
  if (/^(?:src|studio\/src)\/(?!.*(?:\.test\.|text\/sentences))/.test(file))
    for (const { text, line } of textsOf(syntax))
      for (const finding of findAvoidedWords(text)) add(line, `${finding} (glossary of scripts/check/glossary.ts).`);
  return findings;
}

/** Yields texts for people: strings with a space, and the text of JSX. */
function* textsOf(syntax: ts.SourceFile): Generator<{ readonly text: string; readonly line: number }> {
  const visit = function* (node: ts.Node): Generator<ts.Node & { readonly text: string }> {
    const isPart = ts.isTemplateHead(node) || ts.isTemplateMiddle(node) || ts.isTemplateTail(node);
    if ((ts.isStringLiteralLike(node) || isPart || ts.isJsxText(node)) && /\s/.test(node.text)) yield node;
    // Types and paths of imports are code.
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node)) return;
    for (const child of node.getChildren(syntax)) yield* visit(child);
  };
  for (const node of visit(syntax)) yield { text: node.text, line: lineOf(syntax, node) };
}

const isArrayElement = (node: ts.BindingElement): boolean => ts.isArrayBindingPattern(node.parent);

function functionName(node: ts.Node): string | undefined {
  if (ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node))
    return node.name !== undefined && ts.isIdentifier(node.name) ? node.name.text : undefined;
  if (!ts.isVariableDeclaration(node) || !ts.isIdentifier(node.name) || node.initializer === undefined)
    return undefined;
  return ts.isArrowFunction(node.initializer) || ts.isFunctionExpression(node.initializer) ? node.name.text : undefined;
}

function* commentsOf(syntax: ts.SourceFile): Generator<{ readonly text: string; readonly line: number }> {
  const { text } = syntax;
  const starts = new Set<number>();
  const visit = function* (node: ts.Node): Generator<ts.CommentRange> {
    const ranges = [
      ...(ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []),
      ...(ts.getTrailingCommentRanges(text, node.getEnd()) ?? []),
    ];
    for (const range of ranges)
      if (!starts.has(range.pos)) {
        starts.add(range.pos);
        yield range;
      }
    for (const child of node.getChildren(syntax)) yield* visit(child);
  };
  for (const { pos, end } of visit(syntax)) {
    const words = text
      .slice(pos, end)
      .replace(/^\/\*+\s*|^\/\/\s*|\*\/$/g, "")
      .replace(/^\s*\*?\s*/, "");
    yield { text: words.trim(), line: syntax.getLineAndCharacterOfPosition(pos).line + 1 };
  }
}
