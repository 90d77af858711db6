/**
 * Networks trained to the end: what is learnt, with its interval, and what PyTorch learns by the same recipe.
 *
 *     npm run bench -- learn [names…] [--python path] [--threads 2] [--only ours|theirs] [--epochs n] [--noise 0.1] [--resume] [--folder out/learn]
 *
 * Takes minutes to an hour each: logs of whole runs are in bench/logs. PyTorch takes part where --python or PITH_PYTHON says which Python has
 * it. `--epochs` makes a trial of a run. `--resume` keeps a checkpoint in the folder, and continues with it. `--noise` is what trained networks
 * are disturbed by, as a share of the standard deviation of each tensor. Exit code 1 where a target was missed.
 */
import { parseArgs } from "node:util";
import { disturbed, fromDisturbed } from "./learn/disturbed.ts";
import { lenet5 } from "./learn/lenet5.ts";
import { resnet20 } from "./learn/resnet20.ts";
import { fromScratch, type Settings } from "./learn/scratch.ts";
import { textClassifier } from "./learn/text-classifier.ts";
import { line } from "./lib/print.ts";

const { values: options, positionals } = parseArgs({
  options: {
    python: { type: "string" },
    threads: { type: "string", default: "2" },
    only: { type: "string" },
    epochs: { type: "string" },
    noise: { type: "string", default: "0.1" },
    resume: { type: "boolean", default: false },
    folder: { type: "string", default: "out/learn" },
  },
  allowPositionals: true,
});
/** Whether nothing was missed. */
type Run = (settings: Settings) => Promise<boolean>;
const runs: Readonly<Record<string, Run>> = Object.fromEntries([
  ...[lenet5, resnet20, textClassifier].map((task): [string, Run] => [
    task.name,
    (settings) => fromScratch(task, settings),
  ]),
  ...disturbed.map((task): [string, Run] => [task.name, (settings) => fromDisturbed(task, settings)]),
]);
const unknown = positionals.find((name) => runs[name] === undefined);
const { only } = options;
if (unknown !== undefined || (only !== undefined && only !== "ours" && only !== "theirs")) {
  line(`There is no ${unknown ?? `--only ${only}`}: ${Object.keys(runs).join(", ")}; --only ours, --only theirs.`);
  process.exit(2);
}
let met = true;
for (const [name, run] of Object.entries(runs)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  const reached = await run({
    threads: Number(options.threads),
    folder: options.folder,
    python: options.python ?? process.env.PITH_PYTHON,
    noise: Number(options.noise),
    resume: options.resume,
    epochs: options.epochs === undefined ? undefined : Number(options.epochs),
    only: only === "ours" || only === "theirs" ? only : undefined,
  });
  met &&= reached;
}
process.exitCode = met ? 0 : 1;
