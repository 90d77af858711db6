/**
 * Start time of the built command line, relative to Node itself. Each round runs every command once.
 * Requires `npm run build`; the argument is the number of rounds (20).
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { spread } from "../src/runtime/run/latency.ts";
import { shared } from "../test/shared.ts";
import { heading, line, table } from "./lib/print.ts";

const program = fileURLToPath(new URL("../dist/app/cli/main.js", import.meta.url));
if (!existsSync(program)) throw new Error("There is no dist/app/cli/main.js: npm run build makes it.");
const rounds = Number(process.argv[2] ?? 20);
const model = shared("data/models/mnist_cntk.onnx");

const commands: ReadonlyMap<string, readonly string[]> = new Map([
  ["node -e 0", ["-e", "0"]],
  ["pith --help", [program, "--help"]],
  ["pith --version", [program, "--version"]],
  ["pith inspect --help", [program, "inspect", "--help"]],
  ["pith quantize --help", [program, "quantize", "--help"]],
  ...(model === undefined ? [] : [["pith inspect, 26 kB", [program, "inspect", model]] as const]),
]);

const times = new Map([...commands.keys()].map((name) => [name, new Float64Array(rounds)]));
for (let round = 0; round < rounds; round++) {
  for (const [name, words] of commands) {
    const start = performance.now();
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: "utf8" });
    const durations = times.get(name);
    if (durations !== undefined) durations[round] = performance.now() - start;
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
  }
}

heading("Start of the command line", 0);
const [reference = new Float64Array()] = times.values();
table(
  ["", ">ms", ">10–90 %", ">times node", ">fastest, ms"],
  [...times].map(([name, durations]) => {
    const { median, low, high } = spread(durations);
    const ratio = spread(durations.map((time, round) => time / (reference[round] ?? Number.NaN)));
    return [
      name,
      median.toFixed(0),
      `${low.toFixed(0)}–${high.toFixed(0)}`,
      ratio.median.toFixed(2),
      Math.min(...durations).toFixed(0),
    ];
  }),
);
const help = times.get("pith --help") ?? new Float64Array();
const slower = spread(help.map((time, round) => time / (reference[round] ?? Number.NaN))).median;
line(
  `pith --help takes ${slower.toFixed(2)} times as long as node -e 0; at most 3 are allowed: ${slower <= 3 ? "kept" : "MISSED"}.`,
);
process.exitCode = slower <= 3 ? 0 : 1;
