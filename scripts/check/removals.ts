/**
 * Checks that only the code that creates a folder removes it: `rm(folder, { recursive: true })` deletes everything below, so a wrong path is destructive.
 *
 * Recursive removal is allowed only for a plain variable that the same file fills from `mkdtemp`. Tests use `temporaryFolder` of
 * `test/temporary.ts`, which removes its folders.
 */
import ts from "typescript";
import { type Finding, lineOf, type Source } from "./sources.ts";

const removers = new Set(["rm", "rmSync", "rmdir", "rmdirSync"]);
const makers = new Set(["mkdtemp", "mkdtempSync"]);

/**
 * Exempt files: a child process receives its folder from its parent, names of temporary folders contain the process that created them, and the test
 * helper keeps a list of the folders it created.
 */
const exempt = new Set(["src/runtime/job/child.ts", "src/core/platform/node-leftovers.ts", "test/temporary.ts"]);

export function checkRemovals(sources: readonly Source[]): Finding[] {
  return sources.filter(({ file }) => !exempt.has(file)).flatMap(checkSource);
}

function checkSource({ file, syntax }: Source): Finding[] {
  const temporaryFolders = new Set<string>();
  const removals: ts.CallExpression[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && makes(node.initializer)) temporaryFolders.add(node.name.getText(syntax));
    if (ts.isBinaryExpression(node) && makes(node.right)) temporaryFolders.add(node.left.getText(syntax));
    if (ts.isCallExpression(node) && removers.has(calledName(node)) && node.arguments.some(isRecursive))
      removals.push(node);
    ts.forEachChild(node, visit);
  };
  visit(syntax);
  return removals
    .filter(({ arguments: [path] }) => path === undefined || !ts.isIdentifier(path) || !temporaryFolders.has(path.text))
    .map((node) => {
      const text = `removes "${node.arguments[0]?.getText(syntax) ?? ""}" and all below. Only a folder that this file made (mkdtemp) may go.`;
      return { file, line: lineOf(syntax, node), rule: "removals", text };
    });
}

function makes(value: ts.Expression | undefined): boolean {
  if (value === undefined) return false;
  if (ts.isAwaitExpression(value)) return makes(value.expression);
  return ts.isCallExpression(value) && makers.has(calledName(value));
}

function calledName({ expression }: ts.CallExpression): string {
  return ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText();
}

function isRecursive(argument: ts.Expression): boolean {
  return (
    ts.isObjectLiteralExpression(argument) &&
    argument.properties.some(
      (property) =>
        property.name?.getText() === "recursive" &&
        !(ts.isPropertyAssignment(property) && property.initializer.kind === ts.SyntaxKind.FalseKeyword),
    )
  );
}
