import * as v from "valibot";
import { option } from "../../../core/pass/options.ts";
import { defineCommand } from "../command.ts";
import type inspectJob from "../jobs/inspect.ts";
import { show } from "../print/inspection.ts";

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
    const {
      description,
      weights: numbers,
      zeros,
    } = await session.job<typeof inspectJob>("inspect", { model, weights }, `inspect ${model}`);
    return {
      data: numbers === undefined ? description : { ...description, zeros, weights: numbers },
      print: (terminal) => show(description, { numbers, zeros }, terminal),
    };
  },
});
