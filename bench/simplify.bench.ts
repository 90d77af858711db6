/**
 * Compares the nodes and bytes after `simplify` with onnxsim, if a Python has it, for every model in the shared folder.
 *
 *     npm run bench -- simplify [--models resnet20,hf_gpt2] [--python path] [--folder path]
 *
 * Node counts include all subgraphs and Constant nodes. "apart" is the largest difference between original and result in ONNX Runtime on random
 * inputs, relative to the largest output value. A row is marked if onnxsim leaves fewer nodes. onnxsim runs with its default settings, and without
 * its optimizer if that fails, which is printed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Model } from "pith";
import { open, save, simplify } from "pith";
import { createEngine } from "pith/engine";
import { allGraphs, verify } from "pith/extend";
import { filesOfModel } from "../src/app/cli/files/files.ts";
import { compareOutputs, type Sameness } from "../src/judge/compare/equivalence.ts";

const { values: options } = parseArgs({
  options: { models: { type: "string" }, python: { type: "string" }, folder: { type: "string" } },
});
const here = fileURLToPath(new URL(".", import.meta.url));
const shared = options.folder ?? join(process.env.PITH_SHARED ?? join(here, "../../shared"), "data");
if (!existsSync(shared)) {
  process.stdout.write(`There is no folder of models at ${shared}: name one with --folder.\n`);
  process.exit(2);
}

function modelsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".onnx"))
    .map((entry) => join(entry.parentPath, entry.name));
}

const asked = options.models?.split(",");
const roots = options.folder === undefined ? [join(shared, "models"), join(shared, "zoo")] : [shared];
const paths = roots
  .filter((root) => existsSync(root))
  .flatMap(modelsIn)
  .filter((path) => asked === undefined || asked.some((name) => path.includes(name)))
  .sort();

interface Peer {
  readonly path: string;
  readonly after?: number;
  readonly bytes?: number;
  readonly written?: string;
  readonly error?: string;
}

const temporary = mkdtempSync(join(tmpdir(), "pith-simplify-"));

/** Returns onnxsim's results by path, from the first Python that has it. */
function peers(): { readonly version: string; readonly rows: ReadonlyMap<string, Peer> } | undefined {
  const script = join(here, "peers/simplify_onnxsim.py");
  const pythons = [options.python, process.env.PITH_PYTHON, join(here, "peers/venv/bin/python"), "python3"];
  for (const python of pythons) {
    if (python === undefined) continue;
    const { stdout } = spawnSync(python, [script, temporary, ...paths], { encoding: "utf8", maxBuffer: 1 << 26 });
    const rows = (stdout ?? "").split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]));
    const [first, ...peerRows] = rows as [{ version: string }?, ...Peer[]];
    if (first?.version !== undefined)
      return { version: first.version, rows: new Map(peerRows.map((row) => [row.path, row])) };
  }
  return undefined;
}

const nodesIn = (model: Model): number => [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
const bytesIn = (model: Model, path: string): number =>
  filesOfModel(model, path).reduce((sum, file) => sum + statSync(file).size, 0);

const engine = createEngine();
const peerResults = peers();
process.stdout.write(
  peerResults === undefined
    ? "onnxsim: not found (pip install onnxsim; --python says where)\n\n"
    : `onnxsim ${peerResults.version}\n\n`,
);
const comparing = {
  sizes: new Map<string, number>(),
  set: {},
  seed: 1,
  signal: new AbortController().signal,
  progress: () => {},
};
const formatDifference = (sameness: Sameness | string): string => {
  if (typeof sameness === "string") return `not compared: ${sameness.slice(0, 60)}`;
  return sameness.difference === 0 ? "0" : sameness.difference.toExponential(1);
};

const header = ["model", "before", "pith", "onnxsim", "bytes before", "pith", "onnxsim", "s", "apart: pith", "onnxsim"];
const lines: string[][] = [];
const totals = {
  models: 0,
  before: 0,
  ours: 0,
  both: 0,
  oursOfBoth: 0,
  theirs: 0,
  more: 0,
  fewer: 0,
  faulty: 0,
  apart: 0,
  failed: 0,
};
const refusals: string[] = [];
for (const path of paths) {
  const name = path.slice(shared.length + 1).replace(/\.onnx$/, "");
  const theirs = peerResults?.rows.get(path);
  try {
    const model = await open(path);
    const original = model.clone();
    const before = nodesIn(original);
    const start = performance.now();
    await simplify(model, {}, { engine });
    const seconds = (performance.now() - start) / 1000;
    const target = join(temporary, `${name.replaceAll("/", "_")}.pith.onnx`);
    await save(model, target);
    const ours = nodesIn(model);
    const result = await open(target);
    const mine = await compareOutputs(engine, original, result, comparing);
    const other = theirs?.written === undefined ? undefined : await theirOutputs(original, theirs.written);
    totals.models++;
    totals.before += before;
    totals.ours += ours;
    if (theirs?.after !== undefined) {
      totals.both++;
      totals.oursOfBoth += ours;
      totals.theirs += theirs.after;
    }
    if (theirs?.error !== undefined) refusals.push(`${name}: ${theirs.error.split("\n")[0]?.slice(0, 160)}`);
    if (verify(result).length > 0) totals.faulty++;
    if (typeof mine !== "string" && !(mine.difference <= mine.tolerance)) totals.apart++;
    const more = theirs?.after !== undefined && ours > theirs.after;
    if (more) totals.more++;
    if (theirs?.after !== undefined && ours < theirs.after) totals.fewer++;
    lines.push([
      name,
      String(before),
      `${ours}${more ? " (more)" : ""}`,
      theirs === undefined ? "" : String(theirs.after ?? "failed"),
      String(bytesIn(original, path)),
      String(bytesIn(result, target)),
      String(theirs?.bytes ?? ""),
      seconds.toFixed(2),
      formatDifference(mine),
      other ?? "",
    ]);
  } catch (error) {
    totals.failed++;
    lines.push([name, "", `failed: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

async function theirOutputs(original: Model, path: string): Promise<string> {
  try {
    return formatDifference(await compareOutputs(engine, original, await open(path), comparing));
  } catch (error) {
    return `fails: ${(error instanceof Error ? error.message : String(error)).slice(0, 60)}`;
  }
}

const widths = header.map((title, column) =>
  Math.max(title.length, ...lines.map((line) => (line.length > 3 ? (line[column] ?? "").length : 0))),
);
const row = (cells: readonly string[]): string =>
  cells
    .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
    .join("  ");
process.stdout.write(`${[header, ...lines].map(row).join("\n")}\n\n`);
const { models, before, ours, both, oursOfBoth, theirs, more, fewer, faulty, failed } = totals;
if (refusals.length > 0)
  process.stdout.write(`onnxsim fails with its own settings on\n${refusals.map((one) => `  ${one}\n`).join("")}\n`);
process.stdout.write(`${models} models, ${before} nodes: pith leaves ${ours}\n`);
if (peerResults !== undefined)
  process.stdout.write(
    `${both} models that onnxsim does too: pith leaves ${oursOfBoth}, onnxsim ${theirs}; fewer in ${fewer}, more in ${more}\n`,
  );
process.stdout.write(`${faulty} illegal, ${totals.apart} computing something else, ${failed} failed\n`);
rmSync(temporary, { recursive: true, force: true });
process.exitCode = more + faulty + failed + totals.apart === 0 ? 0 : 1;
