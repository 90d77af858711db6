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
import { readLog, renderBenchmarks, renderMissed } from "./benchmarks.ts";
import { renderCommands } from "./command-page.ts";
import { firstDifference } from "./difference.ts";
import { readErrors } from "./errors.ts";
import { renderOperators } from "./operators.ts";
import { renderRealModels, withBestRows } from "./real-models.ts";
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
  expect(describeExports(ts.createProgram([index], options), [index]).get(index)?.text).toBe(`export interface Options {
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
    isDeterministic: true,
    examples: ["walk model.onnx --way a"],
    run: () => Promise.resolve({ json: undefined, print: () => {} }),
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

test("the page of benchmarks has the facts of a log, and links to its raw output; another page has the missed targets with reasons", () => {
  const text = log("A copy takes 1.5 ms.", "copy 1.5 ms\nat most 1 ms: MISSED", "| at most 1 ms | 1.5 ms | memory |");
  const logs = [readLog("bench/logs/copy.md", text)];
  const page = renderBenchmarks(logs);
  expect(page).toContain("| [Copies of arrays](#copies-of-arrays) | slice | A copy takes 1.5 ms. |");
  expect(page).toContain("A copy takes 1.5 ms.\n\n- Compared with: slice\n- Date: 2026-11-30\n");
  expect(page).toContain("- Output: [`bench/logs/copy.md`](../bench/logs/copy.md)");
  expect(renderMissed(logs)).toContain("| at most 1 ms | 1.5 ms | memory |");
  for (const other of ["in the log only", "MISSED\n", "| at most 1 ms |"]) expect(page).not.toContain(other);
});

test.each([
  ["a missed target without a row", log("Fast.", "at most 1 ms: MISSED"), "no row"],
  ["a result that the output does not contain", log("A copy takes 1.4 ms.", "copy 1.5 ms"), "1.4"],
  ["a measured value that the output does not contain", log("Fast.", "1.5", "| at most 1 ms | 1.6 ms | ? |"), "1.6"],
  ["a section without its date", log("Fast.", "1").replace("- Date", "- Day"), "Date"],
])("the page of benchmarks rejects %s", (_, text, message) => {
  expect(() => readLog("bench/logs/copy.md", text)).toThrow(message);
});

test("the page of known models has each file beside that of the recipe, and lists what Pith misses", () => {
  const interval = (value: number) => ({ value, low: value - 0.01, high: value + 0.01 });
  const common = { date: "2026-11-30", load: { start: 1, end: 2 }, failed: {} } as const;
  const float = {
    ...{ ...common, name: "float32", bytes: 4_000_000, brotli: 3_600_000 },
    outcome: { value: 0.87, count: 400, change: interval(0), same: interval(1) },
    node: { speed: 50, factor: 1, memory: 30_000_000 },
  };
  const int8 = {
    ...{
      ...float,
      name: "int8",
      tool: "Pith" as const,
      bytes: 1_000_000,
      brotli: 700_000,
      command: "pith quantize model.onnx",
    },
    outcome: { value: 0.862, count: 400, change: interval(-0.008), same: interval(0.96) },
    node: { speed: 40, factor: 0.8, low: 0.7, high: 0.9, memory: 20_000_000 },
    making: { processor: 100, memory: 1e9 },
  } as const;
  const recipe = {
    ...{
      ...int8,
      name: "quantize_static",
      tool: "onnxruntime" as const,
      brotli: 800_000,
      command: "real_recipe.py static",
    },
    outcome: { ...int8.outcome, change: interval(0) },
    making: { processor: 10, memory: 1e9 },
    node: { speed: 1234.5, factor: 1.6, low: 0.8, high: 1.7, memory: 20_000_000 },
    failed: { wasm: "no such operator" },
  } as const;
  const lost = {
    ...common,
    name: "float16",
    tool: "Pith",
    failed: { making: "E_VERDICT: it loses 3 points" },
  } as const;
  const page = renderRealModels({
    ...{ machine: "two cores", versions: { onnxruntime: "1.32.0" } },
    networks: { "efficientnet-lite0": [float, int8, recipe, lost] },
  });
  const rows = page.split("\n").filter((line) => line.startsWith("| "));
  expect(rows.slice(1)).toEqual([
    expect.stringMatching(/^\| -/),
    "| float32 |  | 4.00 MB | 3.60 MB | 87.0 |  |  |",
    "| int8 | Pith | 1.00 MB | 700 kB | 86.2 | −0.8 | 96.0 % |",
    "| quantize_static | onnxruntime | 1.00 MB | 800 kB | 86.2 | 0.0 | 96.0 % |",
    "| float16 | Pith | not written |  |  |  |  |",
    "| file | tool | images/s in Node | to float32 | in a page | memory | made in | memory to make |",
    expect.stringMatching(/^\| -/),
    "| float32 |  | 50.0 |  |  | 30.0 MB |  |  |",
    "| int8 | Pith | 40.0 | 0.80 × |  | 20.0 MB | 1:40 | 1.00 GB |",
    "| quantize_static | onnxruntime | 1,235 | 1.60 × | fails | 20.0 MB | 10.0 s | 1.00 GB |",
    "| file | tool | change | same class |",
    expect.stringMatching(/^\| -/),
    "| int8 | Pith | −1.8 … +0.2 | 95.0 … 97.0 |",
    "| quantize_static | onnxruntime | −1.0 … +1.0 | 95.0 … 97.0 |",
  ]);
  expect(page).toContain(
    "- int8: 10.00 × the time to make of quantize_static; 0.50 × the speed of quantize_static in Node (rounds vary by more); 0.80 × the speed of float32 in Node; accuracy 0.8 points worse than that of quantize_static.\n",
  );
  expect(page).toContain("- quantize_static (onnxruntime): no such operator\n");
  expect(page).toContain("- float16 (Pith): E_VERDICT: it loses 3 points\n");
  expect(page).toContain("## SmolLM2-135M\n\nLanguage model, 135 million weights.");
});

test("the table of README has the smallest download with a small loss for each of four known models, once each is measured", () => {
  const [start, end] = ["<!-- known models, by npm run generate -->\n", "<!-- /known models -->\n"];
  const readme = `# Pith\n${start}old\n${end}end`;
  const row = (name: string, brotli: number, loss: number) => {
    const change = { value: loss, low: loss, high: loss };
    const parts = { date: "2026-11-30", load: { start: 1, end: 2 }, failed: {}, bytes: 4e6, brotli };
    return {
      ...parts,
      name,
      tool: "Pith" as const,
      command: `pith quantize folder/ --dtype ${name}`,
      outcome: { value: 0, count: 9, change },
    };
  };
  const { tool: _, ...float } = row("float32", 3e6, 0);
  // A rise of the perplexity and of other words is a loss; a lower accuracy or rank correlation is one.
  const rows = (sign: number) => [float, row("a", 1e6, 0.5 * sign), row("b", 2e6, 0.005 * sign), row("c", 2.5e6, 0)];
  const networks = {
    "all-minilm-l6-v2": rows(-1),
    "efficientnet-lite0": rows(-1),
    "whisper-tiny.en": rows(1),
    "smollm2-135m": rows(1),
    // The table has four networks only.
    "silero-vad": rows(1),
  };
  const about = { machine: "two cores", versions: {} };
  const table = withBestRows(readme, { ...about, networks });
  expect(table.match(/\| `--dtype b` \| 4\.00 MB \| 2\.00 MB \|/g)).toHaveLength(4);
  expect(table).toMatch(/^# Pith\n.*\n\| model .*\n<!-- \/known models -->\nend$/s);
  expect(withBestRows(readme, { ...about, networks: { "all-minilm-l6-v2": rows(-1) } })).toBe(readme);
});
