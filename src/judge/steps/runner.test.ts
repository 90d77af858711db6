import * as v from "valibot";
import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { definePass } from "../../core/pass/pass.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { StepRunner } from "./runner.ts";
import { parseStep } from "./step-options.ts";
import { memoryModelStore } from "./store.ts";

test("an attempt is not run again if its options are chosen, and then logs its messages", async () => {
  const ran: number[] = [];
  const pass = definePass({
    id: "scale",
    summary: "",
    options: v.strictObject({ factor: v.number() }),
    async run(model, { factor }, { log }) {
      ran.push(factor);
      log({ id: "scale", text: `by ${factor}`, level: "warning" });
      model.header.metadata.set("factor", String(factor));
      return { changes: [{ at: "y", what: "scaled", decidedBy: "global" }], misses: [] };
    },
  });
  const store = memoryModelStore(
    parseModel("opset 21\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = Relu(x)\n}"),
    undefined,
  );
  const texts: string[] = [];
  const runner = new StepRunner({ store, data: {} }, completeContext({ log: ({ text }) => texts.push(text) }));
  const [chosen, other] = [{ factor: 2 }, { factor: 3 }];
  for (const options of [other, chosen])
    await runner.attempt(await parseStep(pass, options), store.original, { log: () => {} });
  expect(texts).toEqual([]);
  const { output, warnings } = await runner.run(await parseStep(pass, chosen), store.original);
  expect(ran).toEqual([3, 2]);
  expect([texts, warnings]).toEqual([["by 2"], ["by 2"]]);
  expect((await store.open(output)).header.metadata.get("factor")).toBe("2");
  await runner.run(await parseStep(pass, { factor: 2 }), store.original);
  expect(ran).toEqual([3, 2, 2]);
});
