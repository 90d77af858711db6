/** What is in a model, as data: what `pith inspect` prints. */
import type { Model } from "../../graph/model.ts";
import type { OperationCount } from "../operation-count.ts";
import type { Blocks } from "./blocks.ts";
import type { Savings } from "./savings.ts";

export interface StoredTensors {
  readonly type: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

/** An input or an output of a model: dims are written as text, "[batch, 3, 224, 224]". */
export interface Port {
  readonly name: string;
  readonly type: string | undefined;
  readonly dims: string;
}

/** A layer: what its weight is, what it costs, and what could be taken from it. */
export interface InspectedLayer {
  readonly name: string;
  readonly operator: string;
  /** Type and dims of the weight: "float32 [64, 64]". */
  readonly weight: string;
  /** Bits of a quantized weight; undefined for one in floats. */
  readonly bits: number | undefined;
  /** Scales of a quantized weight: 1, one for each channel, or one for each block. */
  readonly scales: number | undefined;
  /** Other nodes that read the same weight, at most the first eight. */
  readonly sharedWith: readonly string[];
  readonly outputs: number;
  readonly inputs: number;
  readonly groups: number;
  readonly parameters: number;
  /** Multiplications with an addition; undefined where they cannot be counted. */
  readonly macs: OperationCount | undefined;
  /** Up to this rank two factors are smaller than the matrix; undefined where the weight is none. */
  readonly payingRank: number | undefined;
  /** Output channels that can be cut, and why the others cannot. */
  readonly cuttable: number;
  readonly kept: { readonly reason: string; readonly at: string | undefined } | undefined;
}

export interface Inspection {
  /** How its data is prepared, as an earlier command wrote into the file; undefined where none did. */
  readonly prepared: string | undefined;
  readonly producer: string;
  readonly irVersion: number;
  /** Domain → version; ONNX's own domain is "ai.onnx". */
  readonly opsets: Readonly<Record<string, number>>;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Operator → nodes, those of subgraphs included, most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  /** Learned numbers; a weight that several layers share counts once. */
  readonly parameters: number;
  readonly macs: OperationCount | undefined;
  readonly layers: readonly InspectedLayer[];
  /** The parts that the network is made of, and which of them repeat. */
  readonly blocks: Blocks;
  readonly savings: Savings;
  /** Nodes whose types or operations are unknown, with the reason. */
  readonly notUnderstood: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Graphs inside nodes: of the techniques quantize alone changes what lies there. `wayOut` is the command that takes layers out of branches. */
  readonly inside: {
    readonly graphs: number;
    readonly nodes: number;
    readonly layers: number;
    readonly wayOut: string | undefined;
  };
  /** Stored tensors that are inputs too, as old files have them: who runs the model may put others in their place. */
  readonly replaceable: readonly string[];
  /** Stored tensors by element type, most bytes first. */
  readonly stored: readonly StoredTensors[];
  /** Role → values that have it. */
  readonly roles: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * What is in a model: inputs, outputs, operators, layers, repeated blocks, sizes, and what techniques could save. The model stays as it is,
 * nothing is run, and of weights only the first numbers are read, more where they may be tables of positions or masks.
 *
 * @example
 * const { layers, parameters, savings } = await inspect(model);
 * console.log(parameters, "parameters;", savings.int8.before, "→", savings.int8.after, "bytes with 8-bit weights");
 * for (const { name, weight, cuttable, outputs } of layers) console.log(name, weight, cuttable, "of", outputs, "channels can be cut");
 */
export async function inspect(model: Model): Promise<Inspection> {
  // Loaded here, because the root exports this function: who only opens and saves does not load every operator.
  const { collect } = await import("./collect.ts");
  return collect(model.clone());
}
