/**
 * Walkers ask an operator's entry and never look at its name: a walker that knows "Conv" is a second place for what `src/core/ops/` says,
 * and silently wrong for the operator that nobody thought of.
 *
 * Outside of `src/core/ops/`, of `src/core/graph/` (schema and text form) and of `src/core/onnx/` (file format) it is a fault to compare `node.op` with a
 * text, to switch on it, to search for it or to look it up in a table; and to write an operator's name as a text or as a key. Handing
 * `node.op` to the registry, showing it in a message and emitting nodes (`emit.MatMul(…)`) are fine. Layers below `graph/`
 * have no nodes to look at.
 */
import ts from "typescript";
import { heightOf, type Layers } from "./import-table.ts";
import { type Finding, isTestCode, layerOf, lineOf, type Source } from "./sources.ts";

const speakers: ReadonlySet<string | undefined> = new Set(["core/ops", "core/graph", "core/onnx"]);
const reason = "Walkers ask the operator's entry (src/core/ops/): give it a facet that says what you need to know.";
const comparisons = new Set([
  ts.SyntaxKind.EqualsEqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsEqualsToken,
  ts.SyntaxKind.EqualsEqualsToken,
  ts.SyntaxKind.ExclamationEqualsToken,
]);
const searches = new Set(["includes", "has", "indexOf", "test", "exec", "match", "startsWith", "endsWith"]);

export function checkOperatorNames(
  sources: readonly Source[],
  operators: ReadonlySet<string>,
  layers: Pick<Layers, "layers">,
): Finding[] {
  const lowest = heightOf(layers, "core/graph");
  const seesGraphs = (file: string): boolean => heightOf(layers, layerOf(file)) > lowest;
  return sources
    .filter(({ file }) => seesGraphs(file) && !speakers.has(layerOf(file)) && !isTestCode(file))
    .flatMap((source) => checkSource(source, operators));
}

/** The operators of the generated schema, without their domains; empty if it does not exist. */
export function operatorsOf(sources: readonly Source[]): ReadonlySet<string> {
  const schema = sources.find(({ file }) => file === "src/core/graph/schema.generated.ts");
  const declared = schema?.syntax.statements
    .flatMap((statement) => (ts.isVariableStatement(statement) ? [...statement.declarationList.declarations] : []))
    .find(({ name }) => name.getText() === "schema")?.initializer;
  const table = declared !== undefined && ts.isAsExpression(declared) ? declared.expression : declared;
  if (table === undefined || !ts.isObjectLiteralExpression(table)) return new Set();
  return new Set(table.properties.flatMap(({ name }) => (name === undefined ? [] : [bareName(memberText(name))])));
}

function checkSource({ file, syntax }: Source, operators: ReadonlySet<string>): Finding[] {
  const findings: Finding[] = [];
  const fail = (node: ts.Node, what: string): void => {
    findings.push({ file, line: lineOf(syntax, node), rule: "operator-names", text: `${what}. ${reason}` });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && node.name.text === "op") {
      const reading = readingOf(node);
      if (reading !== undefined) fail(node, `${node.getText(syntax)} is ${reading}`);
    } else if (ts.isStringLiteralLike(node) && operators.has(bareName(node.text)) && !isEmitted(node)) {
      fail(node, `names the operator "${node.text}"`);
    } else if (ts.isPropertyAssignment(node) && ts.isIdentifier(node.name) && operators.has(node.name.text)) {
      fail(node.name, `has a table with the operator "${node.name.text}"`);
    }
    ts.forEachChild(node, visit);
  };
  visit(syntax);
  return findings;
}

/** How an operator's name is looked at, where that is a fault. */
function readingOf(name: ts.PropertyAccessExpression): string | undefined {
  const { parent } = name;
  if (ts.isBinaryExpression(parent) && comparisons.has(parent.operatorToken.kind)) {
    const other = parent.left === name ? parent.right : parent.left;
    return ts.isStringLiteralLike(other) ? `compared with "${other.text}"` : undefined;
  }
  if (ts.isBinaryExpression(parent) && parent.operatorToken.kind === ts.SyntaxKind.InKeyword)
    return "looked up in a table";
  if (ts.isSwitchStatement(parent)) return "switched on";
  if (ts.isElementAccessExpression(parent) && parent.argumentExpression === name) return "looked up in a table";
  if (ts.isPropertyAccessExpression(parent) && searches.has(parent.name.text)) return "searched";
  if (
    ts.isCallExpression(parent) &&
    ts.isPropertyAccessExpression(parent.expression) &&
    parent.expression.expression !== name
  ) {
    return searches.has(parent.expression.name.text) ? "searched for" : undefined;
  }
  return undefined;
}

/** emit["com.microsoft.MatMulNBits"](…) and emit.many("Split", …) write a node. */
function isEmitted(node: ts.StringLiteralLike): boolean {
  const { parent } = node;
  if (ts.isElementAccessExpression(parent)) return /\bemit(\s*\.named\([^)]*\))?$/.test(parent.expression.getText());
  if (!ts.isCallExpression(parent) || !ts.isPropertyAccessExpression(parent.expression)) return false;
  return parent.expression.name.text === "many" && parent.arguments[0] === node;
}

function memberText(name: ts.PropertyName): string {
  return ts.isIdentifier(name) || ts.isStringLiteralLike(name) ? name.text : name.getText();
}

/** "com.microsoft.Attention" → "Attention". */
function bareName(text: string): string {
  return text.slice(text.lastIndexOf(".") + 1);
}
