/**
 * Processor time of commands on small models, with targets. Each round runs every command once, and the smallest time counts. The commands on 10,000
 * nodes run in the first round only.
 *
 *     npm run build && npm run bench -- cli [--rounds 5] [--before path/of/another/dist] [--python path]
 *
 * Processor time is that of all processes of a command, user and system. `--before` measures a second build in the same rounds. The row of
 * small models sums one run per model, and is compared with onnxruntime's quantizer if a Python has it, including its imports.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { save } from "pith";
import { shared } from "../test/shared.ts";
import { heading, line, table, target } from "./lib/print.ts";
import { measureProcesses } from "./lib/process-usage.ts";
import { pythonWith } from "./lib/python.ts";
import { networkOf } from "./scale/networks.ts";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, before: { type: "string" }, python: { type: "string" } },
});
const rounds = Number(options.rounds);
const builds = new Map([["now", fileURLToPath(new URL("../dist", import.meta.url))]]);
if (options.before !== undefined) builds.set("before", options.before);
const programs = [...builds].map(([name, folder]) => [name, join(folder, "app/cli/main.js")] as const);
for (const [, program] of programs)
  if (!existsSync(program)) throw new Error(`There is no ${program}: npm run build makes it.`);

const folder = mkdtempSync(join(tmpdir(), "pith-bench-cli-"));
const out = join(folder, "out.onnx");
const models = shared("data/models") ?? "";
const zoo = shared("data/zoo") ?? "";

interface Row {
  readonly name: string;
  /** Words of the command line, of several commands for a sum. */
  readonly commands: readonly (readonly string[])[];
  /** Seconds of processor time. */
  readonly limit?: number;
  /** Whether it takes a minute, so that it runs in the first round only. */
  readonly isSlow?: boolean;
}

/** Models of 5 to 100 kB: many small commands, as in a build. */
const smallModels =
  zoo === ""
    ? []
    : readdirSync(zoo)
        .filter((file) => file.endsWith(".onnx"))
        .map((file) => join(zoo, file))
        .filter((path) => statSync(path).size < 1e5)
        .slice(0, 22);

const rows: Row[] = [{ name: "--version", commands: [["--version"]], limit: 0.06 }];
rows.push({ name: "quantize --help", commands: [["quantize", "--help"]] });
if (models !== "") {
  const [small, middle] = [join(models, "kws_dscnn.onnx"), join(models, "vnncomp_mnist-net_256x2.onnx")];
  const weights = ["quantize", middle, "--scheme", "weights"];
  rows.push(
    { name: "inspect, 26 kB", commands: [["inspect", join(models, "mnist_cntk.onnx")]] },
    { name: "inspect, 93 kB", commands: [["inspect", small]], limit: 0.2 },
    { name: "inspect, 1.1 MB", commands: [["inspect", middle]] },
    { name: "simplify, 93 kB", commands: [["simplify", small, "-o", out]] },
    { name: "simplify, 1.1 MB", commands: [["simplify", middle, "-o", out]], limit: 0.45 },
    { name: "quantize --scheme weights, 93 kB", commands: [["quantize", small, "--scheme", "weights", "-o", out]] },
    { name: "quantize --scheme weights, 1.1 MB", commands: [[...weights, "-o", out]], limit: 0.7 },
    { name: "quantize --dry-run, 1.1 MB", commands: [[...weights, "--dry-run"]], limit: 0.4 },
    {
      name: "quantize --scheme dynamic, 22 small models",
      commands: smallModels.map((path) => ["quantize", path, "--scheme", "dynamic", "--force", "-o", out]),
    },
  );
}
const wide = join(folder, "nodes.onnx");
// Larger weights overflow after thousands of residual blocks.
await save(networkOf("residual", 10_000, 0.125), wide);
rows.push({ name: "simplify, 10,000 nodes", commands: [["simplify", wide, "-o", out]], isSlow: true });
rows.push({
  name: "quantize --scheme weights, 10,000 nodes",
  commands: [["quantize", wide, "--scheme", "weights", "-o", out]],
  limit: 8,
  isSlow: true,
});

async function measure(executable: string, commands: readonly (readonly string[])[]): Promise<number> {
  let total = 0;
  for (const words of commands) {
    const { code, processor, error } = await measureProcesses(executable, words);
    // 1 is a verdict: the result is larger or not accurate enough.
    if (code > 1) throw new Error(`${words.join(" ")}: ${error}`);
    total += processor;
  }
  return total;
}

/** Quantizes a model as onnxruntime's documentation does. */
const peerScript = [
  "import sys",
  "from onnxruntime.quantization import quantize_dynamic",
  "quantize_dynamic(sys.argv[1], sys.argv[2], per_channel=True)",
].join("\n");

const python = pythonWith(["onnx", "onnxruntime"], options.python);
const least = new Map<string, number>();
const keep = (key: string, seconds: number): void =>
  void least.set(key, Math.min(seconds, least.get(key) ?? Number.POSITIVE_INFINITY));
try {
  for (let round = 0; round < rounds; round++) {
    keep("node", await measure(process.execPath, [["-e", "0"]]));
    for (const { name, commands } of rows.filter(({ isSlow }) => round === 0 || isSlow !== true))
      for (const [build, program] of programs) {
        const words = commands.map((command) => [program, ...command]);
        keep(`${name} ${build}`, await measure(process.execPath, words));
      }
    if (python !== undefined)
      keep(
        "onnxruntime",
        await measure(
          python,
          smallModels.map((path) => ["-c", peerScript, path, out]),
        ),
      );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

heading(`Processor time of commands in seconds, smallest of ${rounds} rounds`, 0);
line(`node -e 0: ${least.get("node")?.toFixed(2)} s`);
const peerSeconds = least.get("onnxruntime");
let missedCount = 0;
table(
  ["", ...programs.map(([build]) => `>${build}`), ">limit", ""],
  rows.map(({ name, commands, limit }) => {
    const isSum = commands.length > 1;
    const allowed = isSum && peerSeconds !== undefined ? 2 * peerSeconds : limit;
    const now = least.get(`${name} now`) ?? Number.NaN;
    const isMet = allowed === undefined || now <= allowed;
    if (!isMet) missedCount++;
    return [
      name,
      ...programs.map(([build]) => (least.get(`${name} ${build}`) ?? Number.NaN).toFixed(2)),
      allowed?.toFixed(2) ?? "",
      allowed === undefined ? "" : target(isSum ? "twice onnxruntime's tool" : "", isMet, true).replace(/^: /, ""),
    ];
  }),
);
process.exitCode = missedCount === 0 ? 0 : 1;
