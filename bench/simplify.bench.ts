/**
 * Compares `pith simplify` with the simplifiers PyPI onnxslim, PyPI onnxsim and npm onnxsim on every model in the shared folder: 40 minutes on two busy cores.
 *
 *     npm run bench -- simplify [--models resnet20,hf_gpt2] [--python path] [--folder path] [--limit 120]
 *
 * The bench installs pinned versions of the rivals, into bench/peers/venv and a folder node_modules; `--python` uses another Python as it is.
 * Each tool runs once per model with its default settings, in a process of its own that is stopped after `--limit` seconds.
 *
 * - Nodes are those of the main graph and all subgraphs. Constant nodes are stored tensors and do not count, for any tool.
 * - Bytes are those of the file and its external data.
 * - Time is processor time of all processes of the tool, from its start. Pith's includes its comparison with the original; the rivals compare nothing.
 * - Memory is the peak of the total resident memory, read every 50 ms.
 * - Results are compared with the original in ONNX Runtime on random inputs. A result that differs, or does not load, is "not exact".
 * - A result whose tensors need more than 1 % more bytes than the original's "stores more": it duplicates a weight or stores a computed tensor.
 *
 * A row is MISSED if an exact result of a rival has fewer nodes, and does not store more, or if its file is more than 1 % smaller than Pith's.
 */
import { existsSync, readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createEngine } from "pith/engine";
import { open } from "../src/core/onnx/index.ts";
import { shared } from "../test/shared.ts";
import { heading, line, table } from "./lib/print.ts";
import { type ModelSize, measureSize, measureTool, type Result } from "./simplify/measure.ts";
import { findPith, installRivals, type Tool } from "./simplify/tools.ts";

const { values: options } = parseArgs({
  options: {
    models: { type: "string" },
    python: { type: "string" },
    folder: { type: "string" },
    limit: { type: "string", default: "120" },
  },
});

interface Row {
  readonly name: string;
  readonly before: ModelSize;
  /** Results of the tools, Pith's first. */
  readonly results: readonly Result[];
}

function findModels(): readonly (readonly [name: string, path: string])[] {
  const data = options.folder === undefined ? shared("data") : undefined;
  const roots = options.folder === undefined ? (data === undefined ? [] : ["models", "zoo"]) : [""];
  const base = options.folder ?? data ?? "";
  const selected = options.models?.split(",");
  return roots
    .map((root) => join(base, root))
    .filter((root) => existsSync(root))
    .flatMap((root) => readdirSync(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith(".onnx"))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path.slice(base.length + 1).replace(/\.onnx$/, ""), path] as const)
    .filter(([name]) => selected?.some((part) => name.includes(part)) ?? true)
    .sort();
}

const storesMore = (row: Row, { size }: Result): boolean =>
  size !== undefined && size.stored > 1.01 * row.before.stored;

/** Returns in which respects a rival's result is ahead of Pith's: nodes, bytes or both. */
function findLeads(row: Row, result: Result): readonly ("nodes" | "bytes")[] {
  const [pithResult] = row.results;
  const [size, ours] = [result.size, pithResult?.size];
  if (size === undefined || result.fault !== undefined || result === pithResult) return [];
  if (ours === undefined || pithResult?.fault !== undefined) return ["nodes", "bytes"];
  return [
    ...(size.nodes < ours.nodes && !storesMore(row, result) ? (["nodes"] as const) : []),
    ...(size.bytes < 0.99 * ours.bytes ? (["bytes"] as const) : []),
  ];
}

function formatRemarks(row: Row, tools: readonly Tool[]): string {
  return row.results
    .flatMap((result, index) => {
      const leads = findLeads(row, result);
      const remarks = [
        ...(leads.length > 0 ? [`MISSED, fewer ${leads.join(" and ")}`] : []),
        ...(result.fault === undefined ? [] : [result.fault]),
        ...(storesMore(row, result) ? ["stores more"] : []),
      ];
      return remarks.length === 0 ? [] : [`${tools[index]?.name}: ${remarks.join(", ")}`];
    })
    .join("; ");
}

function printTables(rows: readonly Row[], tools: readonly Tool[]): void {
  const names = tools.map(({ name }) => `>${name}`);
  const formatSizes = (row: Row, key: "nodes" | "bytes"): string[] =>
    [row.before, ...row.results.map(({ size }) => size)].map((size) => `${size?.[key] ?? "–"}`);
  line("\nNodes and bytes of the results");
  table(
    ["", ">nodes", ...names, ">bytes", ...names, "remarks"],
    rows.map((row) => [
      row.name,
      ...formatSizes(row, "nodes"),
      ...formatSizes(row, "bytes"),
      formatRemarks(row, tools),
    ]),
  );
  line("\nSeconds of processor time and MB of memory");
  table(
    ["", ...names.map((name) => `${name}, s`), ...names.map((name) => `${name}, MB`)],
    rows.map(({ name, results }) => [
      name,
      ...results.map(({ processor }) => processor?.toFixed(1) ?? "–"),
      ...results.map(({ peak }) => (peak === undefined ? "–" : (peak / 1e6).toFixed(0))),
    ]),
  );
}

/** @returns whether no rival is ahead and every result of Pith is exact. */
function printSummary(rows: readonly Row[], tools: readonly Tool[]): boolean {
  const finished = rows.filter(({ results }) => results.every(({ size }) => size !== undefined));
  line(`\n${rows.length} models; totals of the ${finished.length} that every tool finished`);
  const sum = (values: readonly (number | undefined)[]): number =>
    values.reduce<number>((all, value = 0) => all + value, 0);
  table(
    ["", ">nodes", ">bytes", ">s", ">peak, MB", ">not exact", ">stores more", ">failed or timed out"],
    [
      [
        "original",
        `${sum(finished.map(({ before }) => before.nodes))}`,
        `${sum(finished.map(({ before }) => before.bytes))}`,
        ...["", "", "", "", ""],
      ],
      ...tools.map(({ name }, index) => {
        const resultsIn = (list: readonly Row[]): readonly Result[] =>
          list.flatMap(({ results }) => results[index] ?? []);
        const results = resultsIn(finished);
        const all = resultsIn(rows);
        return [
          name,
          `${sum(results.map(({ size }) => size?.nodes))}`,
          `${sum(results.map(({ size }) => size?.bytes))}`,
          sum(results.map(({ processor }) => processor)).toFixed(1),
          (Math.max(0, ...results.map(({ peak = 0 }) => peak)) / 1e6).toFixed(0),
          `${all.filter(({ size, fault }) => size !== undefined && fault !== undefined).length}`,
          `${rows.filter((row) => row.results[index] !== undefined && storesMore(row, row.results[index])).length}`,
          `${all.filter(({ size }) => size === undefined).length}`,
        ];
      }),
    ],
  );
  let met = true;
  for (const respect of ["nodes", "bytes"] as const) {
    const missed = rows.filter((row) => row.results.some((result) => findLeads(row, result).includes(respect)));
    const names = missed.map(({ name }) => name).join(", ");
    line(`a rival has fewer ${respect}: ${missed.length === 0 ? "none, met" : `MISSED in ${missed.length}: ${names}`}`);
    met = met && missed.length === 0;
  }
  const inexact = rows.filter(({ results }) => results[0]?.fault !== undefined).map(({ name }) => name);
  line(`Pith's results are exact: ${inexact.length === 0 ? "met" : `MISSED in ${inexact.join(", ")}`}`);
  return met && inexact.length === 0;
}

const models = findModels();
const pith = findPith();
if (models.length === 0 || pith === undefined) {
  line(
    pith === undefined
      ? "There is no dist/app/cli/main.js: npm run build makes it."
      : "There are no models: name a folder with --folder.",
  );
  process.exit(2);
}
heading("Simplifiers", 1);
const tools = [pith, ...installRivals(options.python, line)];
line(tools.map(({ name, version }) => `${name} ${version}`).join(", "));

const engine = createEngine();
const folder = await mkdtemp(join(tmpdir(), "pith-simplify-"));
const rows: Row[] = [];
try {
  for (const [name, path] of models) {
    const results: Result[] = [];
    for (const [index, tool] of tools.entries()) {
      const out = join(folder, `${rows.length}-${index}.onnx`);
      results.push(await measureTool(engine, tool, path, out, Number(options.limit)));
    }
    rows.push({ name, before: await measureSize(await open(path), path), results });
    process.stderr.write(`${rows.length} of ${models.length}: ${name}\n`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
printTables(rows, tools);
process.exitCode = printSummary(rows, tools) ? 0 : 1;
