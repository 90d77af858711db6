/**
 * Compares pruning on real networks with published results and with other tools.
 *
 *     npm run bench -- prune [names…] [--smoke] [--threads 1] [--python path]
 *
 * Python requires torch, torchvision, torch-pruning, onnx and onnxscript; it is --python, PITH_PYTHON, bench/peers/venv or python3. `--smoke` runs all
 * experiments in five minutes on few samples, to check that they run. Logs of full runs are in bench/logs. Exit code 1 if a target is missed.
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
// A smoke run omits these: resnet20 and llama260k run the same command chains on smaller networks.
const omitted = options.smoke ? ["resnet56", "llama_shakespeare"] : [];
const names = positionals.length > 0 ? positionals : Object.keys(experiments).filter((name) => !omitted.includes(name));
for (const [name, run] of Object.entries(experiments)) if (names.includes(name)) met = (await run(options)) && met;
process.exitCode = met || options.smoke ? 0 : 1;
