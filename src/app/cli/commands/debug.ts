/** The command `pith debug`: finds the layers in which a changed model differs from its original. */
import * as v from "valibot";
import { counted, usageError } from "#ir";
import { option } from "#pass";
import { defineCommand } from "../command.ts";
import { dataFlags, partFlag } from "../flags/data.ts";
import { metricFlags } from "../flags/metrics.ts";
import { fork } from "../fork.ts";

export const options = v.object({
  out: option(v.string(), "also write all layers as a chart and a table", { short: "-o", value: "debug.html" }),
  original: option(v.string(), "the original", { value: "original.onnx" }),
  output: metricFlags.output,
  ...dataFlags,
  ...partFlag,
});

export default defineCommand({
  name: "debug",
  summary: "find the layers in which a compressed model differs from its original",
  arguments: [
    {
      name: "model.onnx",
      description: "the compressed model; without --original, name its original first",
      isVariadic: true,
    },
  ],
  options,
  examples: [
    "debug model.int8.onnx --original model.onnx",
    "debug model.onnx model.int8.onnx --data cifar10/ -o debug.html",
  ],
  run(words, { original, ...flags }, session) {
    const paths = original === undefined ? words : [original, ...words];
    if (paths.length !== 2)
      throw usageError(`debug compares one model with its original, and got ${counted(paths.length, "model")}.`, {
        hint: "pith debug model.int8.onnx --original model.onnx",
      });
    return fork("debug", paths, flags, session, { title: `debug ${paths[1]}` });
  },
});
