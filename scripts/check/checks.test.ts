import ts from "typescript";
import { expect, test } from "vitest";
import layers from "../layers.json" with { type: "json" };
import { checkDoubleCasts } from "./double-casts.ts";
import { checkImportCycles } from "./import-cycles.ts";
import { checkImportTable } from "./import-table.ts";
import { checkLanguage } from "./language.ts";
import { findLostProperties } from "./lost-properties.ts";
import { checkNamesInComments } from "./names-in-comments.ts";
import { checkOperatorNames, operatorsOf } from "./operator-names.ts";
import { checkRemovals } from "./removals.ts";
import { type Finding, readSource } from "./sources.ts";

const table = (file: string, text: string) => places(checkImportTable([readSource(file, text)], layers));
const places = (findings: readonly Finding[]) => findings.map(({ file, line, rule }) => `${file}:${line} ${rule}`);

test("accepts an import that points downwards", () => {
  expect(
    table(
      "src/rewrite/clean-up/fold.ts",
      'import { infer } from "../../core/engine/run.ts";\nimport * as v from "valibot";',
    ),
  ).toEqual([]);
});

test("reports an import that points upwards with its line", () => {
  expect(table("src/core/graph/graph.ts", '\nimport { infer } from "../analysis/shapes.ts";')).toEqual([
    "src/core/graph/graph.ts:2 import-table",
  ]);
});

test("applies the import table to types, re-exports, import types and lazy imports", () => {
  const forms = [
    'import type { Pass } from "../pass/pass.ts";',
    'export * from "../pass/pass.ts";',
    'export type { Pass } from "../pass/pass.ts";',
    'type P = import("../pass/pass.ts").Pass;',
    'const load = () => import("../pass/pass.ts");',
    'import "../pass/pass.ts";',
  ];
  for (const form of forms)
    expect(table("src/core/ops/conv.ts", form), form).toEqual(["src/core/ops/conv.ts:1 import-table"]);
});

test("reports an import between techniques", () => {
  expect(table("src/techniques/prune/magnitude.ts", 'import { quantize } from "../quantize/index.ts";')).toHaveLength(
    1,
  );
});

test("reports a folder that is not in the import table", () => {
  expect(table("src/novelty/idea.ts", "export const idea = 1;")).toEqual(["src/novelty/idea.ts:1 import-table"]);
});

test("accepts a package only in the folders that the table lists", () => {
  expect(table("src/app/cli/main.ts", 'import { Command } from "commander";')).toEqual([]);
  expect(table("src/judge/run/compress.ts", 'import { Command } from "commander";')).toHaveLength(1);
  expect(table("src/app/cli/main.ts", 'import leftPad from "left-pad";')).toHaveLength(1);
});

test("reports Node built-ins outside of their folders, with and without the prefix", () => {
  expect(table("src/core/platform/node.ts", 'import { open } from "node:fs/promises";')).toEqual([]);
  expect(table("src/data/files.ts", 'import { open } from "node:fs/promises";')).toEqual([
    "src/data/files.ts:1 node-built-ins",
  ]);
  expect(table("src/data/files.ts", 'import path from "path";')).toEqual(["src/data/files.ts:1 node-built-ins"]);
});

test("resolves #platform to the folder platform", () => {
  expect(table("src/core/onnx/open.ts", 'import { openFile } from "#platform";')).toEqual([]);
  expect(table("src/core/math/svd.ts", 'import { openFile } from "#platform";')).toHaveLength(1);
});

test("reports modules of the graph that a folder above core imports directly", () => {
  const direct = 'import { Model } from "../core/graph/model.ts";';
  expect(table("src/data/files.ts", direct)).toEqual(["src/data/files.ts:1 import-table"]);
  for (const accepted of ['import { Model } from "#ir";', 'const { Model } = await import("../core/graph/model.ts");'])
    expect(table("src/data/files.ts", accepted)).toEqual([]);
  expect(table("src/index.ts", direct.replace("..", "."))).toEqual([]);
});

test("reports imports of tests or examples in src, and accepts any import in tests", () => {
  expect(table("src/core/ops/index.ts", 'import { cases } from "../../../test/ops/conv.examples.ts";')).toHaveLength(1);
  expect(table("src/core/ops/conv.test.ts", 'import { run } from "../cli/main.ts";\nimport "node:fs";')).toEqual([]);
});

test("reports an example that imports from src", () => {
  expect(table("examples/demo.ts", 'import { open } from "pith";\nimport "node:fs";')).toEqual([]);
  expect(table("examples/demo.ts", 'import { open } from "../src/index.ts";')).toEqual([
    "examples/demo.ts:1 import-table",
  ]);
});

test("the studio imports entry points, and from src only its door and the texts of numbers", () => {
  const named = (path: string) => table("studio/src/views/a.tsx", `import { a } from "../../../src/${path}.ts";`);
  expect([...named("app/report/index"), ...named("core/numbers")]).toEqual([]);
  expect(named("app/report/chart")).toEqual(["studio/src/views/a.tsx:1 import-table"]);
  expect(table("examples/demo.ts", 'import { a } from "../src/app/report/index.ts";')).toHaveLength(1);
});

test("reports a cycle over three files once, with its path", () => {
  const findings = checkImportCycles([
    readSource("src/a/a.ts", 'import { b } from "../b/b.ts";'),
    readSource("src/b/b.ts", '\nexport * from "../c/c.ts";'),
    readSource("src/c/c.ts", '\n\nimport { a } from "../a/a.ts";'),
  ]);
  expect(places(findings)).toEqual(["src/c/c.ts:3 import-cycles"]);
  expect(findings[0]?.text).toContain("src/a/a.ts → src/b/b.ts → src/c/c.ts → src/a/a.ts");
});

test("reports overlapping cycles, and a file that imports itself", () => {
  const findings = checkImportCycles([
    readSource("src/a.ts", 'import "./b.ts";\nimport "./c.ts";'),
    readSource("src/b.ts", 'import "./c.ts";'),
    readSource("src/c.ts", 'import "./a.ts";'),
    readSource("src/d.ts", 'import "./d.ts";'),
  ]);
  expect(places(findings)).toEqual(["src/c.ts:1 import-cycles", "src/d.ts:1 import-cycles"]);
});

test("accepts cycles of types inside one folder only", () => {
  const inside = [
    readSource("src/core/graph/graph.ts", 'import { Value } from "./value.ts";'),
    readSource("src/core/graph/value.ts", 'import type { Graph } from "./graph.ts";'),
  ];
  expect(checkImportCycles(inside)).toEqual([]);
  const findings = checkImportCycles([
    readSource(
      "src/core/graph/graph.ts",
      'import { Value } from "./value.ts";\nimport { split } from "../text/scan.ts";',
    ),
    readSource("src/core/graph/value.ts", 'import type { Graph } from "./graph.ts";'),
    readSource("src/core/text/scan.ts", '\nimport type { Value } from "../graph/value.ts";'),
  ]);
  expect(places(findings)).toHaveLength(1);
  expect(findings[0]?.text).toContain("Types may close a circle inside one folder only.");
});

test("accepts diamonds, and cycles that type imports close", () => {
  expect(
    checkImportCycles([
      readSource("src/a.ts", 'import "./b.ts";\nimport "./c.ts";'),
      readSource("src/b.ts", 'import "./d.ts";\nimport type { A } from "./a.ts";'),
      readSource("src/c.ts", 'import "./d.ts";'),
      readSource("src/d.ts", 'export type { A } from "./a.ts";'),
    ]),
  ).toEqual([]);
});

const operators = new Set(["Conv", "MatMul", "MatMulNBits"]);
const walker = (text: string, file = "src/core/analysis/blocks.ts") =>
  checkOperatorNames([readSource(file, text)], operators, {
    layers: ["core/platform", "core/graph", "core/onnx core/ops", "core/analysis", "rewrite/clean-up", "learn/train"],
  });

test.each([
  'if (node.op === "Own") skip();',
  'if ("Own" !== node?.op) skip();',
  "switch (node.op) { default: }",
  "if (linear.has(node.op)) skip();",
  "if (linear.includes(node.op)) skip();",
  'if (node.op.startsWith("Reduce")) skip();',
  "if (/^Reduce/.test(node.op)) skip();",
  "const rule = rules[node.op];",
  "if (node.op in rules) skip();",
  'const linear = new Set(["Conv"]);',
  "const linear = `MatMul`;",
  'const linear = "com.microsoft.MatMulNBits";',
  "const rules = { Conv: 1 };",
  'const { op } = node; if (op === "Conv") skip();',
  'const first = list.many([], "Conv");',
])("reports a graph walker that reads an operator's name: %s", (text) => {
  expect(places(walker(text))).toEqual(["src/core/analysis/blocks.ts:1 operator-names"]);
  expect(places(walker(text, "src/learn/train/loop.ts"))).toEqual(["src/learn/train/loop.ts:1 operator-names"]);
});

test.each([
  "const entry = registry.find(node.domain, node.op);",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is source code
  "throw new Error(`${node.op} has no gradient`);",
  "counts.set(node.op, (counts.get(node.op) ?? 0) + 1);",
  "if (a.op === b.op) same();",
  "const product = emit.MatMul([a, b]);",
  'const product = emit["com.microsoft.MatMulNBits"]([a, b], {});',
  'const product = emit.named(name)["com.microsoft.MatMulNBits"]([a, b], {});',
  'const [a, b] = emit.named("parts").many("MatMul", [x], {}, 2);',
])("accepts a graph walker that queries the registry, prints, counts or emits: %s", (text) => {
  expect(walker(text)).toEqual([]);
});

test("checks every folder that uses graphs, except those that define and encode operators", () => {
  const text = 'if (node.op === "Own") skip();';
  expect(places(walker(text, "src/rewrite/clean-up/fuse.ts"))).toEqual([
    "src/rewrite/clean-up/fuse.ts:1 operator-names",
  ]);
  for (const folder of ["ops", "onnx", "platform"])
    expect(walker(text, `src/core/${folder}/conv.ts`), folder).toEqual([]);
});

test("accepts operator names in tests", () => {
  expect(walker('if (node.op === "Conv") skip();', "src/core/analysis/blocks.test.ts")).toEqual([]);
});

test("reads the operators from the generated schema, without their domains", () => {
  const schema = 'export const schema = {\n  Conv: "1 2-3 1-1",\n  "com.microsoft.MatMulNBits": "1 3-4 1-1",\n};';
  expect([...operatorsOf([readSource("src/core/graph/schema.generated.ts", schema)])]).toEqual(["Conv", "MatMulNBits"]);
  expect(operatorsOf([]).size).toBe(0);
});

test("reports a cast through unknown, and accepts a plain cast", () => {
  const findingsOf = (text: string) => places(checkDoubleCasts([readSource("src/core/ops/conv.ts", text)]));
  expect(findingsOf("const a = value as unknown as number;\nconst b = (value as unknown) as number;")).toEqual([
    "src/core/ops/conv.ts:1 double-casts",
    "src/core/ops/conv.ts:2 double-casts",
  ]);
  expect(findingsOf("const a = value as number; const b = value as unknown;")).toEqual([]);
});

const removals = (text: string, file = "test/some.test.ts") => places(checkRemovals([readSource(file, text)]));

test.each([
  'await rm(join(data, ".."), { recursive: true });',
  "rmSync(folder, { recursive: true, force: true });",
  'let folder = "";\nrmSync(folder, { recursive: true });',
  "fs.rmSync(folder, { recursive });",
  'const folder = await mkdtemp("x"); await rm(dirname(folder), { recursive: true });',
  'const folder = await mkdtemp("x"); await rm(folder + "/..", { recursive: true });',
  'await rmdir("out", { recursive: true });',
])("reports recursive removal of a folder that the file did not create: %s", (text) => {
  expect(removals(text)).toEqual([expect.stringMatching(/ removals$/)]);
});

test.each([
  "await rm(path, { force: true });",
  "await rm(path, { recursive: false });",
  "await mkdir(path, { recursive: true });",
  'const folder = mkdtempSync("x");\nrmSync(folder, { recursive: true });',
  'let folder: string;\nfolder = await fs.mkdtemp("x");\nafterAll(() => fs.rm(folder, { recursive: true }));',
])("accepts removal of single files, and of folders that the file created: %s", (text) => {
  expect(removals(text)).toEqual([]);
});

test("reports a comment that names a missing file, identifier or function", () => {
  const findings = checkNamesInComments([
    readSource("src/a.ts", "/** As `b.ts` and `gone.ts` say. */\n// and `ops/b.ts`, in another folder than `src/b.ts`"),
    readSource(
      "src/b.ts",
      "const openTask = 1;\t// calls `openTask`, `value_info` and `nn.Conv2d`\n/** Like `closeTask`, and `endTask(a, b)`; `openTask(model)` exists. */",
    ),
  ]);
  expect(places(findings)).toEqual([
    "src/a.ts:1 names-in-comments",
    "src/a.ts:2 names-in-comments",
    "src/b.ts:2 names-in-comments",
    "src/b.ts:2 names-in-comments",
  ]);
});

const language = (text: string) => places(checkLanguage([readSource("src/core/ops/conv.ts", text)]));

test.each([
  "/** What the layer needs. */\nexport const need = 1;",
  "// Of each channel.\nexport const scale = 1;",
  "const found = search();",
  "const [, left] = halves;",
  "function judgedBy(metric: string): void {}",
  "const keptIn = (folder: string) => folder;",
  'const text = "The file is no smaller.";',
])("the language check reports %j", (text) => {
  expect(language(text)).toEqual(["src/core/ops/conv.ts:1 language"]);
});

test.each([
  "/** Returns the scale of each channel. */\nexport const scaleOf = 1;",
  "const { found } = result;",
  "const needed = (x: number) => x;",
  "function speedAt(place: number): number { return place; }",
  "const text = 'What the layer needs';",
])("the language check accepts %j", (text) => {
  expect(language(text)).toEqual([]);
});

test("reports properties that are lost in a literal with a spread", () => {
  const text = `interface Options { readonly size?: number; readonly name?: string }
declare function run(options: Options): void;
declare const rest: { readonly name: string };
run({ ...rest, size: 1 });
run({ ...rest, sise: 1 });
run({ ...(rest.name === "" ? { sizes: 2 } : {}), name: "a" });
const free = { ...rest, sise: 1 };
const keyed: Record<string, unknown> = { ...rest, sise: 1 };`;
  const file = "src/some.ts";
  const host = ts.createCompilerHost({});
  const syntax = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const readLibrary = host.getSourceFile;
  host.getSourceFile = (name, ...more) => (name === file ? syntax : readLibrary(name, ...more));
  const program = ts.createProgram([file], {}, host);
  expect(places(findLostProperties(program))).toEqual([`${file}:5 lost-properties`, `${file}:6 lost-properties`]);
});
