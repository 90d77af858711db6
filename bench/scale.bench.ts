/**
 * Measures deep and large models: processor time by the number of nodes, and time and memory by the size of the weights.
 *
 *     npm run bench -- scale [nodes|weights|folder …] [--nodes 10000,100000] [--forms chain,fan] [--mebibytes 1024,4096]
 *         [--matrices 1,16] [--steps simplify,weights]
 *
 * nodes: seconds of processor time of each step on networks of several forms. "growth" is the time ratio of the largest to the smallest network,
 * divided by their node ratio: 1 is linear. weights: models with external data, each weight of --matrices MiB. "×" is the time relative to
 * reading and writing the model unchanged, and memory is the peak of the process. Each step runs in a separate process, whose start
 * is not counted, and stops after --limit seconds. Requires twice the largest size in the temporary folder. folder: time and memory of `quantize` with all
 * its processes on a folder with an encoder and a merged decoder of --mebibytes in total, and the outputs of transformers.js in a browser on the chunks
 * of each of --dtypes, in dB relative to the native runtime.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildSync } from "esbuild";
import { heading, line, table } from "./lib/print.ts";
import { chunksInBrowser, quantizedFolder } from "./scale/folder.ts";
import { allForms } from "./scale/networks.ts";

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: {
    nodes: { type: "string", default: "10000,100000" },
    forms: { type: "string", default: allForms.join(",") },
    mebibytes: { type: "string", default: "1024,4096" },
    matrices: { type: "string", default: "16" },
    dtypes: { type: "string", default: "q8,q4" },
    steps: { type: "string" },
    limit: { type: "string", default: "300" },
  },
});
const isSelected = (part: string): boolean => parts.length === 0 || parts.includes(part);
const chosen = (steps: readonly string[]): readonly string[] =>
  options.steps === undefined ? steps : steps.filter((step) => options.steps?.split(",").includes(step));

/** The steps are bundled into one file, as the package is: a loader of sources names each closure at run time, a quarter of the time of a walk. */
const program = fileURLToPath(new URL("../node_modules/.cache/pith/scale-step.mjs", import.meta.url));
buildSync({
  entryPoints: [fileURLToPath(new URL("scale/step.ts", import.meta.url))],
  outfile: program,
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  conditions: ["pith-source"],
});
const folder = mkdtempSync(join(tmpdir(), "pith-scale-"));

interface Taken {
  /** Seconds of processor time (user, then user and system), and of wall-clock time. */
  readonly user: number;
  readonly processor: number;
  readonly seconds: number;
  /** Peak memory in bytes. */
  readonly peak: number;
}

function take(step: string, from: string, to: string): Taken | undefined {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, step, from, to], {
    encoding: "utf8",
    timeout: Number(options.limit) * 1000,
  });
  if (status === null) return undefined;
  if (status !== 0) throw new Error(`${step} of ${from}: ${stderr.trim().split("\n").at(-1)}`);
  return JSON.parse(stdout);
}

const source = join(folder, "given.onnx");
const out = join(folder, "out.onnx");
const late = `> ${options.limit} s`;

function byNodes(): void {
  const sizes = options.nodes.split(",").map(Number);
  const steps = chosen(["inspect", "simplify", "weights", "prune", "structured"]);
  heading("Seconds of the processor by nodes", 1);
  const rows = options.forms.split(",").flatMap((form) => {
    const secondsOfSizes = sizes.map((nodes) => {
      take("write", `${form}:${nodes}`, source);
      return steps.map((step) => take(step, source, out)?.user);
    });
    return steps.map((step, index) => {
      const seconds = secondsOfSizes.map((all) => all[index]);
      const [first, last] = [seconds[0], seconds.at(-1)];
      const ratio = (sizes.at(-1) ?? 1) / (sizes[0] ?? 1);
      return [
        index === 0 ? form : "",
        step,
        ...seconds.map((one) => one?.toFixed(1) ?? late),
        first === undefined || last === undefined ? "" : (last / first / ratio).toFixed(2),
      ];
    });
  });
  table(["form", "step", ...sizes.map((size) => `>${size.toLocaleString("en")}`), ">growth"], rows);
}

function byWeights(): void {
  heading("Time and memory by the size of the weights", 1);
  const models = options.mebibytes
    .split(",")
    .flatMap((size) => options.matrices.split(",").map((each) => ({ size, each })));
  const rows = models.flatMap(({ size, each }) => {
    take("writeLarge", `${size}:${each}`, source);
    const copied = take("copy", source, out);
    const steps = chosen(["inspect", "simplify", "weights", "dynamic", "float16", "prune", "global", "remove"]);
    return [["copy", copied] as const, ...steps.map((step) => [step, take(step, source, out)] as const)].map(
      ([step, measurement], index) => [
        index === 0 ? `${size} MiB of ${each}` : "",
        step,
        measurement === undefined ? late : measurement.seconds.toFixed(1),
        measurement === undefined ? "" : measurement.processor.toFixed(1),
        measurement === undefined || copied === undefined ? "" : (measurement.seconds / copied.seconds).toFixed(2),
        measurement === undefined ? "" : Math.round(measurement.peak / 1e6).toString(),
      ],
    );
  });
  table(["weights", "step", ">s", ">of the processor", ">×", ">MB"], rows);
}

async function ofFolder(): Promise<void> {
  heading("A folder of an encoder and a merged decoder, in chunks of 24 MB", 1);
  for (const size of options.mebibytes.split(",")) {
    const place = mkdtempSync(join(tmpdir(), "pith-scale-"));
    const from = join(place, "model");
    const { code, error, seconds, processor, own, all } = await quantizedFolder(from, Number(size), options.dtypes);
    if (code !== 0) throw new Error(error);
    const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(2);
    line(
      `  ${size} MiB: ${seconds.toFixed(0)} s, ${processor.toFixed(0)} of the processor, ${gibibytes(own)} GiB of its own, ${gibibytes(all)} with mapped files`,
    );
    const rows: string[][] = [];
    for (const dtype of options.dtypes.split(",")) {
      const levels = await chunksInBrowser(`${from}.out`, dtype);
      rows.push(...Object.entries(levels).map(([name, level]) => [dtype, name, level.toFixed(1)]));
    }
    table(["dtype", "in the browser", ">dB"], rows);
    rmSync(place, { recursive: true });
  }
}

try {
  if (isSelected("nodes")) byNodes();
  if (isSelected("weights")) byWeights();
  if (isSelected("folder")) await ofFolder();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
line();
