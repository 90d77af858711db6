/**
 * What the tool itself takes of a model of 1 GiB, in turns with onnxruntime's: processor time, time by the clock, and memory, each of a process of its
 * own, whose start is not counted. The model is 64 products with weights of 16 MiB in a file beside it.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { line, table } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import { takenBy } from "../lib/taken.ts";
import type { FormatsSettings, FormatsTable } from "./table.ts";

const mebibytes = 1024;
const turns = 3;

interface Taken {
  /** Seconds of the processor, in the system too, and by the clock. */
  readonly processor: number;
  readonly seconds: number;
  readonly peak: number;
}

export const toolSpeed: FormatsTable = {
  title: `Quantizing and saving ${mebibytes} MiB`,
  async run(settings) {
    const given = join(settings.folder, "large.onnx");
    step(["writeLarge", `${mebibytes}`, given]);
    for (const [scheme, words] of commands) {
      const other = measure(scheme, given, settings);
      await measureCommand(scheme, [given, ...words], other, settings);
    }
  },
};

const commands = [
  ["dynamic", ["--scheme", "dynamic"]],
  ["q4", ["--dtype", "q4"]],
] as const;

/** The whole command, with its comparison, over what quantizing and saving takes onnxruntime. */
async function measureCommand(
  _scheme: string,
  words: readonly string[],
  other: readonly Taken[],
  { folder }: FormatsSettings,
): Promise<void> {
  const program = fileURLToPath(new URL("../../dist/app/cli/main.js", import.meta.url));
  if (!existsSync(program)) throw new Error("There is no dist/app/cli/main.js: npm run build makes it.");
  const given = ["quantize", ...words, "-o", join(folder, "command.onnx")];
  const { code, error, processor, seconds, own } = await takenBy(process.execPath, [program, ...given]);
  if (code !== 0) throw new Error(error);
  const over = (key: "processor" | "seconds", value: number): string =>
    other.length === 0 ? "" : ` (${(value / Math.min(...other.map((one) => one[key]))).toFixed(2)} of onnxruntime's)`;
  line(
    `the command, with its comparison: ${processor.toFixed(1)} s of the processor${over("processor", processor)}, ` +
      `${seconds.toFixed(1)} s${over("seconds", seconds)}, ${(own / 1e6).toFixed(0)} MB of all its processes`,
  );
}

function measure(scheme: string, given: string, settings: FormatsSettings): readonly Taken[] {
  const taken = { Pith: [] as Taken[], onnxruntime: [] as Taken[] };
  const able = pythonWith(["onnx", "onnxruntime"], settings.python);
  for (let turn = 0; turn < turns; turn++) {
    taken.Pith.push(step([scheme, given, join(settings.folder, "pith.onnx")]));
    const out = join(settings.folder, "peer.onnx");
    if (able !== undefined) taken.onnxruntime.push(peer<Taken>(able, "quantize_speed.py", [given, out, scheme]));
  }
  const least = (tool: keyof typeof taken, key: keyof Taken): number => Math.min(...taken[tool].map((one) => one[key]));
  const keys = ["processor", "seconds", "peak"] as const;
  const row = (tool: keyof typeof taken): readonly string[] => [
    tool,
    ...keys.map((key) => (taken[tool].length === 0 ? "" : (least(tool, key) / (key === "peak" ? 1e6 : 1)).toFixed(1))),
  ];
  const ratio = keys.map((key) =>
    taken.onnxruntime.length === 0 ? "" : (least("Pith", key) / least("onnxruntime", key)).toFixed(2),
  );
  line(`\n${scheme}: the least of ${turns} turns`);
  table(["", ">processor, s", ">clock, s", ">peak, MB"], [row("Pith"), row("onnxruntime"), ["ratio", ...ratio]]);
  return taken.onnxruntime;
}

/** One step of bench/scale/step.ts, as it is shipped: in one file. */
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
