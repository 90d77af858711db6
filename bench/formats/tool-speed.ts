/**
 * Processor time, wall-clock time and memory of quantizing a model of 1 GiB, alternating with onnxruntime's quantizer. Each run is a separate process,
 * whose start is not counted. The model has 64 matrix products with weights of 16 MiB each, as external data.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { line, table } from "../lib/print.ts";
import { measureProcesses } from "../lib/process-usage.ts";
import { peer, pythonWith } from "../lib/python.ts";
import type { FormatsSettings, FormatsTable } from "./table.ts";

const mebibytes = 1024;
const turns = 3;

interface Taken {
  /** Seconds of processor time (user and system), and of wall-clock time. */
  readonly processor: number;
  readonly seconds: number;
  readonly peak: number;
}

export const toolSpeed: FormatsTable = {
  title: `Quantizing and saving ${mebibytes} MiB`,
  async run(settings) {
    const source = join(settings.folder, "large.onnx");
    step(["writeLarge", `${mebibytes}`, source]);
    for (const [scheme, words] of commands) {
      const other = measure(scheme, source, settings);
      await measureCommand(scheme, [source, ...words], other, settings);
    }
  },
};

const commands = [
  ["dynamic", ["--scheme", "dynamic"]],
  ["q4", ["--dtype", "q4"]],
] as const;

/** Measures the whole command, including its comparison, relative to quantizing and saving with onnxruntime. */
async function measureCommand(
  _scheme: string,
  words: readonly string[],
  other: readonly Taken[],
  { folder }: FormatsSettings,
): Promise<void> {
  const program = fileURLToPath(new URL("../../dist/app/cli/main.js", import.meta.url));
  if (!existsSync(program)) throw new Error("There is no dist/app/cli/main.js: npm run build makes it.");
  const commandLine = ["quantize", ...words, "-o", join(folder, "command.onnx")];
  const { code, error, processor, seconds, own } = await measureProcesses(process.execPath, [program, ...commandLine]);
  if (code !== 0) throw new Error(error);
  const over = (key: "processor" | "seconds", value: number): string =>
    other.length === 0 ? "" : ` (${(value / Math.min(...other.map((one) => one[key]))).toFixed(2)} of onnxruntime's)`;
  line(
    `the command, with its comparison: ${processor.toFixed(1)} s of the processor${over("processor", processor)}, ` +
      `${seconds.toFixed(1)} s${over("seconds", seconds)}, ${(own / 1e6).toFixed(0)} MB of all its processes`,
  );
}

function measure(scheme: string, given: string, settings: FormatsSettings): readonly Taken[] {
  const measurements = { Pith: [] as Taken[], onnxruntime: [] as Taken[] };
  const able = pythonWith(["onnx", "onnxruntime"], settings.python);
  for (let turn = 0; turn < turns; turn++) {
    measurements.Pith.push(step([scheme, given, join(settings.folder, "pith.onnx")]));
    const out = join(settings.folder, "peer.onnx");
    if (able !== undefined) measurements.onnxruntime.push(peer<Taken>(able, "quantize_speed.py", [given, out, scheme]));
  }
  const least = (tool: keyof typeof measurements, key: keyof Taken): number =>
    Math.min(...measurements[tool].map((one) => one[key]));
  const keys = ["processor", "seconds", "peak"] as const;
  const row = (tool: keyof typeof measurements): readonly string[] => [
    tool,
    ...keys.map((key) =>
      measurements[tool].length === 0 ? "" : (least(tool, key) / (key === "peak" ? 1e6 : 1)).toFixed(1),
    ),
  ];
  const ratio = keys.map((key) =>
    measurements.onnxruntime.length === 0 ? "" : (least("Pith", key) / least("onnxruntime", key)).toFixed(2),
  );
  line(`\n${scheme}: the least of ${turns} turns`);
  table(["", ">processor, s", ">clock, s", ">peak, MB"], [row("Pith"), row("onnxruntime"), ["ratio", ...ratio]]);
  return measurements.onnxruntime;
}

/** Runs one step of bench/scale/step.ts, bundled into one file as the package is. */
function step(words: readonly string[]): Taken {
  const outfile = fileURLToPath(new URL("../../node_modules/.cache/pith/tool-speed.mjs", import.meta.url));
  buildSync({
    ...{ entryPoints: [fileURLToPath(new URL("../scale/step.ts", import.meta.url))], outfile },
    ...{ bundle: true, platform: "node", format: "esm", packages: "external", conditions: ["pith-source"] },
  });
  const { status, stdout, stderr } = spawnSync(process.execPath, [outfile, ...words], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${words[0]}: ${stderr.trim().split("\n").at(-1)}`);
  return JSON.parse(stdout);
}
