/**
 * Experiment "defaults": networks pruned to half of their multiply-accumulates with the defaults of `prune --structured` and with other settings, before
 * and after `recover`. Accuracy is on held-out test samples.
 */
import type { Model } from "pith";
import { createEngine } from "pith/engine";
import { accuracy, type Estimate, evaluate } from "pith/evaluate";
import { type PruneOptions, prune } from "pith/prune";
import { recover } from "pith/recover";
import { macsPerSample } from "../../src/core/analysis/cost.ts";
import { Miss } from "../../src/core/errors.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { take } from "../../src/data/batches/select.ts";
import { storeWeights } from "../../src/rewrite/clean-up/store-constants.ts";
import { relativeTimer } from "../../src/runtime/run/relative-time.ts";
import { heading, line, share, table } from "../lib/print.ts";
import { networks } from "../recover/networks.ts";
import type { Settings } from "./settings.ts";

const seed = 0;
const macs = 0.5;
/** Number of training samples: `prune` uses 256 of them, and `recover` trains one epoch on all. */
const samples = 2000;

const ways: Readonly<Record<string, PruneOptions>> = {
  "magnitude, uniform, any number": { importance: "magnitude", scope: "uniform", roundTo: 1 },
  "activation, isomorphic, multiples": { importance: "activation" },
  "taylor, isomorphic, multiples": { scope: "isomorphic" },
  "taylor, by cost, multiples (default)": {},
};

export async function defaults({ smoke }: Settings): Promise<boolean> {
  heading("Defaults of channel pruning, at half of the multiply-accumulates", seed);
  const engine = createEngine();
  for (const [name, load] of Object.entries(networks)) {
    const { model, train, test: all } = await load(smoke ? 128 : samples);
    storeWeights(model);
    const test = smoke ? take(all, 64) : all;
    const score = async (net: Model): Promise<Estimate> =>
      (await evaluate(engine, net, test, accuracy(), { batch: 100 })).estimate;
    const timer = await relativeTimer(model, completeContext({ engine, seed }));
    const original = await score(model);
    line(`\n${name}: ${share(original, 1)}, n = ${original.count}`);
    const rows: string[][] = [];
    for (const [way, options] of Object.entries(ways)) {
      const net = model.clone();
      await prune(net, { ...options, structured: true, macs, data: train }, { engine, seed });
      const cut = await score(net);
      const times = await timer.timePair(net);
      const speed = times.before / times.after;
      const remainingMacs = `${(100 * shareOf(net, model)).toFixed(1)} %`;
      await recover(net, { original: model, data: train }, { engine, seed });
      rows.push([way, remainingMacs, share(cut, 1), share(await score(net), 1), speed.toFixed(2)]);
    }
    table(["", ">MACs left", ">cut (95 %)", ">recovered (95 %)", ">times as fast"], rows);
    await timer.release();
  }
  if (smoke) line("  a smoke run: too few samples to judge by");
  return true;
}

function shareOf(net: Model, original: Model): number {
  const [now, before] = [macsPerSample(net), macsPerSample(original)];
  return now instanceof Miss || before instanceof Miss ? Number.NaN : now / before;
}
