import * as v from "valibot";
import { described } from "../../passes/options.ts";
import { inspect } from "../../report/index.ts";
import { defineCommand } from "../command.ts";
import { fileBytes, filesOf } from "../files.ts";
import { show } from "../inspect/show.ts";
import { openModel } from "../jobs/open-model.ts";
import type weightsJob from "../jobs/weights.ts";

export default defineCommand({
  name: "inspect",
  summary: "what is in a model: inputs, outputs, operators, layers, sizes",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    weights: v.optional(
      described(v.boolean(), "read the weights: zeros, range, and the rank that holds 95 % of the energy"),
    ),
  }),
  deterministic: true,
  examples: ["inspect model.onnx", "inspect model.onnx --weights", "inspect model.onnx --json"],
  async run([path = ""], { weights = false }, session) {
    const model = await openModel(path, {
      log: ({ id, text, level }) => session.terminal.note(id, text, level),
    });
    const description = { file: path, bytes: await fileBytes(filesOf(model, path)), ...(await inspect(model)) };
    const numbers = weights
      ? await session.job<typeof weightsJob>("weights", { model: path }, `inspect ${path}`)
      : undefined;
    return {
      data: numbers === undefined ? description : { ...description, weights: numbers },
      print: (terminal) => show(description, numbers, terminal),
    };
  },
});
