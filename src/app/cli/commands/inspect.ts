import { stat } from "node:fs/promises";
import * as v from "valibot";
import { PithError } from "#ir";
import { option } from "#pass";
import { defineCommand } from "../command.ts";
import type inspectJob from "../jobs/inspect.ts";
import { showExplanation } from "../print/explanation.ts";
import { show } from "../print/inspection.ts";

/** Maximum bytes of a file that is read in this process, without starting another. Reading its graph takes less than a second. */
const maxBytesHere = 2 ** 24;

export default defineCommand({
  name: "inspect",
  summary: "show inputs, outputs, operators, layers and sizes of a model, or what techniques do to one layer",
  arguments: [
    { name: "model.onnx", description: "the model" },
    { name: "layer", description: "explain why techniques skip this layer or its channels", optional: true },
  ],
  options: v.object({
    weights: option(v.boolean(), "read the weights: zeros, range, and the rank that holds 95 % of the energy"),
    channel: option(v.pipe(v.number(), v.integer(), v.minValue(0)), "output channel of the layer, from 0"),
  }),
  deterministic: true,
  examples: [
    "inspect model.onnx",
    "inspect model.onnx --weights",
    "inspect model.onnx --json",
    "inspect resnet20.onnx layer1.0.conv1 --channel 3",
  ],
  async run([model = "", layer], { weights = false, channel }, session) {
    if (layer === undefined ? channel !== undefined : weights)
      throw new PithError(
        "E_OPTION",
        `--${weights ? "weights" : "channel"} is ${weights ? "not " : ""}for a single layer.`,
        {
          hint: "Give a layer with --channel, and none with --weights.",
        },
      );
    const input = { model, weights, layer, channel, seed: session.seed };
    const isSmall = ((await stat(model).catch(() => undefined))?.size ?? 0) <= maxBytesHere;
    const isHere = isSmall && !weights && layer === undefined;
    const output = await session.job<typeof inspectJob>("inspect", input, `inspect ${model}`, { isHere });
    if ("techniques" in output)
      return { data: { model, ...output }, print: (terminal) => showExplanation(output, terminal) };
    const { description, weights: numbers, zeros } = output;
    return {
      data: numbers === undefined ? description : { ...description, zeros, weights: numbers },
      print: (terminal) => show(description, { numbers, zeros }, terminal),
    };
  },
});
