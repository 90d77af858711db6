/** The TypeScript sources as the checks see them: files, and what each one imports. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";
import ts from "typescript";
import { doors } from "../build/doors.ts";

export interface Import {
  /** As written: "../errors.ts", "valibot", "node:fs". */
  readonly specifier: string;
  /** Erased by the compiler: `import type`. */
  readonly typeOnly: boolean;
  /** `await import(…)`. */
  readonly isDynamic: boolean;
  readonly line: number;
  /** The file meant, relative to the root, where it is one of ours. */
  readonly file: string | undefined;
}

export interface Source {
  /** Relative to the root, with forward slashes. */
  readonly file: string;
  readonly syntax: ts.SourceFile;
  readonly imports: readonly Import[];
}

/** A violation, with the rule and its reason. */
export interface Finding {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
  readonly text: string;
}

/** Folders with TypeScript of ours. */
const roots = ["src", "studio/src", "test", "examples", "bench", "scripts"];

export function readSources(root: string, folders: readonly string[] = roots): Source[] {
  const platform = platformFiles(root);
  return folders
    .filter((folder) => existsSync(path.join(root, folder)))
    .flatMap((folder) =>
      readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
    )
    .map((file) => file.replaceAll(path.sep, "/"))
    .filter(
      (file) =>
        /\.tsx?$/.test(file) &&
        !file.endsWith(".d.ts") &&
        !file.includes("node_modules/") &&
        !file.startsWith("bench/peers/"),
    )
    .sort()
    .map((file) => readSource(file, readFileSync(path.join(root, file), "utf8"), platform));
}

const ownImports: Readonly<Record<string, string>> = { "#root": "src/core/platform/root.ts", ...doors("src", ".ts") };

/** @param platform what "#platform" stands for */
export function readSource(
  file: string,
  text: string,
  platform: readonly string[] = ["src/core/platform/node.ts"],
): Source {
  const kind = file.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS;
  const syntax = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true, kind);
  const imports: Import[] = [];
  const add = (node: ts.Node, specifier: string, typeOnly: boolean): void => {
    const line = lineOf(syntax, node);
    const files = specifier === "#platform" ? platform : [ownImports[specifier] ?? resolve(file, specifier)];
    for (const target of files)
      imports.push({ specifier, typeOnly, isDynamic: ts.isCallExpression(node), line, file: target });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node, node.moduleSpecifier.text, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node, node.moduleSpecifier.text, node.isTypeOnly);
    } else if (
      ts.isImportTypeNode(node) &&
      ts.isLiteralTypeNode(node.argument) &&
      ts.isStringLiteral(node.argument.literal)
    ) {
      add(node, node.argument.literal.text, true);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      if (argument && ts.isStringLiteralLike(argument)) add(node, argument.text, false);
    }
    ts.forEachChild(node, visit);
  };
  visit(syntax);
  return { file, syntax, imports };
}

export function lineOf(syntax: ts.SourceFile, node: ts.Node): number {
  return syntax.getLineAndCharacterOfPosition(node.getStart(syntax)).line + 1;
}

/** Code that is not shipped: tests and their helpers. */
export function isTestCode(file: string): boolean {
  return file.endsWith(".test.ts") || !file.startsWith("src/");
}

/** Returns the folder of a source file that the table of layers names: "core/ops" for `src/core/ops/shared/shapes.ts`, "index" for `src/index.ts`. */
export function layerOf(file: string): string {
  const folders = path.posix.dirname(file).split("/").slice(1, 3);
  return folders.join("/") || "index";
}

/** "valibot/x" → "valibot", "@scope/name/x" → "@scope/name". */
export function packageOf(specifier: string): string {
  return /^(@[^/]+\/[^/]+|[^/]+)/.exec(specifier)?.[1] ?? specifier;
}

export function isNodeBuiltIn(specifier: string): boolean {
  return isBuiltin(specifier);
}

function resolve(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return path.posix.normalize(path.posix.join(path.posix.dirname(from), specifier));
  return undefined;
}

function platformFiles(root: string): readonly string[] {
  const files = ["src/core/platform/node.ts", "src/core/platform/browser.ts"];
  const there = files.filter((file) => existsSync(path.join(root, file)));
  return there.length > 0 ? there : files.slice(0, 1);
}
