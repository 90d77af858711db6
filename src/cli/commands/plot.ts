import { basename } from "node:path";
import * as v from "valibot";
import { bytes } from "../../evaluate/numbers.ts";
import { described } from "../../passes/options.ts";
import { defineCommand } from "../command.ts";
import { requireOther, withoutLeftovers } from "../files.ts";
import type plotJob from "../jobs/plot.ts";
import { requireWritable } from "../writable.ts";

export default defineCommand({
  name: "plot",
  summary: "draw the graph, and shade the weights that pruning would remove",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    out: v.optional(described(v.string(), "file to write (default: model.html)", { short: "-o", value: "model.html" })),
    amount: v.optional(
      described(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), "share of each layer shown as removed initially"),
      0.5,
    ),
  }),
  deterministic: true,
  examples: ["plot model.onnx -o model.html", "plot resnet20.onnx --amount 0.8"],
  async run([model = ""], { out = model.replace(/(\.onnx)?$/i, ".html"), amount }, session) {
    await requireOther(out, [["the model itself", model]]);
    await requireWritable(out);
    const input = { model, name: basename(model), out, amount };
    const work = () => session.job<typeof plotJob>("plot", input, `plot ${model}`);
    const size = await withoutLeftovers([out], work);
    return {
      data: { model, written: out, bytes: size },
      print: (terminal) => terminal.line(`written: ${terminal.color.bold(out)} (${bytes(size)})`),
    };
  },
});
