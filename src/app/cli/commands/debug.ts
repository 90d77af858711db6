import * as v from "valibot";
import { option } from "#pass";
import { defineCommand } from "../command.ts";
import { dataFlags, partFlag } from "../flags/data.ts";
import { metricFlags } from "../flags/metrics.ts";
import { fork } from "../fork.ts";

export const options = v.object({
  out: option(v.string(), "also write all layers as a chart and a table", { short: "-o", value: "debug.html" }),
  output: metricFlags.output,
  ...dataFlags,
  ...partFlag,
});

export default defineCommand({
  name: "debug",
  summary: "find the layers in which a compressed model differs from its original",
  arguments: [
    { name: "original.onnx", description: "the original" },
    { name: "model.onnx", description: "the compressed model" },
  ],
  options,
  examples: ["debug model.onnx model.int8.onnx", "debug model.onnx model.int8.onnx --data cifar10/ -o debug.html"],
  run: (words, flags, session) => fork("debug", words, flags, session, { title: `debug ${words[1]}` }),
});
