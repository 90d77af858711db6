/** Large files: runs each step in a separate process, and reports peak memory from the system and time relative to copying the file. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { spread } from "../../src/runtime/run/latency.ts";
import { line, table } from "../lib/print.ts";

interface Measured {
  readonly seconds: number;
  /** Bytes. */
  readonly peak: number;
}

interface Case {
  readonly title: string;
  readonly mebibytes: number;
  readonly outside: boolean;
  readonly rounds: number;
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const program = here("../../dist/app/cli/main.js");

/** @returns whether every target was met. */
export async function measureLarge(sizes: { whole: number; outside: number }, rounds: number): Promise<boolean> {
  let met = true;
  for (const part of [
    { title: "one file", mebibytes: sizes.whole, outside: false, rounds },
    { title: "weights in a file beside it", mebibytes: sizes.outside, outside: true, rounds },
  ]) {
    if (part.mebibytes > 0) met = (await measureOne(part)) && met;
  }
  return met;
}

async function measureOne(part: Case): Promise<boolean> {
  const free = statfsSync(tmpdir());
  // The disk holds the model and one result at a time.
  const needed = 2.2 * part.mebibytes * 2 ** 20;
  if (free.bavail * free.bsize < needed) {
    line(`\nA model of ${part.mebibytes} MiB, ${part.title}: not measured, ${tmpdir()} has too little room.`);
    return false;
  }
  const folder = await mkdtemp(join(tmpdir(), "pith-files-"));
  try {
    return measureIn(folder, part);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function measureIn(folder: string, { title, mebibytes, outside, rounds }: Case): boolean {
  const [from, to] = [join(folder, "large.onnx"), join(folder, "out.onnx")];
  const clear = (): void => {
    for (const ending of ["", "_data"]) rmSync(`${to}${ending}`, { force: true });
  };
  const written = run(outside ? "writeOutside" : "write", String(mebibytes), from);
  if (typeof written === "string") throw new Error(written);
  const bytes = ["", "_data"].map((ending) => (existsSync(`${from}${ending}`) ? statSync(`${from}${ending}`).size : 0));
  const size = bytes.reduce((sum, part) => sum + part, 0);
  line(
    `\nA model of ${(size / 2 ** 20).toFixed(0)} MiB, ${title}; ${rounds} rounds in turns, brought to the disk by all`,
  );
  const names: readonly (readonly [title: string, step: string])[] = [
    ["copy of the file", outside ? "copyOutside" : "copy"],
    ["Pith: open, change, save", outside ? "editOutside" : "edit"],
    ...(outside
      ? []
      : ([
          ["protobufjs: decode, change, encode", "protobufjs"],
          ["@bufbuild/protobuf: the same", "bufbuild"],
        ] as const)),
  ];
  const results = new Map<string, Measured[]>(names.map(([name]) => [name, []]));
  const failures = new Map<string, string>();
  for (let round = 0; round <= rounds; round++) {
    // Each step affects the disk and the cache for the next one, so the order alternates between rounds.
    for (const [name, stepName] of round % 2 === 0 ? names : names.toReversed()) {
      if (failures.has(name)) continue;
      clear();
      const result = run(stepName, from, to);
      if (typeof result === "string") failures.set(name, result);
      // The first round warms the system's cache.
      else if (round > 0) results.get(name)?.push(result);
    }
  }
  clear();
  const [copies = []] = results.values();
  const rows = names.map(([name]) => {
    const measurements = results.get(name) ?? [];
    if (measurements.length < rounds) return [name, "failed", "", "", ""];
    const seconds = spread(Float64Array.from(measurements, (one) => one.seconds));
    const ratio = ratioTo(measurements, copies);
    return [
      name,
      seconds.median.toFixed(2),
      ratio.median.toFixed(2),
      `${ratio.low.toFixed(2)} … ${ratio.high.toFixed(2)}`,
      mb(peakOf(measurements)),
    ];
  });
  table(["", ">s", ">times the copy", ">10–90 %", ">peak, MB"], rows);
  for (const [name, why] of failures) line(`  ${name}: ${why}`);
  const empty = run("nothing", from, to);
  if (typeof empty !== "string")
    line(`  A process that does nothing but load the same code peaks at ${mb(empty.peak)} MB.`);
  if (outside) line("  The others read no external data; as one file, ONNX ends at 2 GiB for them all.");
  const saveRuns = results.get("Pith: open, change, save") ?? [];
  // A step that failed in some rounds has fewer measurements than the heading states.
  if (saveRuns.length < rounds || copies.length < rounds) return false;
  const ratio = ratioTo(saveRuns, copies).median;
  const met = [
    target(`save takes ${ratio.toFixed(2)} times the copy, at most 1.5`, ratio <= 1.5),
    target(`save peaks at ${mb(peakOf(saveRuns))} MB, at most 200`, peakOf(saveRuns) <= 200e6),
    inspect(from, folder, rounds),
  ];
  return met.every((one) => one);
}

function inspect(path: string, folder: string, rounds: number): boolean {
  if (!existsSync(program)) {
    line("  pith inspect was not measured: npm run build makes it.");
    return false;
  }
  const report = join(folder, "peak.json");
  const measured: Measured[] = [];
  for (let round = 0; round <= rounds; round++) {
    const words = ["--import", here("peak.mjs"), program, "inspect", path, "--json"];
    const { status, stderr } = spawnSync(process.execPath, words, {
      env: { ...process.env, PITH_PEAK: report },
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    if (status !== 0) {
      line(`  pith inspect failed: ${stderr.trim()}`);
      return false;
    }
    if (round > 0) measured.push(JSON.parse(readFileSync(report, "utf8")) as Measured);
  }
  const { median, low, high } = spread(Float64Array.from(measured, (one) => one.seconds));
  const fast = target(
    `pith inspect takes ${median.toFixed(2)} s (${low.toFixed(2)} … ${high.toFixed(2)}), start of Node included; at most 1`,
    median <= 1,
  );
  return target(`pith inspect peaks at ${mb(peakOf(measured))} MB, at most 150`, peakOf(measured) <= 150e6) && fast;
}

/** Runs one step in a separate process. @returns the error text if the step fails. */
function run(step: string, from: string, to: string): Measured | string {
  const words = ["--conditions=pith-source", "--import", "tsx", here("step.ts"), step, from, to];
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, words, { encoding: "utf8" });
  if (status === 0) return JSON.parse(stdout) as Measured;
  const error = stderr.split("\n").find((text) => /Error|FATAL/.test(text));
  return `failed: ${(error ?? signal ?? "").trim().slice(0, 90)}`;
}

function ratioTo(own: readonly Measured[], reference: readonly Measured[]) {
  return spread(Float64Array.from(own, (one, round) => one.seconds / (reference[round]?.seconds ?? Number.NaN)));
}

function peakOf(list: readonly Measured[]): number {
  return Math.max(...list.map(({ peak }) => peak));
}

function target(text: string, met: boolean): boolean {
  line(`  ${text}: ${met ? "met" : "MISSED"}`);
  return met;
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}
