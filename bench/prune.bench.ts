/**
 * What pruning reaches on real networks: beside published figures, and beside other tools.
 *
 *     npm run bench -- prune [names…] [--smoke] [--threads 1] [--python path]
 *
 * Python with torch, torchvision, torch-pruning, onnx and onnxscript is found: --python, PITH_PYTHON, bench/peers/venv, or python3. `--smoke` runs all in five minutes, on few samples, which shows that they run. Logs of whole runs are in bench/logs. Exit code 1 where a target was
 * missed.
 */
import { parseArgs } from "node:util";
import { line } from "./lib/print.ts";
import { coverage } from "./prune/coverage.ts";
import { defaults } from "./prune/defaults.ts";
import { healed, healing } from "./prune/healing.ts";
import { language } from "./prune/language.ts";
import { latencies } from "./prune/latency.ts";
import { lenets } from "./prune/lenets.ts";
import { peers } from "./prune/peers.ts";
import type { Settings } from "./prune/settings.ts";

const { values: options, positionals } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    threads: { type: "string", default: "1" },
    python: { type: "string" },
  },
  allowPositionals: true,
});
const experiments: Readonly<Record<string, (settings: Settings) => Promise<boolean>>> = {
  coverage,
  defaults,
  language,
  latency: latencies,
  peers: ({ smoke }) => peers({ smoke, python: options.python }),
  ...Object.fromEntries(healed.map((name) => [name, (settings: Settings) => healing(name, settings)])),
  lenets,
};
const unknown = positionals.find((name) => experiments[name] === undefined);
if (unknown !== undefined) {
  line(`There is no ${unknown}: ${Object.keys(experiments).join(", ")}.`);
  process.exit(2);
}
let met = true;
// The chains of resnet20 and llama260k are the same, of smaller networks.
const left = options.smoke ? ["resnet56", "llama_shakespeare"] : [];
const names = positionals.length > 0 ? positionals : Object.keys(experiments).filter((name) => !left.includes(name));
for (const [name, run] of Object.entries(experiments)) if (names.includes(name)) met = (await run(options)) && met;
process.exitCode = met || options.smoke ? 0 : 1;
