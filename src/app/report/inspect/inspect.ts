/** Describes the contents of a model as data, which `pith inspect` prints. */
import type { Model } from "#ir";
import type { OperationCount } from "../../../judge/record/operation-count.ts";
import type { Savings } from "./savings.ts";

export interface StoredTensors {
  readonly type: string;
  readonly tensors: number;
  readonly elements: number;
  readonly bytes: number;
}

/** Input or output of a model. Dimensions are text, such as "[batch, 3, 224, 224]". */
export interface Port {
  readonly name: string;
  readonly type: string | undefined;
  readonly dims: string;
}

/** Layer with its cost and possible savings. */
export interface InspectedLayer {
  readonly name: string;
  readonly operator: string;
  /** Stored type and dimensions of the weight, such as "float32 [64, 64]" or "palette of 4 bits [64, 64]". */
  readonly weight: string;
  /** Bits of a quantized weight; undefined for floats. */
  readonly bits: number | undefined;
  /** Number of scales of a quantized weight: one in all, one per channel, or one per block. */
  readonly scales: number | undefined;
  /** Name of the weight to which it is tied, and names of other nodes that read it, at most eight. */
  readonly sharedWith: readonly string[];
  readonly outputs: number;
  readonly inputs: number;
  readonly groups: number;
  readonly parameters: number;
  /** Bytes of the layer's stored tensors: weight, scales, zero points and bias. A tensor that several layers share counts at the first. */
  readonly bytes: number;
  readonly macs: OperationCount | undefined;
  /** Maximum rank at which two factors are smaller than the matrix; undefined if `factorize` skips the layer. */
  readonly payingRank: number | undefined;
  /** Number of output channels that can be removed. */
  readonly cuttable: number;
  /** Number of input channels that can be removed with the layers that compute them. */
  readonly cuttableInputs: number;
  /** Reason why other channels cannot be removed; undefined if all can. */
  readonly kept: { readonly reason: string; readonly at: string | undefined } | undefined;
}

/** Part of the network between two values, through which all computation passes. */
export interface InspectedBlock {
  readonly name: string;
  /** Number of the block's kind, which is equal for blocks that differ only in their weights. */
  readonly kind: number;
  readonly nodes: number;
  readonly layers: readonly string[];
  readonly parameters: number;
  /** Names of values: `inputs` come from earlier blocks or the data, `sides` are other inputs, and `outputs` are read later. */
  readonly inputs: readonly string[];
  readonly sides: readonly string[];
  readonly outputs: readonly string[];
}

export interface Blocks {
  readonly all: readonly InspectedBlock[];
  /** Repetitions of equal blocks: index of the first block in `all`, and number of blocks. */
  readonly repeats: readonly { readonly first: number; readonly count: number }[];
}

export interface Inspection {
  /** Bytes of the model as one file. */
  readonly bytes: number;
  /** Preprocessing that an earlier command recorded in the file; undefined without such a record. */
  readonly prepared: string | undefined;
  readonly producer: string;
  readonly irVersion: number;
  /** Domain → version. ONNX's own domain is "ai.onnx". */
  readonly opsets: Readonly<Record<string, number>>;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Operator → number of nodes, including subgraphs, most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  /** Number of trained values. A weight that several layers share counts once. */
  readonly parameters: number;
  readonly macs: OperationCount | undefined;
  readonly layers: readonly InspectedLayer[];
  readonly blocks: Blocks;
  readonly savings: Savings;
  readonly notUnderstood: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Contents of subgraphs, which only quantize changes. `inlineCommand` is a command that moves layers out of the subgraphs. */
  readonly inside: {
    readonly graphs: number;
    readonly nodes: number;
    readonly layers: number;
    readonly inlineCommand: string | undefined;
  };
  /** Names of stored tensors that are also inputs, as in old files. Callers can override them. */
  readonly replaceable: readonly string[];
  readonly stored: readonly StoredTensors[];
  readonly roles: Readonly<Record<string, number>>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Describes a model: inputs, outputs, operators, layers, repeated blocks, sizes, and possible savings. Does not change or run the model, and reads
 * few weight values.
 *
 * @example
 * const { layers, parameters, savings } = await inspect(model);
 * console.log(parameters, "parameters;", savings.int8.before, "→", savings.int8.after, "bytes with 8-bit weights");
 * for (const { name, weight, cuttable, outputs } of layers) console.log(name, weight, cuttable, "of", outputs, "channels can be cut");
 */
export async function inspect(model: Model): Promise<Inspection> {
  // The package's entry point exports this function. A static import would load every operator with it.
  const { inspectModel: collect } = await import("./collect.ts");
  return collect(model.clone());
}
