/**
 * A thousand cuts drawn at random, over the topologies, the networks of PyTorch's exporters and real models, as they are and in the form from which
 * `prune` cuts: each computes what the silenced network does. Through normalizations it does not, but runs.
 */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { withFreeChannels } from "../../../src/rewrite/clean-up/free-channels.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { randomInputs } from "../../../src/runtime/run/random-inputs.ts";
import { firstThatRuns, guesses, likelyLengths } from "../../../src/runtime/run/size-guesses.ts";
import { shared } from "../../shared.ts";
import { topologies } from "../../zoo/topologies.ts";
import { expectRunsWithoutStatistics, expectSameAsSilenced, feedsOf } from "./silenced.ts";

const engine = createEngine();

interface Case {
  readonly name: string;
  make(): Model | Promise<Model>;
  feeds(): Batch | Promise<Batch>;
}

const files = ["data/zoo", "data/models"].flatMap((name) => {
  const folder = shared(name);
  return folder === undefined
    ? []
    : readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".onnx"))
        .map((file) => join(folder, file))
        .sort();
});

const cases: readonly Case[] = [
  ...topologies.map((topology) => ({
    name: `topology ${topology.name}`,
    make: () => parseModel(topology.text),
    feeds: () => feedsOf(topology, 1),
  })),
  ...files.map((path) => ({
    name: path.endsWith("model.onnx") ? path : basename(path),
    make: () => open(path),
    feeds: () => drawnFeeds(path),
  })),
];

async function drawnFeeds(path: string): Promise<Batch> {
  const model = await open(path);
  const inputs = randomInputs(model);
  const session = await engine.load(model);
  const tried = guesses(model, inputs, { lengths: likelyLengths, batchSizes: [2, 1] });
  const outcome = await firstThatRuns(session, inputs, tried, 1);
  await session.release();
  if (outcome instanceof Error) throw outcome;
  return outcome.feeds;
}

async function freed(model: Model): Promise<Model> {
  storeWeights(model);
  return withFreeChannels(model);
}

const cuts = Math.ceil(1000 / cases.length);

describe("randomly pruned networks", () => {
  test.each(cases.map((one) => [one.name, one] as const))(
    "compute the outputs of silenced channels: %s",
    async (_, { make, feeds }) => {
      const fed = await feeds();
      const draw = random(1, "cuts");
      const free = await freed(await make());
      for (let cut = 0; cut < cuts; cut++) {
        const [seed, share] = [draw.integer(2 ** 31), draw.uniform(0.05, 0.95)];
        const form = cut % 2 === 0 ? make : () => free.clone();
        if (cut % 4 === 3) await expectRunsWithoutStatistics(form, fed, seed, share);
        else await expectSameAsSilenced(form, fed, seed, share);
      }
    },
  );

  test("are at least a thousand", () => {
    expect(cases.length * cuts).toBeGreaterThanOrEqual(1000);
  });
});
