/** The command `pith inspect`: shows the contents of a model, or what techniques do to one layer. */
import { stat } from "node:fs/promises";
import * as v from "valibot";
import { optionError } from "#ir";
import { option } from "#pass";
import { defineCommand } from "../command.ts";
import { fork } from "../fork.ts";

/** Maximum bytes of a file that is read in this process. */
const maxBytesHere = 2 ** 24;

export const options = v.object({
  weights: option(v.boolean(), "read the weights: zeros, range, and the rank to which pith factorize loses little"),
  channel: option(v.pipe(v.number(), v.integer(), v.minValue(0)), "output channel of the layer, from 0"),
});

export default defineCommand({
  name: "inspect",
  summary: "show inputs, outputs, operators, layers and sizes of a model, or what techniques do to one layer",
  arguments: [
    { name: "model.onnx", description: "the model" },
    { name: "layer", description: "explain why techniques skip this layer or its channels", isOptional: true },
  ],
  options,
  isDeterministic: true,
  examples: [
    "inspect model.onnx",
    "inspect model.onnx --weights",
    "inspect model.onnx --json",
    "inspect resnet20.onnx layer1.0.conv1 --channel 3",
  ],
  async run([model = "", layer], flags, session) {
    const { weights = false, channel } = flags;
    if (layer === undefined ? channel !== undefined : weights)
      throw optionError(`--${weights ? "weights" : "channel"} is ${weights ? "not " : ""}for a single layer.`, {
        hint: "Give a layer with --channel, and none with --weights.",
      });
    const isSmall = ((await stat(model).catch(() => undefined))?.size ?? 0) <= maxBytesHere;
    const isHere = isSmall && !weights && layer === undefined;
    const words = layer === undefined ? [model] : [model, layer];
    return fork("inspect", words, flags, session, { isHere });
  },
});
