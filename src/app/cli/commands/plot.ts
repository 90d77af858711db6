import { basename } from "node:path";
import * as v from "valibot";
import { described, option } from "#pass";
import { bytes } from "../../../core/numbers.ts";
import { defineCommand } from "../command.ts";
import { besideInput, exists, requireOther, requireOwnPage, withoutLeftovers } from "../files/files.ts";
import { requireWritable } from "../files/writable.ts";
import type plotJob from "../jobs/plot.ts";

export default defineCommand({
  name: "plot",
  summary: "draw the graph, and shade the weights that pruning would remove",
  arguments: [{ name: "model.onnx", description: "the model" }],
  options: v.object({
    out: option(v.string(), "file to write (default: model.html)", { short: "-o", value: "model.html" }),
    amount: v.optional(
      described(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), "share of each layer marked at first"),
      0.5,
    ),
    original: option(v.string(), "the original: show the bytes of each layer in both models", {
      value: "original.onnx",
    }),
  }),
  deterministic: true,
  examples: [
    "plot model.onnx -o model.html",
    "plot resnet20.onnx --amount 0.8",
    "plot small.onnx --original original.onnx",
  ],
  async run([model = ""], { out: outFlag, amount, original }, session) {
    const out = outFlag ?? besideInput(session.folders.get(model) ?? model, ".html");
    await requireOther(out, [
      ["the model itself", model],
      ["the original", original],
    ]);
    if (outFlag === undefined) await requireOwnPage(out);
    await requireWritable(out);
    const replaced = await exists(out);
    const input = { model, name: basename(model), out, amount, original };
    const work = () => session.job<typeof plotJob>("plot", input, `plot ${model}`);
    const size = await withoutLeftovers([out], work);
    return {
      data: { model, original, written: out, replaced, bytes: size },
      print: (terminal) =>
        terminal.line(`written: ${terminal.color.bold(out)} (${bytes(size)})${replaced ? " (replaced)" : ""}`),
    };
  },
});
