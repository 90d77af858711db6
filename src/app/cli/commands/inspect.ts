import { stat } from "node:fs/promises";
import * as v from "valibot";
import { option } from "../../../core/pass/options.ts";
import { defineCommand } from "../command.ts";
import type inspectJob from "../jobs/inspect.ts";
import { show } from "../print/inspection.ts";

/** Maximum bytes of a file that is read in this process, without starting another. Reading its graph takes less than a second. */
const maxBytesHere = 2 ** 24;

export default defineCommand({
  name: "inspect",
  summary: "show inputs, outputs, operators, layers and sizes of a model",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    weights: option(v.boolean(), "read the weights: zeros, range, and the rank that holds 95 % of the energy"),
  }),
  deterministic: true,
  examples: ["inspect model.onnx", "inspect model.onnx --weights", "inspect model.onnx --json"],
  async run([model = ""], { weights = false }, session) {
    const input = { model, weights };
    const isSmall = ((await stat(model).catch(() => undefined))?.size ?? 0) <= maxBytesHere;
    const job = session.job<typeof inspectJob>("inspect", input, `inspect ${model}`, { isHere: isSmall && !weights });
    const { description, weights: numbers, zeros } = await job;
    return {
      data: numbers === undefined ? description : { ...description, zeros, weights: numbers },
      print: (terminal) => show(description, { numbers, zeros }, terminal),
    };
  },
});
