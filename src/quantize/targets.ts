/** The runtimes that results are for, and what was measured of their kernels: ONNX Runtime 1.30, native on x64 with VNNI. */
import * as v from "valibot";
import { targetNames } from "../evaluate/run-target.ts";
import type { WeightedRule } from "./target.ts";

/** `target`, as commands and passes declare it. */
export const targetOption = (text: string) =>
  v.pipe(
    v.array(v.picklist(targetNames)),
    v.nonEmpty(),
    v.description(text),
    v.metadata({
      meanings: {
        title: "Targets (--target)",
        rows: [
          ["node", "the native runtime"],
          ["wasm", "WebAssembly in Chromium"],
          ["webgpu", "WebGPU in Chromium"],
        ],
      },
    }),
  );

/**
 * The type of weights with which the integer form is fast. Where outputs have places beside channels (3 × 3 convolutions of 16 to 128 channels were
 * measured), int8 takes four to five times as long as uint8.
 */
export const fastWeight = ({ channelDims }: WeightedRule): "int8" | "uint8" =>
  channelDims(1).length > 1 ? "uint8" : "int8";
