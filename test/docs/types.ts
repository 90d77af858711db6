/**
 * Type-checks examples as a reader would complete them: exports of the package are imported, and names that an example assumes
 * (`model`, `data`, …) have their usual types. All examples are checked in one program, each as a separate module.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";
import { type Example, sourceFiles } from "./docstrings.ts";

/** Types of the names that examples use without a declaration. */
const assumedTypes: Readonly<Record<string, string>> = {
  model: 'import("pith").Model',
  net: 'import("pith").Model',
  teacher: 'import("pith").Model',
  student: 'import("pith").Model',
  original: 'import("pith").Model',
  smaller: 'import("pith").Model',
  result: 'import("pith").Model',
  x: 'import("pith/extend").Value',
  engine: 'import("pith/engine").Engine',
  pass: '(model: import("pith").Model) => Promise<import("pith").Outcome>',
  outcome: 'import("pith").Outcome',
  data: 'import("pith/data").IndexedDataset',
  dataset: 'import("pith/data").IndexedDataset',
  calibration: 'import("pith/data").IndexedDataset',
  unseen: 'import("pith/data").IndexedDataset',
  input: 'Parameters<typeof import("pith/data").preprocess>[1]',
  pixels: "Float32Array",
  weight: 'import("pith").Dense',
  weights: "Float32Array",
  gram: 'import("pith/extend").Matrix',
  multiply: 'import("pith/extend").Multiply',
  run: 'import("pith/compress").Run',
  name: "string",
  readFile: 'typeof import("node:fs/promises").readFile',
  writeFile: 'typeof import("node:fs/promises").writeFile',
  appendFile: 'typeof import("node:fs/promises").appendFile',
  sizeJob: "(input: { readonly path: string }) => Promise<number>",
};

/** Returns the errors of each example as sentences with the line in the example. */
export function mistakes(root: string, examples: readonly Example[]): ReadonlyMap<Example, readonly string[]> {
  const options = configuration(root);
  const virtual = new Map<string, string>();
  const host = hostWith(options, virtual);
  const sources = sourceFiles(root).map((file) => join(root, file));
  const program = ts.createProgram(sources, options, host);
  const names = namesIn(root, program);
  const paths = new Map(examples.map((example, index) => [example, join(root, "test", "docs", `example-${index}.ts`)]));
  for (const [example, path] of paths) virtual.set(path, `${prelude(example, names)}\n${example.code}\nexport {};\n`);
  const complete = ts.createProgram([...sources, ...virtual.keys()], options, host, program);
  return new Map([...paths].map(([example, path]) => [example, mistakesIn(complete, path)]));
}

function mistakesIn(program: ts.Program, path: string): readonly string[] {
  const file = program.getSourceFile(path);
  if (file === undefined) throw new Error(`${path} is not in the program.`);
  return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map((found) => {
    // The prelude is one line before the example, so 0-based lines are 1-based lines of the example.
    const { line } = file.getLineAndCharacterOfPosition(found.start ?? 0);
    return `line ${line}: ${ts.flattenDiagnosticMessageText(found.messageText, "\n")}`;
  });
}

function configuration(root: string): ts.CompilerOptions {
  const { config, error } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => readFileSync(path, "utf8"));
  if (error !== undefined) throw new Error(ts.flattenDiagnosticMessageText(error.messageText, "\n"));
  return ts.convertCompilerOptionsFromJson(config.compilerOptions, root).options;
}

/** Returns a host that reads files from `virtual` or from disk. Files are parsed once for both programs. */
function hostWith(options: ts.CompilerOptions, virtual: ReadonlyMap<string, string>): ts.CompilerHost {
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  const parsed = new Map<string, ts.SourceFile | undefined>();
  return {
    ...host,
    fileExists: (path) => virtual.has(path) || fileExists(path),
    readFile: (path) => virtual.get(path) ?? readFile(path),
    getSourceFile(path, settings) {
      if (!parsed.has(path)) {
        const text = virtual.get(path);
        const virtualFile = text === undefined ? undefined : ts.createSourceFile(path, text, settings);
        parsed.set(path, virtualFile ?? getSourceFile(path, settings));
      }
      return parsed.get(path);
    },
  };
}

/** The exports of each module specifier, with their resolved symbols. */
interface Names {
  readonly entries: ReadonlyMap<string, ReadonlyMap<string, ts.Symbol>>;
  /** Exports of each source file by path, which only the sources can import. */
  readonly files: ReadonlyMap<string, ReadonlySet<string>>;
  readonly root: string;
}

function namesIn(root: string, program: ts.Program): Names {
  const checker = program.getTypeChecker();
  const exported = (path: string): Map<string, ts.Symbol> => {
    const file = program.getSourceFile(join(root, path));
    const symbol = file === undefined ? undefined : checker.getSymbolAtLocation(file);
    const symbols = symbol === undefined ? [] : checker.getExportsOfModule(symbol);
    return new Map(
      symbols.map((one) => [one.name, one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one]),
    );
  };
  const manifest: { readonly exports: Readonly<Record<string, string | { readonly "pith-source": string }>> } =
    JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const entries = Object.entries(manifest.exports).flatMap(([name, target]) =>
    typeof target === "string" ? [] : [[name.replace(/^\./, "pith"), exported(target["pith-source"])] as const],
  );
  const files = sourceFiles(root).map((path) => [path, new Set(exported(path).keys())] as const);
  return { entries: new Map(entries), files: new Map(files), root };
}

/** Returns one line with imports and declarations for the free names of an example. Unknown and ambiguous names are omitted. */
function prelude({ file, code }: Example, names: Names): string {
  return freeNames(code)
    .map((name) => {
      if (assumedTypes[name] !== undefined) return `declare const ${name}: ${assumedTypes[name]};`;
      const from = placeOf(name, file, names);
      return from === undefined ? "" : `import { ${name} } from ${JSON.stringify(from)};`;
    })
    .join(" ");
}

/** Returns the entry point of a folder that contains the example, the only other one that has the name, the example's file, or one in its folder. */
function placeOf(name: string, file: string, { entries, files, root }: Names): string | undefined {
  const folder = dirname(file);
  const folders = folder.split("/").map((part) => `pith/${part}`);
  const entryOfFolder = folders.find((entry) => entries.get(entry)?.has(name));
  if (entryOfFolder !== undefined) return entryOfFolder;
  const having = [...entries].filter(([, exported]) => exported.has(name));
  const [first] = having;
  if (first !== undefined)
    return new Set(having.map(([, exported]) => exported.get(name))).size === 1 ? first[0] : undefined;
  const near = [file, ...[...files.keys()].filter((path) => dirname(path) === folder)];
  const source = near.find((path) => files.get(path)?.has(name) === true);
  return source === undefined ? undefined : join(root, source);
}

/** Returns the identifiers that an example uses and does not declare. */
function freeNames(code: string): readonly string[] {
  const used = new Set<string>();
  const declared = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const { parent } = node;
      if ((isBinding(parent) || ts.isImportClause(parent)) && parent.name === node) declared.add(node.text);
      else if (!isKey(node)) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("example.ts", code, ts.ScriptTarget.Latest, true));
  return [...used].filter((name) => !declared.has(name));
}

function isBinding(node: ts.Node): node is ts.VariableDeclaration | ts.BindingElement | ts.ImportSpecifier {
  return (
    ts.isVariableDeclaration(node) || ts.isBindingElement(node) || ts.isImportSpecifier(node) || ts.isParameter(node)
  );
}

/** Returns whether an identifier is a property name: `a` in `x.a` and `{ a: 1 }`, but not in `{ a }`. */
function isKey(node: ts.Identifier): boolean {
  const { parent } = node;
  return (
    (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
    (ts.isPropertyAssignment(parent) && parent.name === node) ||
    (ts.isBindingElement(parent) && parent.propertyName === node)
  );
}
