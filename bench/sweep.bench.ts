/**
 * Runs every command on every .onnx file below the given folders, and counts results that are written, rejected, wrong, slow or crashed.
 *
 *     npm run bench -- sweep FOLDER… [--only part,…] [--commands simplify,weights] [--limit 120] [--json out/sweep.json] [--original old.json]
 *
 * Each command runs in a separate process and folder, and is killed after --limit seconds. ONNX Runtime loads the written file, as it is and
 * optimized, and runs it and its original on the same random inputs. The output sizes must agree, and `simplify`, `quantize` and
 * `factorize` have a minimum signal-to-noise ratio. Other faults: a stack trace, an error that is not a sentence, or files left behind.
 * --json keeps the rows; an existing file is continued, so that a sweep can be stopped. --original compares with the rows of another sweep.
 * The folder "conformance" contains the models of ONNX's backend tests. Requires `npm run build`. Exit code 1 if there is a fault.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { backendTests } from "../test/laws/archive.ts";
import { heading, line, table } from "./lib/print.ts";
import type { Checked } from "./sweep/check-job.ts";
import { commands } from "./sweep/commands.ts";
import { check, faults, type Outcome, program, type Row, type Samples, sweepOne } from "./sweep/run.ts";

const seed = 0;

const { values: options, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    commands: { type: "string" },
    limit: { type: "string", default: "120" },
    json: { type: "string" },
    original: { type: "string" },
  },
});
if (!existsSync(program)) throw new Error("There is no dist/app/cli/main.js: npm run build makes it.");
const limit = Number(options.limit);
const asked = options.commands?.split(",");
const strange = asked?.find((name) => !commands.some((command) => command.name === name));
if (strange !== undefined)
  throw new Error(`There is no command "${strange}", only ${commands.map(({ name }) => name).join(", ")}.`);
const selected = commands.filter(({ name }) => asked?.includes(name) ?? true);
const temporary = mkdtempSync(join(tmpdir(), "pith-sweep-"));
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

interface Given {
  readonly name: string;
  readonly path: string;
}

function modelsIn(folder: string): readonly Given[] {
  if (folder === "conformance") {
    const unpacked = join(temporary, "conformance");
    mkdirSync(unpacked);
    return (backendTests() ?? []).map(({ name, bytes }) => {
      const path = join(unpacked, `${name}.onnx`);
      writeFileSync(path, bytes);
      return { name: `conformance/${name}`, path };
    });
  }
  const root = resolve(folder);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".onnx"))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path, name: join(basename(root), relative(root, path)) }));
}

const models = folders
  .flatMap(modelsIn)
  .filter(({ name }) => options.only?.split(",").some((part) => name.includes(part)) ?? true)
  .sort((a, b) => (a.name < b.name ? -1 : 1));
if (models.length === 0) throw new Error("No folder was named, or no .onnx file is in it.");

const read = (path: string): readonly Row[] => JSON.parse(readFileSync(path, "utf8")).rows;
const rows: Row[] = options.json !== undefined && existsSync(options.json) ? [...read(options.json)] : [];
const key = ({ model, command }: Pick<Row, "model" | "command">): string => `${command} of ${model}`;
const done = new Set(rows.map(key));

heading(`${models.length} models through ${selected.map(({ name }) => name).join(", ")}`, seed);
try {
  for (const [index, { name, path }] of models.entries()) {
    const remaining = selected.filter((command) => !done.has(key({ model: name, command: command.name })));
    if (remaining.length === 0) continue;
    const source = remaining.some((command) => command.words({ model: path, out: "", data: undefined }) === undefined)
      ? await samplesOf(path)
      : {};
    for (const command of remaining)
      rows.push(await sweepOne(command, { name, model: path, seed, ...source }, limit, interrupted.signal));
    if (options.json !== undefined) save(options.json);
    const faultRows = rows.slice(-remaining.length).filter(({ outcome }) => faults.has(outcome));
    process.stderr.write(`${index + 1}/${models.length} ${name}: ${faultRows.map(said).join("; ") || "no fault"}\n`);
  }
} catch (error) {
  if (!interrupted.signal.aborted) throw error;
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

/** Writes random samples of a model in a separate process, because the runtime can crash on it; other failures are faults of this bench. */
async function samplesOf(original: string): Promise<Samples> {
  const data = join(temporary, "samples.npz");
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(limit * 1000)]);
  const checked: Checked = await check({ original, samples: data, seed }, signal).catch((error: unknown) => {
    interrupted.signal.throwIfAborted();
    if (!signal.aborted && !/native code|memory/.test(String(error))) throw error;
    return { notRun: String(error) };
  });
  const noData = checked.notRun ?? checked.noSamples;
  return noData === undefined ? { data } : { noData };
}

function save(path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ seed, limit, rows }, undefined, 1)}\n`);
}

function said({ command, outcome, said: text, decibels }: Row): string {
  return `${command} ${outcome}${decibels === undefined ? "" : ` (${decibels} dB)`}${text === undefined ? "" : `: ${text}`}`;
}

const all: readonly Outcome[] = ["done", "written", "not compared", "refused", "not asked", ...faults];
const outcomes = all.filter((outcome) => rows.some((row) => row.outcome === outcome));
line();
table(
  ["command", ...outcomes.map((outcome) => `>${outcome}`), ">longest"],
  selected.map(({ name }) => {
    const commandRows = rows.filter(({ command }) => command === name);
    const longest = commandRows.reduce<Row | undefined>(
      (most, row) => (row.seconds > (most?.seconds ?? 0) ? row : most),
      undefined,
    );
    return [
      name,
      ...outcomes.map((outcome) => String(commandRows.filter((row) => row.outcome === outcome).length)),
      longest === undefined ? "" : `${longest.seconds.toFixed(1)} s (${longest.model})`,
    ];
  }),
);

line("\nRefused, and how often:");
const reasons = new Map<string, Set<string>>();
for (const { command, outcome, said: text, model } of rows) {
  if (outcome !== "refused" && outcome !== "not compared") continue;
  // Node names and numbers differ from model to model, so they are replaced to group equal reasons.
  const reason = `${command}: ${(text ?? "").replaceAll(/"[^"]*"/g, '"…"').replaceAll(/\d+(\.\d+)?/g, "n")}`;
  reasons.set(reason, (reasons.get(reason) ?? new Set()).add(model));
}
for (const [reason, names] of [...reasons].sort(([a], [b]) => (a < b ? -1 : 1))) {
  const some = [...names].slice(0, 2).join(", ");
  line(`  ${reason} (${names.size > 2 ? `${some} and ${names.size - 2} more` : some})`);
}

const wrong = rows.filter(({ outcome }) => faults.has(outcome));
line(`\nFaults: ${wrong.length} of ${rows.length}`);
for (const row of wrong) line(`  ${row.model}: ${said(row)}`);

if (options.original !== undefined) {
  line(`\nBeside ${options.original}:`);
  const before = new Map(read(options.original).map((row) => [key(row), row]));
  for (const row of rows) {
    const old = before.get(key(row));
    if (old !== undefined && (old.outcome !== row.outcome || old.said !== row.said))
      line(`  ${row.model}: ${said(old)} → ${said(row)}`);
  }
}
process.exitCode = wrong.length === 0 ? 0 : 1;
