/**
 * Reports properties that the type of an object literal does not have. TypeScript checks this only in literals without a spread, so a
 * renamed option would silently be lost in the others.
 */
import ts from "typescript";
import { type Finding, lineOf } from "./sources.ts";

export function checkLostProperties(configFile: string): Finding[] {
  const host = { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => {} };
  const parsed = ts.getParsedCommandLineOfConfigFile(configFile, {}, host);
  if (parsed === undefined) throw new Error(`${configFile} cannot be read.`);
  const program = ts.createProgram(parsed.fileNames, parsed.options);
  return findLostProperties(program);
}

export function findLostProperties(program: ts.Program): Finding[] {
  const checker = program.getTypeChecker();
  const findings: Finding[] = [];
  for (const syntax of program.getSourceFiles()) {
    if (syntax.isDeclarationFile || syntax.fileName.includes("/node_modules/")) continue;
    const visit = (node: ts.Node): void => {
      const isOuter = ts.isObjectLiteralExpression(node) && !ts.isSpreadAssignment(node.parent);
      if (isOuter && node.properties.some(ts.isSpreadAssignment)) {
        const types = expectedTypes(checker, node);
        for (const { name } of types === undefined ? [] : writtenProperties(node)) {
          if (types?.some((type) => checker.getPropertyOfType(type, name.text) !== undefined) === true) continue;
          const text = `no type of this literal has ${name.text}, so the value is lost. Use the name that the type has.`;
          const file = ts.sys.resolvePath(syntax.fileName).replace(`${ts.sys.getCurrentDirectory()}/`, "");
          findings.push({ file, line: lineOf(syntax, name), rule: "lost-properties", text });
        }
      }
      ts.forEachChild(node, visit);
    };
    visit(syntax);
  }
  return findings;
}

/** Returns undefined if any property is accepted: without an expected type, or with one that has an index, is generic or empty. */
function expectedTypes(checker: ts.TypeChecker, node: ts.ObjectLiteralExpression): readonly ts.Type[] | undefined {
  const contextual = checker.getContextualType(node);
  if (contextual === undefined) return undefined;
  const type = checker.getNonNullableType(contextual);
  const types = type.isUnion() ? type.types : [type];
  const isClosed = (part: ts.Type): boolean =>
    (part.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection)) !== 0 &&
    checker.getIndexInfosOfType(part).length === 0 &&
    checker.getPropertiesOfType(part).length > 0;
  return types.every(isClosed) ? types : undefined;
}

interface Written {
  readonly name: ts.Identifier | ts.StringLiteralLike;
}

/** Returns the named properties of a literal and of the literals that it spreads. */
function writtenProperties(node: ts.ObjectLiteralExpression): Written[] {
  return node.properties.flatMap((property): Written[] => {
    if (ts.isSpreadAssignment(property)) return spreadLiterals(property.expression).flatMap(writtenProperties);
    const { name } = property;
    return name !== undefined && (ts.isIdentifier(name) || ts.isStringLiteralLike(name)) ? [{ name }] : [];
  });
}

function spreadLiterals(expression: ts.Expression): readonly ts.ObjectLiteralExpression[] {
  if (ts.isParenthesizedExpression(expression)) return spreadLiterals(expression.expression);
  if (ts.isConditionalExpression(expression))
    return [expression.whenTrue, expression.whenFalse].flatMap(spreadLiterals);
  if (ts.isBinaryExpression(expression)) return spreadLiterals(expression.right);
  return ts.isObjectLiteralExpression(expression) ? [expression] : [];
}
