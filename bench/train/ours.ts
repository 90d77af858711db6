/**
 * Runs training steps with Pith: reads a number of steps per line, and prints the milliseconds of the fastest step (wall-clock, or processor time with
 * "cpu") and the process's peak memory in bytes.
 */
import { createInterface } from "node:readline";
import { float32, int64 } from "pith";
import { random } from "pith/extend";
import { createStep, crossEntropy } from "pith/train";
import { peakMemory } from "../lib/peak.ts";
import { networks } from "./networks.ts";

const [name, threads, clock] = process.argv.slice(2);
const chosen = networks.find((each) => each.name === name);
if (chosen === undefined) throw new Error(`There is no network ${name}.`);
const numbers = random(1, "bench");
const [batch = 1] = chosen.input;
const count = chosen.input.reduce((product, size) => product * size, 1);
const model = await chosen.build();
if (model === undefined) throw new Error(`The file of ${name} is missing.`);
const inputName = model.graph.feeds[0]?.name ?? "input";
const data = {
  [inputName]: float32(
    chosen.input,
    Float32Array.from({ length: count }, () => numbers.normal()),
  ),
  label: int64(
    [batch],
    Array.from({ length: batch }, () => numbers.integer(chosen.classes)),
  ),
};
const optimizer = chosen.optimizer();
const began = performance.now();
const step = await createStep(model, data, { loss: crossEntropy(), threads: Number(threads), carry: optimizer.carry });
const built = performance.now() - began;
const runStep = async (): Promise<void> => {
  await step.run(data);
  optimizer.update(step.parameters, 1e-4);
};
await runStep();
await runStep();
const now = (): number => {
  if (clock !== "cpu") return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
console.log(`ready ${Math.round(built)}`);
for await (const line of createInterface({ input: process.stdin })) {
  let fastest = Number.POSITIVE_INFINITY;
  for (let at = 0; at < Number(line); at++) {
    const start = now();
    await runStep();
    fastest = Math.min(fastest, now() - start);
  }
  console.log(`${fastest} ${peakMemory()}`);
}
await step.release();
