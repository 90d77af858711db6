/** docs/errors.md: the codes of `src/core/errors.ts` with the comment beside each. */
import { readFileSync } from "node:fs";
import ts from "typescript";
import { type Generator, sourceNotice } from "./generator.ts";

const source = "src/core/errors.ts";

export const errorPage: Generator = {
  generate: async () => new Map([["docs/errors.md", renderErrors(readErrors(readFileSync(source, "utf8")))]]),
};

export interface ErrorEntry {
  readonly code: string;
  readonly meaning: string;
}

export function readErrors(text: string): ErrorEntry[] {
  const syntax = ts.createSourceFile(source, text, ts.ScriptTarget.ESNext, true);
  const entries: ErrorEntry[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteral(node) && ts.isArrayLiteralExpression(node.parent) && node.text.startsWith("E_")) {
      entries.push({ code: node.text, meaning: commentAfter(text, node.end) });
    }
    ts.forEachChild(node, visit);
  };
  visit(syntax);
  return entries;
}

/** The line comment behind an element and its comma. */
function commentAfter(text: string, end: number): string {
  const line = text.slice(end, text.indexOf("\n", end));
  const meaning = /^,?\s*\/\/\s*(.+)$/.exec(line)?.[1];
  if (meaning === undefined)
    throw new Error(`${source}: each error code needs a comment on its line that says what it means.`);
  return meaning;
}

function renderErrors(entries: readonly ErrorEntry[]): string {
  return `${sourceNotice(source)}

# Errors

A failure that you can act on is a \`PithError\`: a stable \`code\`, a \`message\` of one sentence with the place, what was expected and
what was found, and often a \`hint\`. On the command line they are the last lines, and the exit code is 1 (2 for \`E_USAGE\`, \`E_OPTION\` and \`E_NAME\`; 130 or 143 for \`E_STOPPED\`).
A message that starts with "internal:" is a fault of Pith: please report it.

| code | meaning |
| --- | --- |
${entries.map(({ code, meaning }) => `| \`${code}\` | ${meaning} |`).join("\n")}
`;
}
