/**
 * Trains on one data set for some steps and prints how long each waited for its batch.
 * Arguments: name, threads to prepare in or "auto", steps, threads of the runtime, seed, milliseconds of a step that only blocks or 0.
 */
import { createStep, crossEntropy, type Step, sgd } from "pith/train";
import { createFeed, readyWorkers } from "../../src/data/prefetch/feed.ts";
import { sets } from "./sets.ts";

export interface FeedingTimes {
  /** Milliseconds that each step but the first waited, and those that it took. */
  readonly waited: readonly number[];
  readonly used: readonly number[];
  /** Threads that prepared batches in the end. */
  readonly threads: number;
  /** All losses in one number. */
  readonly losses: number;
}

const [name, preparing = "auto", steps = "30", runtime = "1", seed = "1", idle = "0"] = process.argv.slice(2);
const set = sets.find((each) => each.name === name);
if (set === undefined) throw new Error(`There is no data set ${name}.`);
const { model, data, size } = await set.load(Number(seed));
const optimizer = sgd({ momentum: 0.9 });
let step: Step | undefined;
const [waited, used]: [number[], number[]] = [[], []];
let losses = 0;
const blocker = new Int32Array(new SharedArrayBuffer(4));

/** Epochs as training has them, for as long as steps are wanted. */
function* rounds() {
  for (let epoch = 1; ; epoch++) yield { size, shuffle: Number(seed) + epoch, dropLast: true };
}

const feed = createFeed(data, rounds(), preparing === "auto" ? {} : { threads: Number(preparing) });
while (waited.length < Number(steps)) {
  let asked = performance.now();
  for await (const batch of feed.batches()) {
    const given = performance.now();
    const isFirst = step === undefined;
    step ??= await createStep(model, batch, {
      loss: crossEntropy(),
      threads: Number(runtime),
      carry: optimizer.carry,
    });
    if (isFirst || Number(idle) === 0) {
      losses += await step.run(batch);
      optimizer.update(step.parameters, 1e-3);
    } else {
      // As the runtime does: other events first, then nothing of this thread's until it is done.
      await new Promise((resolve) => setImmediate(resolve));
      Atomics.wait(blocker, 0, 0, Number(idle));
    }
    const done = performance.now();
    if (!isFirst) {
      waited.push(given - asked);
      used.push(done - given);
    }
    if (waited.length >= Number(steps)) break;
    asked = done;
  }
}
const times: FeedingTimes = { waited, used, threads: readyWorkers(), losses };
process.stdout.write(`${JSON.stringify(times)}\n`);
await feed.close();
await step?.release();
