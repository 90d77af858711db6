/** Reports `as unknown as T`, which disables the type checker and hides a wrong type or a missing check. */
import ts from "typescript";
import { type Finding, lineOf, type Source } from "./sources.ts";

export function checkDoubleCasts(sources: readonly Source[]): Finding[] {
  return sources.flatMap(({ file, syntax }) => {
    const findings: Finding[] = [];
    const visit = (node: ts.Node): void => {
      if (ts.isAsExpression(node) && isUnknownCast(node.expression)) {
        const text =
          "casts through unknown, which switches the type checker off. Correct the type, or check the value.";
        findings.push({ file, line: lineOf(syntax, node), rule: "double-casts", text });
      }
      ts.forEachChild(node, visit);
    };
    visit(syntax);
    return findings;
  });
}

function isUnknownCast(node: ts.Expression): boolean {
  if (ts.isParenthesizedExpression(node)) return isUnknownCast(node.expression);
  return ts.isAsExpression(node) && node.type.kind === ts.SyntaxKind.UnknownKeyword;
}
