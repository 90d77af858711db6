/**
 * Generates docs/surface/: the exports of each entry point of the package, as declarations. A change of the public surface is then a visible
 * difference. Comments are omitted, so that only changes of meaning appear.
 */
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import type { Generator } from "./generator.ts";

const folder = "docs/surface";

export const surface: Generator = {
  folder,
  async generate() {
    const { exports } = JSON.parse(readFileSync("package.json", "utf8")) as PackageJson;
    const entries = Object.entries(exports).flatMap(([name, target]) => {
      const source = typeof target === "string" ? undefined : target["pith-source"];
      // The package checks report an entry point without its source.
      return source === undefined || !existsSync(source) ? [] : [{ name: path.posix.join("pith", name), source }];
    });
    const surfaces = describeExports(
      compile("tsconfig.build.json"),
      entries.map(({ source }) => source),
    );
    return new Map(
      entries.map(({ name, source }) => [
        `${folder}/${name.replaceAll("/", "-")}.txt`,
        `${name}, names: ${surfaces.get(source)?.names ?? 0}\n\n${surfaces.get(source)?.text ?? ""}`,
      ]),
    );
  },
};

interface PackageJson {
  readonly exports: Readonly<Record<string, string | { readonly "pith-source"?: string }>>;
}

function compile(config: string): ts.Program {
  const parsed = ts.getParsedCommandLineOfConfigFile(
    config,
    { emitDeclarationOnly: true, removeComments: true, noCheck: true },
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
        throw new Error(ts.flattenDiagnosticMessageText(messageText, "\n"));
      },
    },
  );
  if (parsed === undefined) throw new Error(`${config} cannot be read.`);
  return ts.createProgram(parsed.fileNames, parsed.options);
}

interface Surface {
  readonly names: number;
  /** The declarations, sorted by name. */
  readonly text: string;
}

/** Returns the declarations of all exports for each source file. */
export function describeExports(program: ts.Program, files: readonly string[]): ReadonlyMap<string, Surface> {
  const checker = program.getTypeChecker();
  const declarations = new Declarations(program);
  const surfaces = new Map<string, Surface>();
  for (const file of files) {
    const source = program.getSourceFile(path.resolve(file));
    const module = source && checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${file} exports nothing.`);
    const blocks = checker
      .getExportsOfModule(module)
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((symbol) => {
        const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
        return declarations.of(symbol.name, target);
      });
    surfaces.set(file, { names: blocks.length, text: blocks.join("\n") });
  }
  return surfaces;
}

/** The declaration files of a program, each emitted on first use. */
class Declarations {
  readonly #program: ts.Program;
  readonly #files = new Map<string, ts.SourceFile>();
  readonly #printer = ts.createPrinter({ removeComments: true });

  constructor(program: ts.Program) {
    this.#program = program;
  }

  of(exportedAs: string, symbol: ts.Symbol): string {
    const sources = new Set((symbol.declarations ?? []).map((declaration) => declaration.getSourceFile()));
    const texts = [...sources].flatMap((source) => {
      if (source.isDeclarationFile) return [`export { ${symbol.name} } from another package;`];
      const file = this.#emitted(source);
      return file.statements
        .filter((statement) => declares(statement, symbol.name))
        .map((statement) => this.#print(statement, file));
    });
    if (texts.length === 0) throw new Error(`No declaration of ${exportedAs} was emitted.`);
    const alias = symbol.name === exportedAs ? [] : [`export { ${symbol.name} as ${exportedAs} };`];
    return [...alias, ...texts].map((text) => `${text}\n`).join("");
  }

  #emitted(source: ts.SourceFile): ts.SourceFile {
    const cached = this.#files.get(source.fileName);
    if (cached !== undefined) return cached;
    let text = "";
    const keep: ts.WriteFileCallback = (name, content) => {
      if (name.endsWith(".d.ts")) text = content;
    };
    this.#program.emit(source, keep, undefined, true);
    const file = ts.createSourceFile(`${source.fileName}.d.ts`, text, ts.ScriptTarget.ESNext, true);
    this.#files.set(source.fileName, file);
    return file;
  }

  #print(statement: ts.Statement, file: ts.SourceFile): string {
    return this.#printer.printNode(ts.EmitHint.Unspecified, statement, file).replaceAll("\r\n", "\n");
  }
}

function declares(statement: ts.Statement, name: string): boolean {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.some((declaration) => declaration.name.getText() === name);
  }
  const named =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isModuleDeclaration(statement);
  return named && statement.name?.text === name;
}
