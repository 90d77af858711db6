import { writeFileSync } from "node:fs";
import path from "node:path";
import ts from "typescript";
import * as v from "valibot";
import { expect, test } from "vitest";
import { defineCommand } from "../../src/app/cli/command.ts";
import { Miss } from "../../src/core/errors.ts";
import type { FacetName, Op } from "../../src/core/ops/define.ts";
import { option } from "../../src/core/pass/options.ts";
import { temporaryFolder } from "../../test/temporary.ts";
import { readLog, renderBenchmarks } from "./benchmarks.ts";
import { renderCommands } from "./command-page.ts";
import { firstDifference } from "./difference.ts";
import { readErrors } from "./errors.ts";
import { renderOperators } from "./operators.ts";
import { withCommands } from "./skill.ts";
import { describeExports } from "./surface.ts";

test("reports the first line that differs, or that is missing", () => {
  expect(firstDifference("a\nb\nc", "a\nx\nc")).toBe('line 2 says "b", the source "x"');
  expect(firstDifference("a", "a\nb")).toBe('line 2 says nothing, the source "b"');
});

test("reads error codes with the comment on their line", () => {
  const text =
    'export const errorCodes = [\n  "E_FILE", // a file cannot be read\n  "E_STOPPED", // stopped on request\n] as const;';
  expect(readErrors(text)).toEqual([
    { code: "E_FILE", meaning: "a file cannot be read" },
    { code: "E_STOPPED", meaning: "stopped on request" },
  ]);
});

test("replaces the list of commands between its marks", () => {
  const [start, end] = ["<!-- commands, by npm run generate -->\n", "<!-- /commands -->\n"];
  const commands = [{ name: "prune", summary: "remove channels" }];
  expect(withCommands(`# Skill\n${start}- old\n${end}end`, commands)).toBe(
    `# Skill\n${start}- \`prune\`: remove channels\n${end}end`,
  );
  expect(() => withCommands("# Skill\n", commands)).toThrow("expected");
});

test("rejects an error code without a meaning", () => {
  expect(() => readErrors('export const errorCodes = [\n  "E_FILE",\n] as const;')).toThrow("comment");
});

const facets = (given: Partial<Record<FacetName, true | Miss>>): Op["facets"] => {
  const no = new Miss("integers only");
  return { weight: no, axes: no, lower: no, gradient: no, cost: no, quantize: no, ...given };
};
const operator = (name: string, given: Partial<Record<FacetName, true | Miss>>, domain = ""): Op => ({
  name,
  domain,
  facets: facets(given),
  settings: () => undefined,
  at: () => new Miss("for this page only"),
});

test("the operator overview marks supported properties, and gives the reason for the others", () => {
  const page = renderOperators([
    operator("Shape", { axes: true }),
    operator("Gelu", { gradient: new Miss("no rule") }, "com.microsoft"),
    operator("Add", { axes: true, gradient: true }),
  ]);
  expect(page).toContain("3 operators");
  expect(page).toContain(
    "| Add | – | ✓ | ✓ | – | – | – |\n| Shape | – | ✓ | – | – | – | – |\n| com.microsoft.Gelu | – | – | – | – | – | – |",
  );
  expect(page).toContain("- **gradient**, no rule: com.microsoft.Gelu");
  expect(page).toContain("- **gradient**, integers only: Shape\n");
  expect(page).toContain("| axes | channels can be followed through it | 2 |");
});

test("the surface of an entry point lists its exports by name, without comments and bodies", () => {
  const folder = temporaryFolder();
  const write = (name: string, text: string) => writeFileSync(path.join(folder, name), text);
  write("index.ts", 'export { half as rounded, type Options, Store } from "./inner.ts";\n');
  write(
    "inner.ts",
    `/** Told elsewhere. */
export function half(x: number): number { return x / 2; }
export function notExported(): void {}
export interface Options { /** A comment. */ readonly digits?: number }
export class Store { #hidden = 1; get(key: string) { return key.length + this.#hidden; } }
`,
  );
  const index = path.join(folder, "index.ts");
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    declaration: true,
    emitDeclarationOnly: true,
    removeComments: true,
    rewriteRelativeImportExtensions: true,
    types: [],
  };
  expect(describeExports(ts.createProgram([index], options), [index]).get(index)).toBe(`export interface Options {
    readonly digits?: number;
}

export declare class Store {
    #private;
    get(key: string): number;
}

export { half as rounded };
export declare function half(x: number): number;
`);
});

test("the command page lists the arguments, grouped options, values and examples of each command", () => {
  const meanings = { title: "Ways (--way)", rows: [["a|b", "either of <them>"]] } as const;
  const walk = defineCommand({
    name: "walk",
    summary: "walk, as docs/data.md describes",
    arguments: [{ name: "model.onnx", description: "the model" }],
    options: v.object({
      way: option(v.picklist(["a", "b"]), "how to walk", { meanings }),
      far: option(v.number(), "distance", { group: "Evaluation:", short: "-f" }),
    }),
    deterministic: true,
    examples: ["walk model.onnx --way a"],
    run: () => Promise.resolve({ data: undefined, print: () => {} }),
  });
  const page = renderCommands([walk]);
  expect(page).toContain("| [walk](#walk) | walk, as [data.md](data.md) describes |");
  expect(page.slice(page.indexOf("## walk"))).toBe(`## walk

Walk, as [data.md](data.md) describes.

Usage: \`pith walk [options] <model.onnx>\`

| argument | meaning |
| --- | --- |
| \`model.onnx\` | the model |

**Options**

| option | meaning |
| --- | --- |
| \`--way <choice>\` | how to walk (see below) |

**Evaluation**

| option | meaning |
| --- | --- |
| \`-f, --far <n>\` | distance |

**Ways (--way)**

| value | meaning |
| --- | --- |
| \`a\\|b\` | either of \\<them> |

Examples:

\`\`\`sh
npx --no-install pith walk model.onnx --way a
\`\`\`
`);
});

const log = (result: string, output: string, missed = ""): string => `# Copies

<!-- page -->
## Copies of arrays

- Compared with: slice
- Result: ${result}
- Date: 2026-11-30
- Machine: two cores
- Versions: Node 20
- Command: \`npm run bench -- copy\`
<!-- /page -->

This is in the log only.

<!-- page -->
\`\`\`
${output}
\`\`\`
<!-- /page -->
${missed === "" ? "" : `\n## Missed targets\n\n| target | measured | why |\n| --- | --- | --- |\n${missed}\n`}`;

test("the page of benchmarks has the marked parts of a log, their facts, and the missed targets with reasons", () => {
  const text = log("A copy takes 1.5 ms.", "copy 1.5 ms\nat most 1 ms: MISSED", "| at most 1 ms | 1.5 ms | memory |");
  const page = renderBenchmarks([readLog("bench/logs/copy.md", text)]);
  expect(page).toContain("| [Copies of arrays](#copies-of-arrays) | slice | A copy takes 1.5 ms. |");
  expect(page).toContain("```\ncopy 1.5 ms\nat most 1 ms: MISSED\n```\n\n- Compared with: slice\n- Date: 2026-11-30\n");
  expect(page).toContain("- Log: `bench/logs/copy.md`");
  expect(page.split("## What is missed")[1]).toContain("| at most 1 ms | 1.5 ms | memory |");
  expect(page).not.toContain("in the log only");
});

test.each([
  ["a missed target without a row", log("Fast.", "at most 1 ms: MISSED"), "no row"],
  ["a result that the output does not contain", log("A copy takes 1.4 ms.", "copy 1.5 ms"), "1.4"],
  ["a measured value that the output does not contain", log("Fast.", "1.5", "| at most 1 ms | 1.6 ms | ? |"), "1.6"],
  ["a section without its date", log("Fast.", "1").replace("- Date", "- Day"), "Date"],
])("the page of benchmarks rejects %s", (_, text, message) => {
  expect(() => readLog("bench/logs/copy.md", text)).toThrow(message);
});
