/**
 * Measures each stage of `recover` on published networks that a technique damaged.
 *
 *     npm run bench -- recover [networks…] [--samples 2000] [--epochs 2] [--damage text]
 *
 * Each stage runs alone, and then all stages up to a last one as `recover` runs them, which keeps a stage only if it helps:
 * without labels, and with labels. Accuracy is on held-out test samples, with its 95 % interval. Noise is that of the outputs,
 * relative to the original. The printed lines are those of bench/logs/recover.md.
 */
import { parseArgs } from "node:util";
import { createEngine } from "../src/core/engine/index.ts";
import type { Model } from "../src/core/graph/model.ts";
import { completeContext } from "../src/core/pass/run-pass.ts";
import { openStorage } from "../src/data/batches/batch-store.ts";
import { isIndexed } from "../src/data/batches/indexed.ts";
import { draw } from "../src/data/batches/select.ts";
import { accuracy } from "../src/judge/index.ts";
import { storeWeights } from "../src/rewrite/clean-up/store-constants.ts";
import { signalToNoise } from "../src/runtime/metrics/comparison-metrics.ts";
import { evaluateAll } from "../src/runtime/metrics/evaluate.ts";
import { matchOriginal } from "../src/techniques/calibrate/match-original.ts";
import { recalibrateNorms } from "../src/techniques/recover/batch-norm.ts";
import { blockWise } from "../src/techniques/recover/block-wise.ts";
import { endToEnd } from "../src/techniques/recover/end-to-end.ts";
import { recover } from "../src/techniques/recover/index.ts";
import { solveLayers } from "../src/techniques/recover/least-squares.ts";
import { biasStage } from "../src/techniques/recover/recover.ts";
import type { Stage } from "../src/techniques/recover/stage.ts";
import { line, share } from "./lib/print.ts";
import { type Damage, type Network, networks } from "./recover/networks.ts";

const { values: options, positionals } = parseArgs({
  options: {
    samples: { type: "string", default: "2000" },
    epochs: { type: "string", default: "2" },
    damage: { type: "string", default: "" },
  },
  allowPositionals: true,
});
const engine = createEngine();
const seed = 1;
const epochs = Number(options.epochs);
/** Default number of samples of `recover`. */
const fitted = 512;
const training = { batch: 64, learningRate: 0.0005 };

interface Row {
  readonly what: string;
  readonly minutes: number | undefined;
  readonly said: string;
}

async function show(model: Model, { model: original, test }: Network, { what, minutes, said }: Row): Promise<void> {
  const [right, noise] = await evaluateAll(engine, model, test, [accuracy(), signalToNoise()], { original });
  const decibels = noise === undefined ? Number.NaN : noise.estimate.value;
  const figures = [
    right === undefined ? "" : share(right.estimate, 1),
    Number.isFinite(decibels) ? decibels.toFixed(1) : "–",
    minutes === undefined ? "" : minutes.toFixed(1),
  ];
  line(`| ${[what, ...figures, said].join(" | ")} |`);
}

/** Starts a clock of this process's processor time over all threads, which other processes do not affect. */
function startClock(): () => number {
  const began = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(began);
    return (user + system) / 60e6;
  };
}

/** Runs one stage alone on a copy. */
async function alone(stage: Stage, what: string, damaged: Model, network: Network): Promise<void> {
  const trial = damaged.clone();
  const context = completeContext({ engine, seed });
  const data = draw(network.train, fitted, seed);
  if (!isIndexed(data)) throw new Error("The samples are a stream.");
  const storage = openStorage();
  const minutes = startClock();
  const { what: did, misses } = await (async () => {
    try {
      const match = await matchOriginal(trial, network.model, engine);
      const scope = { match, original: network.model, data, context, storage, overdue: () => false };
      return await stage.run(trial, scope);
    } finally {
      await storage.release();
    }
  })();
  const reasons = new Set(misses.map(({ reason }) => reason));
  const missed =
    misses.length === 0 ? "" : `${did === "" ? "" : "; "}not ${misses.length}: ${[...reasons].slice(0, 2).join(", ")}`;
  await show(trial, network, { what, minutes: minutes(), said: `${did}${missed}` });
}

/** Runs all stages as `recover` does, and prints the model after each attempted stage. */
async function together(until: "bias" | "end-to-end", damaged: Model, network: Network): Promise<Model | undefined> {
  const model = damaged.clone();
  const minutes = startClock();
  const reached: { readonly stage: string; readonly model: Model; readonly minutes: number }[] = [];
  let tried: { readonly stage: string; readonly minutes: number } | undefined;
  const reach = (): void => {
    if (tried !== undefined) reached.push({ ...tried, model: model.clone() });
  };
  const log = ({ id, text }: { readonly id: string; readonly text: string }): void => {
    if (id !== "recover") return;
    // The log reports a stage before its changes, so the model still has the state after the previous stages.
    reach();
    tried = { stage: text.slice(0, text.indexOf(":")), minutes: minutes() };
  };
  const settings = { original: network.model, data: network.train, until, epochs, ...training };
  const { changes } = await recover(model, settings, { engine, seed, log });
  reach();
  const kept = new Map(changes.map(({ at, what }) => [at, what]));
  for (const { stage, model: then, minutes } of reached) {
    const verdict = kept.has(stage) ? "kept" : "did not help: undone";
    await show(then, network, { what: `all up to ${stage}`, minutes, said: verdict });
  }
  return reached.findLast(({ stage }) => stage !== "end-to-end")?.model;
}

async function measure(damage: Damage, network: Network): Promise<void> {
  const damaged = network.model.clone();
  await damage.apply(damaged, draw(network.train, fitted, seed));
  storeWeights(damaged);
  line(`\n### ${network.name}: ${damage.name}\n`);
  line("| | accuracy (95 %) | signal to noise, dB | CPU minutes | |");
  line("| --- | --- | ---: | ---: | --- |");
  const count = `${network.test.count} test samples`;
  await show(network.model, network, { what: "original", minutes: undefined, said: count });
  await show(damaged, network, { what: "made worse", minutes: undefined, said: "" });
  await alone(recalibrateNorms, "batch-norm alone", damaged, network);
  await alone(biasStage, "bias alone", damaged, network);
  if (damage.stages === "biases") {
    await together("bias", damaged, network);
    return;
  }
  await alone(solveLayers, "least-squares alone", damaged, network);
  await alone(blockWise(training), "blocks alone", damaged, network);
  const endToEndOptions = {
    data: network.train,
    epochs,
    ...training,
    output: undefined,
    secondsLeft: () => Number.POSITIVE_INFINITY,
  };
  await alone(endToEnd(endToEndOptions), "end-to-end alone", damaged, network);
  await together("end-to-end", damaged, network);
}

const names = positionals.length === 0 ? Object.keys(networks) : positionals;
const fit = `stages before training are fitted on ${fitted} training samples`;
line(
  `Seed ${seed}; ${fit}, end-to-end trains on ${options.samples} for ${epochs} epochs (Adam, ${training.learningRate}).`,
);
for (const name of names) {
  const network = await networks[name]?.(Number(options.samples));
  if (network === undefined) throw new Error(`There is no "${name}": ${Object.keys(networks).join(", ")}.`);
  storeWeights(network.model);
  for (const damage of network.damages) if (damage.name.includes(options.damage)) await measure(damage, network);
}
