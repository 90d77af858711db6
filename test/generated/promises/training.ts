/** Training. */

import { Miss } from "../../../src/errors.ts";
import { structureHash } from "../../../src/graph/hash.ts";
import { toFloat64 } from "../../../src/tensor/convert.ts";
import { createStep, meanSquaredError } from "../../../src/train/index.ts";
import { answers, engine, expectThat, refused } from "../runs.ts";
import type { Promised } from "./promised.ts";

export const training: readonly Promised[] = [
  {
    name: "a training step",
    async keep(network) {
      const { model } = network;
      const feeds = network.feeds(2);
      const output = model.graph.outputs.find(({ type }) => type?.type === "float32");
      if (output === undefined) return;
      const before = structureHash(model);
      const [answer] = await answers(model, [feeds]);
      const target = answer?.[output.name];
      if (target === undefined) return;
      const wanted = "what is wanted";
      const batch = { ...feeds, [wanted]: target };
      const loss = meanSquaredError({ output: output.name, label: wanted });
      const step = await createStep(model, batch, { loss }, { engine }).catch(refused);
      expectThat(structureHash(model) === before, "the model was changed");
      if (step instanceof Miss) return;
      try {
        const found = await step.run(batch);
        const finite = target.data.length > 0 && toFloat64(target).every(Number.isFinite);
        expectThat(!finite || Number.isFinite(found), `the loss is ${found}`);
        const unfit = step.parameters.find(({ gradient }) => !gradient.every(Number.isFinite));
        expectThat(!finite || unfit === undefined, `the gradient of "${unfit?.name}" is not finite`);
      } finally {
        await step.release();
      }
    },
  },
];
