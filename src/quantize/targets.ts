/** What was measured of a runtime's kernels on one kind of machine: ONNX Runtime 1.30 on x64 with VNNI. */
import type { WeightedRule } from "./target.ts";

/**
 * The type of weights with which the integer form is fast. Where outputs have places beside channels (3 × 3 convolutions of 16 to 128 channels were
 * measured), int8 takes four to five times as long as uint8.
 */
export const fastWeight = ({ channelDims }: WeightedRule): "int8" | "uint8" =>
  channelDims(1).length > 1 ? "uint8" : "int8";
