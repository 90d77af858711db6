/**
 * Trains on one dataset for a number of steps, and prints how long each step waited for its batch.
 * Arguments: name, preparing threads or "auto", steps, runtime threads, seed, and the milliseconds of a step that only blocks (0: a real step).
 */
import { createStep, crossEntropy, type Step, sgd } from "pith/train";
import { createFeed } from "../../src/data/prefetch/feed.ts";
import { readyWorkers } from "../../src/data/prefetch/workers.ts";
import { sets } from "./sets.ts";

export interface FeedingTimes {
  /** Milliseconds that each step except the first waited, and milliseconds that it ran. */
  readonly waited: readonly number[];
  readonly used: readonly number[];
  /** Number of preparing threads at the end. */
  readonly threads: number;
  /** Sum of all losses. */
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

/** Yields epochs as training does, without end. */
function* rounds() {
  for (let epoch = 1; ; epoch++) yield { size, shuffle: Number(seed) + epoch, dropLast: true };
}

const feed = createFeed(data, rounds(), preparing === "auto" ? {} : { threads: Number(preparing) });
while (waited.length < Number(steps)) {
  let asked = performance.now();
  for await (const batch of feed.batches()) {
    const received = performance.now();
    const isFirst = step === undefined;
    step ??= await createStep(model, batch, { loss: crossEntropy(), threads: Number(runtime), carry: optimizer.carry });
    if (isFirst || Number(idle) === 0) {
      losses += await step.run(batch);
      optimizer.update(step.parameters, 1e-3);
    } else {
      // Imitates the runtime: pending events run first, then the step blocks this thread.
      await new Promise((resolve) => setImmediate(resolve));
      Atomics.wait(blocker, 0, 0, Number(idle));
    }
    const done = performance.now();
    if (!isFirst) {
      waited.push(received - asked);
      used.push(done - received);
    }
    if (waited.length >= Number(steps)) break;
    asked = done;
  }
}
const times: FeedingTimes = { waited, used, threads: readyWorkers(), losses };
process.stdout.write(`${JSON.stringify(times)}\n`);
await feed.close();
await step?.release();
