/**
 * Students that learn from teachers, beside the same students that learn alone.
 *
 *     npm run bench -- distill [names…] [--smoke] [--seeds 3] [--threads 1] [--folder out/distill]
 *
 * `--smoke` runs all in five minutes, on few samples, which shows that they run. Whole runs take from minutes to hours: what is finished is kept in
 * the folder, and a run that was stopped goes on from there; whoever changes a network or a teacher takes another folder. Logs of whole runs are
 * in bench/logs. Exit code 1 where a target was missed.
 */
import { parseArgs } from "node:util";
import { digits, hinton } from "./distill/digits.ts";
import type { Settings } from "./distill/kept.ts";
import { bert, shakespeareHalved, storiesHalved } from "./distill/layers.ts";
import { pictures } from "./distill/pictures.ts";
import { line } from "./lib/print.ts";

const { values: options, positionals } = parseArgs({
  options: {
    smoke: { type: "boolean", default: false },
    seeds: { type: "string" },
    threads: { type: "string", default: "1" },
    folder: { type: "string", default: "out/distill" },
  },
  allowPositionals: true,
});
const experiments: Readonly<Record<string, (settings: Settings) => Promise<boolean>>> = {
  digits,
  hinton,
  cifar: pictures,
  bert,
  llama_shakespeare: shakespeareHalved,
  llama260k: storiesHalved,
};
const unknown = positionals.find((name) => experiments[name] === undefined);
if (unknown !== undefined) {
  line(`There is no ${unknown}: ${Object.keys(experiments).join(", ")}.`);
  process.exit(2);
}
const { smoke, folder } = options;
const seeds = options.seeds === undefined ? undefined : Number(options.seeds);
let met = true;
for (const [name, run] of Object.entries(experiments)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const reached = await run({ smoke, folder, seeds, threads: Number(options.threads) });
  met &&= reached;
}
process.exitCode = met || smoke ? 0 : 1;
